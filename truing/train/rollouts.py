"""Rollouts: answers that the policy draws, with what training needs of them, as groups that are token trees.

Tokens and log-probabilities are kept as drawn, never taken from text again. They are drawn at temperature 1, always: at
another temperature the answers come from another policy than the one whose gradient is taken, so there is no such
setting. The end of turn belongs to an answer if it was drawn; an answer that was cut has no end, and none is put there.

What an iteration draws depends on its number, the seed and the weights alone: a resumed run draws the same again.
"""

import hashlib
import math
from collections.abc import Generator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from truing.core.config import Config
from truing.core.errors import InputError, RunError
from truing.core.protocols import Reward
from truing.core.records import Answer, Conversation, Decoding, Progress
from truing.engine.chat import Chat, as_drawn
from truing.engine.generate import generate
from truing.engine.sampling import Generated
from truing.engine.tree import Forest, Ints, TokenSequence, build_forest
from truing.engine.trunk import Trunk


class RolloutConfig(Config):
    """Each iteration draws `samples` answers to each of `prompts` prompts. A score is kept within ±`score_clip` (None:
    as it is), and one of an answer that was cut is lowered by `missing_end_penalty`. An iteration in which every answer
    was cut stops the run, unless `may_all_be_cut`."""

    prompts: int = Field(default=16, ge=1)
    samples: int = Field(default=4, ge=1)
    max_new_tokens: int = Field(default=48, ge=1)
    missing_end_penalty: float = Field(default=1.0, ge=0)
    score_clip: float | None = Field(default=None, gt=0)
    may_all_be_cut: bool = False


@dataclass(frozen=True)
class Rollouts:
    """N answers, group by group: `samples` in turn to each prompt. Their T drawn tokens stand one after another, answer
    by answer: `drawn` [T] log-probabilities as drawn (nats), `answer` [T] whose a token is, `lengths` [N].

    `forest` has the answers as its sequences; `answers` are as a reward sees them; `scores` [N] what it said, clipped
    and with the penalty; `raw` [N] as it said it.
    """

    samples: int
    forest: Forest
    answers: list[Answer]
    drawn: Tensor
    answer: Tensor
    lengths: Tensor
    raw: Tensor
    scores: Tensor

    @property
    def last(self) -> Tensor:
        """[N] the place of each answer's last token among the T: its end of turn, unless it was cut."""
        return self.lengths.cumsum(0) - 1

    def sums(self, values: Tensor) -> Tensor:
        """[T] → [N] summed over each answer."""
        zeros = torch.zeros(len(self.lengths), dtype=values.dtype, device=values.device)
        return zeros.index_add(0, self.answer, values)

    def padded(self, values: Tensor) -> Tensor:
        """[T] → [N, longest], zeros after each answer's end."""
        result = torch.zeros(self._inside.shape, dtype=values.dtype, device=values.device)
        result[self._inside] = values
        return result

    def flat(self, values: Tensor) -> Tensor:
        """[N, longest] → [T]: the inverse of `padded`."""
        return values[self._inside]

    @property
    def _inside(self) -> Tensor:
        places = torch.arange(int(self.lengths.max()), device=self.lengths.device)
        return places[None, :] < self.lengths[:, None]

    def of_group(self, groups: Sequence[int]) -> list[int]:
        """The numbers of the groups' answers."""
        return [group * self.samples + member for group in groups for member in range(self.samples)]

    def places(self, answers: Sequence[int]) -> Tensor:
        """Where the tokens of some answers stand among the T, answer by answer."""
        ends = self.lengths.cumsum(0).tolist()
        starts = [0, *ends[:-1]]
        return torch.cat([torch.arange(starts[one], ends[one], device=self.drawn.device) for one in answers])


def prompt_sequences(
    trunk: Trunk, chat: Chat, prompts: Sequence[Conversation], config: RolloutConfig
) -> list[TokenSequence]:
    """The prompts as tokens, nothing scored. Raises `InputError` naming a prompt that leaves no room for an answer."""
    if not prompts:
        raise InputError("there are no prompts to train on; give at least one")
    sequences = []
    for number, prompt in enumerate(prompts, start=1):
        ids = chat.prompt_ids(prompt)
        if len(ids) + config.max_new_tokens > trunk.context:
            raise InputError(
                f"prompt {number} takes {len(ids)} tokens, and with an answer of up to {config.max_new_tokens} that is "
                f"more than the model's context of {trunk.context}; shorten or leave out {prompt[-1].content[:40]!r}, "
                "or lower rollout.max_new_tokens"
            )
        sequences.append(TokenSequence(ids, len(ids)))
    return sequences


