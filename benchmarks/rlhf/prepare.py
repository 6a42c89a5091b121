"""What all workers are given: the size of each comparison, adapters that are not zero, and answers."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from ours import make_adapter
from rows import pairs

from truing.core.records import Conversation, Decoding, Message
from truing.engine import generate as engine
from truing.engine.adapters import AdapterConfig, load_adapter, use_adapter
from truing.engine.chat import Chat
from truing.engine.sampling import Generated, Row
from truing.engine.scalar import new_head, save_head
from truing.engine.score import score_forest
from truing.engine.tree import TokenSequence, build_forest
from truing.engine.trunk import Trunk
from truing.providers.reward import RewardSettings

ALL_LAYERS = AdapterConfig(upper_layers=None)
PAIRS, MICRO = 64, 8  # the reward model's pairs, and how many make a step
ANSWERS, MINIBATCH, EPOCHS = 16, 8, 2  # an iteration's answers, those of a minibatch of PPO's, and PPO's epochs
SAMPLES = {"ppo": 4, "ppo-shared": 4, "ppo-alone": 1, "rloo": 4, "grpo": 4}  # answers to each prompt
LONGEST_PROMPT, LONGEST_ANSWER = 192, 64  # in training
DRAWN, DRAWN_PROMPT, DRAWN_ANSWER = 96, 256, 128  # in the comparison of drawing


class Prepare:
    """What all workers are given: adapters that are not zero, and answers."""

    def __init__(self, trunk: Trunk, file: Path, work: Path) -> None:
        self.trunk, self.file, self.work = trunk, file, work

    def make(self, steps: int) -> dict[str, Any]:
        """Write the policy's adapter, a reward model, and given.json: groups of answers to learn from (several to each
        prompt, and single ones), and prompts with the lengths of answers to draw. Returns how long they are."""
        trunk, chat = self.trunk, Chat(self.trunk.tokenizer, self.trunk.context)
        make_adapter(trunk, ALL_LAYERS, self.work / "policy")
        make_adapter(trunk, ALL_LAYERS, self.work / "reward", seed=1)
        save_head(new_head(trunk, seed=1, scale=1.0), self.work / "reward")
        RewardSettings().write(self.work / "reward")
        rows = pairs(self.file, 400)
        lengths = [len(chat.answer_ids(row[side][0]["content"])) for row in rows for side in ("chosen", "rejected")]
        asked = {chat.prompt_ids(conversation(row["prompt"])): row["prompt"] for row in rows}
        short = [ids for ids in asked if len(ids) <= LONGEST_PROMPT]
        load_adapter(trunk, self.work / "policy", "policy")
        groups = {}
        with use_adapter(trunk, "policy"), torch.no_grad():
            for samples in sorted(set(SAMPLES.values())):
                made = self._answered(chat, short[: ANSWERS // samples * steps], samples, lengths)
                groups[str(samples)] = [{**group, "prompt": asked[group["ids"]]} for group in made]
        most = [ids for ids in asked if len(ids) <= DRAWN_PROMPT][:DRAWN]
        drawing = [
            {"ids": ids, "limit": min(length, DRAWN_ANSWER)} for ids, length in zip(most, lengths[::2], strict=False)
        ]
        (self.work / "given.json").write_text(json.dumps({"groups": groups, "drawing": drawing}))
        every = [group for some in groups.values() for group in some]
        return {
            "prompt tokens": _spread([len(group["ids"]) for group in every]),
            "answer tokens": _spread([len(answer) for group in every for answer in group["answers"]]),
            "drawn prompts' tokens": _spread([len(one["ids"]) for one in drawing]),
            "drawn answers' tokens": _spread([one["limit"] for one in drawing]),
        }

    def _answered(
        self, chat: Chat, prompts: list[tuple[int, ...]], samples: int, lengths: Sequence[int]
    ) -> list[dict[str, Any]]:
        """Each prompt with answers that the policy draws, as long as people's, with an end of turn."""
        asked = [ids for ids in prompts for _ in range(samples)]
        made = drawn(self.trunk, chat, asked, [min(length, LONGEST_ANSWER) for length in lengths[: len(asked)]])
        answers = []
        for one in made:
            ids = [*one.ids, *([chat.end_id] if one.finished else [])]
            whole = ids.index(chat.end_id) if chat.end_id in ids else len(ids) - 1
            answers.append([*ids[:whole], chat.end_id])
        groups = []
        for number, ids in enumerate(prompts):
            mine = answers[number * samples : (number + 1) * samples]
            forest = build_forest([TokenSequence((*ids, *answer), len(ids)) for answer in mine])
            scores = [sum(answer) % 101 / 50 - 1 for answer in mine]  # anything will do
            logprobs = score_forest(self.trunk, forest).lists()
            groups.append({"ids": ids, "answers": mine, "logprobs": logprobs, "scores": scores})
        return groups


def drawn(
    trunk: Trunk, chat: Chat, prompts: Sequence[tuple[int, ...]], limits: Sequence[int], seed: int = 0
) -> list[Generated]:
    """Answers of exactly the given lengths, whatever is drawn."""
    Row.ended = lambda row, _end_id, _most: len(row.ids) == limits[row.number]  # type: ignore[method-assign]
    decoding = Decoding(temperature=1.0, max_new_tokens=max(limits), seed=seed)
    return [one for _, one in sorted(engine.generate(trunk, prompts, decoding, chat.end_id), key=lambda made: made[0])]


def conversation(messages: list[dict[str, str]]) -> Conversation:
    return tuple(Message(**message) for message in messages)


def _spread(numbers: list[int]) -> dict[str, float]:
    return {"least": min(numbers), "mean": sum(numbers) / len(numbers), "most": max(numbers)}
