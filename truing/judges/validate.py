"""How often a judge agrees with people: sensitivity and specificity, with intervals.

It counts verdicts against labels; where labels come from, and whether they are right, it does not know. An answer of
which the judge could not tell is counted apart and enters no share.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol, runtime_checkable

from truing.core.protocols import Judge
from truing.core.records import Conversation, Outcome, Record
from truing.core.statistics import Interval, wilson


class JudgeAccuracy(Record):
    """Counts against labels: hits and misses among positives, rejections and false alarms among negatives, unknowns.

    `data` names the rows and says how far the judge is independent of them. Where labelled answers come in clusters
    that are not independent (several to one prompt), `design_effect` says by how much that widens (sensitivity's,
    specificity's variance); 1 where every row stands alone.
    """

    data: str
    hits: int
    misses: int
    rejections: int
    false_alarms: int
    unknown: int = 0
    design_effect: tuple[float, float] = (1.0, 1.0)

    @property
    def sensitivity(self) -> float | None:
        """The share of labelled positives that the judge calls positive; None where none is labelled."""
        return _share(self.hits, self.misses)

    @property
    def specificity(self) -> float | None:
        """The share of labelled negatives that the judge calls negative; None where none is labelled."""
        return _share(self.rejections, self.false_alarms)

    @property
    def agreement(self) -> float | None:
        """The share of judged rows on which judge and label agree; None where no row was judged."""
        return _share(self.hits + self.rejections, self.misses + self.false_alarms)

    def opposite(self) -> "JudgeAccuracy":
        """The same of a judge that says the opposite, held against the opposite labels."""
        return self.model_copy(
            update={
                "hits": self.rejections,
                "misses": self.false_alarms,
                "rejections": self.hits,
                "false_alarms": self.misses,
                "design_effect": self.design_effect[::-1],
            }
        )

    def intervals(self) -> tuple[Interval, Interval]:
        """95% Wilson intervals of sensitivity and specificity."""
        return wilson(self.hits, self.hits + self.misses), wilson(self.rejections, self.rejections + self.false_alarms)


def validate_judge(judge: Judge, rows: Iterable[tuple[Conversation, str, bool]], data: str) -> JudgeAccuracy:
    """Hold a judge against labelled rows (prompt, answer, label)."""
    hits = misses = rejections = false_alarms = unknown = 0
    for prompt, answer, label in rows:
        value = judge.judge(prompt, answer).value
        unknown += value is None
        hits += label and value == 1.0
        misses += label and value == 0.0
        false_alarms += not label and value == 1.0
        rejections += not label and value == 0.0
    return JudgeAccuracy(
        data=data, hits=hits, misses=misses, rejections=rejections, false_alarms=false_alarms, unknown=unknown
    )


@runtime_checkable
class BatchJudge(Protocol):
    """A judge that is quicker with many answers at once."""

    def judge_all(self, rows: Sequence[tuple[Conversation, str]]) -> Iterator[tuple[int, Outcome]]: ...


def judge_all(judge: Judge, rows: Sequence[tuple[Conversation, str]]) -> Iterator[tuple[int, Outcome]]:
    """(number of the row, what a judge says of it), as verdicts come."""
    if isinstance(judge, BatchJudge):
        yield from judge.judge_all(rows)
    else:
        yield from ((number, judge.judge(prompt, answer)) for number, (prompt, answer) in enumerate(rows))


def _share(right: int, wrong: int) -> float | None:
    return right / (right + wrong) if right + wrong else None
