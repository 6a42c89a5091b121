"""What algorithms ask for: seams between the parts, so that a stage never imports the one beside it."""

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from truing.core.records import Answer, ChoiceScores, Conversation, Decoding, Outcome, Question

Misfit = Callable[[Conversation, Decoding], str]
"""Why a prompt cannot be answered at all (it is longer than the context); empty where it can."""


def never_misfits(_prompt: Conversation, _decoding: Decoding) -> str:
    """For systems that take prompts of any length."""
    return ""


class Sampler(Protocol):
    """Draws answers to conversations. Yields (index of the prompt, answer) in the order in which answers finish."""

    def sample(self, prompts: Sequence[Conversation], decoding: Decoding) -> Iterator[tuple[int, Answer]]: ...


class Scorer(Protocol):
    """Scores continuations: for each (conversation, answer), the log-probabilities (nats) of the answer's tokens,
    end of turn included; an `Answer` that was drawn is scored by its tokens as drawn, with its end only if that was
    drawn. Yields (index, per-token log-probabilities) as they are computed."""

    def score(self, rows: Sequence[tuple[Conversation, str | Answer]]) -> Iterator[tuple[int, list[float]]]: ...


class SamplerScorer(Sampler, Scorer, Protocol):
    """A system that both answers and scores."""


class ChoiceScorer(Protocol):
    """Scores the choices of questions as plain text: no chat template, no end of turn. Yields (index, scores) as they
    are computed; scores depend neither on the other questions nor on their order."""

    def score_choices(self, questions: Sequence[Question]) -> Iterator[tuple[int, ChoiceScores]]: ...


class Judge(Protocol):
    """Says whether an answer shows a behaviour. `version` changes whenever its verdicts may."""

    version: str

    def judge(self, prompt: Conversation, answer: str) -> Outcome: ...


class Reward(Protocol):
    """Scores answers, higher is better: one finite number for each (conversation, answer). An answer that was drawn is
    scored by its tokens as drawn; one that was read from a file has text only. `version` changes whenever scores may.
    """

    version: str

    def score(self, rows: Sequence[tuple[Conversation, Answer]]) -> list[float]: ...


class Store(Protocol):
    """Content-keyed bytes that outlive a run (reference log-probabilities, lower activations, evaluation items)."""

    def get(self, key: str) -> bytes | None: ...

    def put(self, key: str, content: bytes) -> None: ...


class MemoryStore:
    """A `Store` for tests and scripts: forgets everything when the process ends."""

    def __init__(self) -> None:
        self._contents: dict[str, bytes] = {}

    def get(self, key: str) -> bytes | None:
        return self._contents.get(key)

    def put(self, key: str, content: bytes) -> None:
        self._contents[key] = content
