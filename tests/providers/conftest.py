"""A system in memory whose answers and scores are functions of the text, and which notes what it was asked."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from truing.core.records import Answer, Conversation, Decoding, Message


def ask(content: str) -> Conversation:
    return (Message(role="user", content=content),)


class Stopped(BaseException):
    """Stands for kill -9: nothing may catch it."""


class Scripted:
    """Keeps the contracts of `Sampler` (an answer depends on the seed, the prompt, and how often it came before) and
    `Scorer`. The last prompt finishes first. After `stops_after` answers or scores it is killed."""

    def __init__(
        self,
        answer: Callable[[str], str] = lambda prompt: f"answer to {prompt}",
        score: Callable[[str, str], list[float]] = lambda prompt, answer: [-0.25 * len(prompt), -0.5 * len(answer)],
        stops_after: int | None = None,
    ) -> None:
        self._answer, self._score, self._stops_after = answer, score, stops_after
        self.asked: list[str] = []
        self.scored: list[tuple[str, str]] = []

    def sample(self, prompts: Sequence[Conversation], decoding: Decoding) -> Iterator[tuple[int, Answer]]:
        """Sampled answers carry their seed and how often their prompt came before; greedy ones do not."""
        texts = [prompt[-1].content for prompt in prompts]
        self.asked += texts
        seen: Counter[str] = Counter()
        answers = []
        for text in texts:
            draw = f" ({decoding.seed}, {seen[text]})" if decoding.temperature else ""
            seen[text] += 1
            answers.append((self._answer(text) + draw)[: decoding.max_new_tokens])
        for done, number in enumerate(reversed(range(len(texts)))):
            if done == self._stops_after:
                raise Stopped
            yield (
                number,
                Answer(text=answers[number], token_ids=(number,), logprobs=(-0.1,), finished=True, least_gap=1 / 3),
            )

    def score(self, rows: Sequence[tuple[Conversation, str]]) -> Iterator[tuple[int, list[float]]]:
        """Scores in order."""
        for number, (prompt, answer) in enumerate(rows):
            if number == self._stops_after:
                raise Stopped
            self.scored.append((prompt[-1].content, answer))
            yield number, self._score(prompt[-1].content, answer)