def prompts_of(count: int, iteration: int, each: int, seed: int) -> list[int]:
    """The numbers of an iteration's `each` prompts: the `count` prompts pass by in a new order each time round."""
    places = range(iteration * each, (iteration + 1) * each)
    orders: dict[int, Ints] = {}
    for place in places:
        if place // count not in orders:
            orders[place // count] = np.random.default_rng([seed, place // count]).permutation(count)
    return [int(orders[place // count][place % count]) for place in places]


def draw(
    trunk: Trunk,
    chat: Chat,
    prompts: Sequence[tuple[Conversation, TokenSequence]],
    reward: Reward,
    config: RolloutConfig,
    seed: int,
    iteration: int,
) -> Generator[Progress, None, Rollouts]:
    """Draw an iteration's answers to the given prompts with the adapter in use, and have them scored.

    Raises `RunError` where a score is missing or not finite, or all answers were cut.
    """
    decoding = Decoding(
        temperature=1.0, max_new_tokens=config.max_new_tokens, seed=seed_of("rollouts", seed, iteration)
    )
    asked = [prompt for prompt in prompts for _ in range(config.samples)]
    made: list[Generated | None] = [None] * len(asked)
    for done, (number, one) in enumerate(
        generate(trunk, [sequence.ids for _, sequence in asked], decoding, chat.end_id), start=1
    ):
        made[number] = one
        yield Progress(stage="rollouts", done=done, total=len(asked))
    drawn = [one for one in made if one is not None]
    if not (config.may_all_be_cut or any(one.finished for one in drawn)):
        raise RunError(
            f"iteration {iteration + 1}: none of {len(drawn)} answers ended within {config.max_new_tokens} tokens, so "
            "the reward would judge fragments. Training stopped and the last checkpoint is kept; raise "
            "rollout.max_new_tokens, or set rollout.may_all_be_cut = true if fragments are meant"
        )
    answers = [
        Answer(
            text=chat.text(one.ids),
            token_ids=one.ids,
            logprobs=one.logprobs,
            finished=one.finished,
            least_gap=one.least_gap,
        )
        for one in drawn
    ]
    raw = scores_of(reward, [(prompt, answer) for (prompt, _), answer in zip(asked, answers, strict=True)])
    sequences = [
        as_drawn(sequence.ids, answer, chat.end_id) for (_, sequence), answer in zip(asked, answers, strict=True)
    ]
    return _rollouts(trunk, config, answers, sequences, raw)


def scores_of(reward: Reward, rows: Sequence[tuple[Conversation, Answer]]) -> list[float]:
    """What a reward says of the rows. Raises `RunError` unless that is one finite number for each."""
    try:
        scores = reward.score(rows)
    except InputError as error:
        raise RunError(f"{error}. Training stopped and the last checkpoint is kept") from error
    if len(scores) != len(rows):
        raise RunError(
            f"the reward gave {len(scores)} scores for {len(rows)} answers; it must give one for each. Training "
            "stopped and the last checkpoint is kept"
        )
    for score, (_, answer) in zip(scores, rows, strict=True):
        if not math.isfinite(score):
            raise RunError(
                f"the reward gave {score} for the answer {answer.text[:60]!r}; it must give a finite number. Training "
                "stopped and the last checkpoint is kept"
            )
    return scores


def _rollouts(
    trunk: Trunk, config: RolloutConfig, answers: list[Answer], sequences: list[TokenSequence], raw: list[float]
) -> Rollouts:
    dtype = torch.float64 if trunk.dtype == torch.float64 else torch.float32
    lengths = torch.tensor([len(answer.logprobs) for answer in answers], device=trunk.device)
    said = torch.tensor(raw, dtype=dtype, device=trunk.device)
    kept = said if config.score_clip is None else said.clamp(-config.score_clip, config.score_clip)
    cut = torch.tensor([not answer.finished for answer in answers], device=trunk.device)
    return Rollouts(
        samples=config.samples,
        forest=build_forest(sequences),
        answers=answers,
        drawn=torch.tensor([value for one in answers for value in one.logprobs], dtype=dtype, device=trunk.device),
        answer=torch.repeat_interleave(torch.arange(len(answers), device=trunk.device), lengths),
        lengths=lengths,
        raw=said,
        scores=kept - config.missing_end_penalty * cut,
    )


def seed_of(what: str, seed: int, iteration: int) -> int:
    """Each iteration's own random numbers, for each of its purposes."""
    return int.from_bytes(hashlib.sha256(f"{what}/{seed}/{iteration}".encode()).digest()[:6])
