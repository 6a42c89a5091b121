"""A system whose answers are a function of the whole dialogue."""

from collections.abc import Callable, Iterator, Sequence

from truing.core.records import Answer, Conversation, Decoding
from truing.evals.task import Subject


def said(text: str, finished: bool | None = True, missing: str = "") -> Answer:
    """An answer, as a system would give it."""
    return Answer(text=text, token_ids=(), logprobs=(), finished=finished, least_gap=None, missing=missing)


class Talker:
    """Gives what `speak` says to a dialogue, the last prompt first, since a task must not rely on the order."""

    def __init__(self, speak: Callable[[Conversation], Answer | str]) -> None:
        self._speak = speak
        self.asked: list[Conversation] = []

    def sample(
        self,
        prompts: Sequence[Conversation],
        decoding: Decoding,  # noqa: ARG002 (of the protocol)
    ) -> Iterator[tuple[int, Answer]]:
        self.asked += prompts
        for number in reversed(range(len(prompts))):
            spoken = self._speak(prompts[number])
            yield number, said(spoken) if isinstance(spoken, str) else spoken


def talking(speak: Callable[[Conversation], Answer | str]) -> Subject:
    """A system under measurement that speaks so, and scores no choices."""
    return Subject("talker", Talker(speak), None)
