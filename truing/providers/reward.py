"""A trained reward model as a `Reward`: an artifact's folder on its trunk, alone or as an ensemble.

In the folder: reward.json, and for each member an adapter in PEFT's form with its head.safetensors (of a single model
in the folder itself, of an ensemble in member-0, member-1 …).
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, ValidationError

from truing.core.digest import digest, digest_file
from truing.core.ensemble import Combine, combine
from truing.core.errors import InputError, RunError
from truing.core.protocols import Store
from truing.core.records import Answer, Conversation, Record
from truing.engine.adapters import adapter_files, load_adapter, remove_adapter, use_adapter
from truing.engine.chat import Chat
from truing.engine.scalar import FILE, ScalarHead, end_values, load_head
from truing.engine.score import lower_states
from truing.engine.tree import TokenSequence, build_forest
from truing.engine.trunk import Trunk

SETTINGS = "reward.json"


class RewardSettings(Record):
    """What reward.json says. `temperature` T turns a difference of rewards into a probability, σ((r₁ − r₂) / T); None
    where it was not measured, or the held-out pairs did not say."""

    members: int = Field(default=1, ge=1)
    combine: Combine = "mean"
    variance_weight: float = 0.0
    temperature: float | None = None

    def write(self, folder: Path) -> None:
        """Write reward.json."""
        (folder / SETTINGS).write_text(json.dumps(self.model_dump(), indent=1, sort_keys=True), encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read reward.json. Raises `InputError` where it is missing or cannot be understood."""
        path = folder / SETTINGS
        try:
            return cls.model_validate_json(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise InputError(
                f"{folder}: {SETTINGS} is missing, so this is no reward model; train one with `truing train reward`"
            ) from None
        except ValidationError as error:
            first = error.errors()[0]
            raise InputError(
                f"{path}: it cannot be read ({first['loc']}: {first['msg']}); train the model anew"
            ) from None

    def folder(self, above: Path, member: int) -> Path:
        """Where a member's files are."""
        return above if self.members == 1 else above / f"member-{member}"


class RewardModel:
    """Loads a reward model's folder onto its trunk; `name` is what its adapters are called there.

    With a `store`, hidden states below the adapters are kept by content. Raises `InputError` where a file is missing,
    the adapter was trained on another base, or the head does not fit.
    """

    def __init__(
        self,
        trunk: Trunk,
        folder: Path,
        *,
        name: str = "reward",
        system_prompt: str | None = None,
        store: Store | None = None,
    ) -> None:
        self.trunk, self.store = trunk, store
        self.settings = RewardSettings.read(folder)
        self.chat = Chat(trunk.tokenizer, trunk.context, system_prompt)
        self._members: list[tuple[str, int, ScalarHead]] = []
        files = [folder / SETTINGS]
        try:
            for member in range(self.settings.members):
                here, called = self.settings.folder(folder, member), f"{name}-{member}"
                head = load_head(trunk, here)
                self._members.append((called, load_adapter(trunk, here, called), head))
                files += [here / FILE, *adapter_files(here)]
        except InputError:
            self.close()
            raise
        identity = [trunk.sha256, str(trunk.dtype), trunk.tokenizer.chat_template, system_prompt]
        self.version = f"reward {digest([*identity, *map(digest_file, files)])[:16]}"

    def score(self, rows: Sequence[tuple[Conversation, Answer]]) -> list[float]:
        """One finite number a row, higher is better; of an ensemble, its members' combined.

        An answer with tokens is scored by them, as drawn, with its end of turn; one without by its text. An answer that
        was cut is scored as if it ended there. Raises `RunError` where a score is not finite.
        """
        return self.score_sequences([self._sequence(prompt, answer) for prompt, answer in rows])

    def score_sequences(self, sequences: Sequence[TokenSequence]) -> list[float]:
        """As `score`, of encoded prompts and answers."""
        members = self.score_members(sequences)
        return [*map(float, combine(members, self.settings.combine, self.settings.variance_weight))]

    def score_members(self, sequences: Sequence[TokenSequence]) -> NDArray[np.float64]:
        """[members, sequences] the members' own scores, at each sequence's last token."""
        scores = np.zeros((len(self._members), len(sequences)))
        if not sequences:
            return scores
        forest = build_forest(sequences)
        for member, (name, first, head) in enumerate(self._members):
            with use_adapter(self.trunk, name):
                *_, below = lower_states(self.trunk, forest, first, self.store if first else None)
                assert isinstance(below, torch.Tensor)
                for part, values in end_values(self.trunk, head, forest, below, first):
                    scores[member, part] = values.double().cpu().numpy()
        if not np.isfinite(scores).all():
            member, row = (int(place[0]) for place in np.nonzero(~np.isfinite(scores)))
            raise RunError(
                f"the reward of answer {row + 1} is {scores[member, row]}, which is no finite number: the weights of "
                "the reward model (or of its trunk) are damaged, or training diverged; check them with `truing verify`"
            )
        return scores

    def close(self) -> None:
        """Take the adapters off the trunk again."""
        for name, *_ in self._members:
            remove_adapter(self.trunk, name)
        self._members = []

    def _sequence(self, prompt: Conversation, answer: Answer) -> TokenSequence:
        if not answer.token_ids:
            return self.chat.sequence(prompt, answer.text)
        before = self.chat.prompt_ids(prompt)
        ids = (*before, *answer.token_ids, *self.chat.answer_ids(""))
        if len(ids) > self.chat.context:
            raise InputError(
                f"a prompt and its answer take {len(ids)} tokens, more than the reward model's context of "
                f"{self.chat.context}; draw shorter answers, or leave the prompt out"
            )
        return TokenSequence(ids, len(before))


def written(text: str) -> Answer:
    """An answer that was read from a file: text alone, whose tokens are found by the chat template."""
    return Answer(text=text, token_ids=(), logprobs=(), finished=True, least_gap=float("inf"))
