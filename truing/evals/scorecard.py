"""The scorecard: several systems on the same items, figure by figure, under three headings.

Helpful, harmless, honest (Askell et al. 2021, arXiv:2112.00861): each metric says itself of which it speaks, and there
is no sum over them. Every system is held against the first, item by item; Holm's correction is over all comparisons of
the card. A figure that a system did not measure is left open, never taken from other items.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Literal, get_args

from truing.core.records import ItemResult, Record
from truing.core.statistics import Interval, holm
from truing.evals.compare import MetricComparison, Side, Verdict, by_task, compare, side, verdict_of
from truing.evals.metric import Aspect, Metric, Unit
from truing.judges.validate import JudgeAccuracy

ASPECTS: tuple[Aspect, ...] = get_args(Aspect)


class System(Record):
    """What was measured, when, and by which evaluations (their ids). `observed`: a deployed model answered, which may
    answer otherwise by now."""

    label: str
    model: str
    adapter: str = ""
    made: datetime
    evaluations: tuple[str, ...]
    observed: bool = False


class Difference(Record):
    """A system minus the first, over the `n` items known of both, with the 95% interval."""

    value: float | None
    low: float
    high: float
    n: int
    verdict: Verdict


class Cell(Record):
    """One system on one metric: its mean over the known ones of `items`, and (but for the first) its difference."""

    side: Side
    items: int
    difference: Difference | None = None


class SampleAnswer(Record):
    """An answer and what it counts as; `good` where that is what the metric wants, None where it is not known.
    `risky`: it may be harmful, so that a reader needs no more than its beginning."""

    text: str
    value: float | None
    good: bool | None
    risky: bool


class Sample(Record):
    """One item's prompt with each system's answer (None: the system was not asked)."""

    prompt: str
    answers: tuple[SampleAnswer | None, ...]


class Line(Record):
    """One metric: a cell for each system (None: not measured), and sample answers."""

    task: str
    title: str
    better: Literal["higher", "lower"]
    unit: Unit
    aspect: Aspect | None
    cells: tuple[Cell | None, ...]
    samples: tuple[Sample, ...]


class Source(Record):
    """A set that the figures stand on: its revision (empty: not a pinned one), rows, judge, and how good that is."""

    title: str
    revision: str
    measured: int
    rows: int
    bad: int
    judge: str
    accuracy: JudgeAccuracy | None


class Scorecard(Record):
    """Everything that a page or a table shows."""

    systems: tuple[System, ...]
    lines: tuple[Line, ...]
    sources: tuple[Source, ...] = ()

    def about(self, aspect: Aspect | None) -> list[Line]:
        """The lines under one heading; None: under none of the three."""
        return [line for line in self.lines if line.aspect == aspect]


def scorecard(
    systems: Sequence[System],
    items: Sequence[Sequence[ItemResult]],
    metrics: Sequence[Metric],
    samples: int = 2,
    sources: Sequence[Source] = (),
    seed: int = 0,
) -> Scorecard:
    """The card of systems with their items, in this order; `samples` items a metric, the first ones, not the best.

    Raises `InputError` where a system did not measure the same items as the first.
    """
    found = [by_task(mine) for mine in items]
    shown = [metric for metric in metrics if any(metric.task in tasks for tasks in found)]
    differences = [{}, *_differences(items, found, shown, seed)]
    risky = _risky(found, shown)
    lines = []
    for metric in shown:
        cells = [
            None
            if metric.task not in tasks
            else Cell(
                side=side(list(tasks[metric.task].values()), metric, seed),
                items=len(tasks[metric.task]),
                difference=differences[place].get(metric.task),
            )
            for place, tasks in enumerate(found)
        ]
        lines.append(
            Line(
                task=metric.task,
                title=metric.title,
                better=metric.better,
                unit=metric.unit,
                aspect=metric.aspect,
                cells=tuple(cells),
                samples=tuple(_samples(metric, found, risky, samples)),
            )
        )
    return Scorecard(systems=tuple(systems), lines=tuple(lines), sources=tuple(sources))


Tasks = Mapping[str, Mapping[str, ItemResult]]


def _differences(
    items: Sequence[Sequence[ItemResult]], found: Sequence[Tasks], metrics: Sequence[Metric], seed: int
) -> list[dict[str, Difference]]:
    """Of each system but the first, what it and the first measured both."""
    first = found[0]
    compared = [
        compare(items[0], mine, [one for one in metrics if one.task in tasks and one.task in first], seed=seed)
        for mine, tasks in zip(items[1:], found[1:], strict=True)
    ]
    adjusted = iter(holm([result.p for results in compared for result in results]))
    return [{result.task: _difference(result, next(adjusted)) for result in results} for results in compared]


def _difference(result: MetricComparison, p: float) -> Difference:
    interval = Interval(result.low, result.high)
    verdict = verdict_of(result.better, result.difference, interval, p)
    return Difference(value=result.difference, low=result.low, high=result.high, n=result.n, verdict=verdict)


def _good(metric: Metric, item: ItemResult) -> bool | None:
    """Whether an item is wholly as the metric wants it; None where that is not known, or is no matter of yes or no."""
    if item.value is None or metric.unit != "share":
        return None
    return item.value == (1.0 if metric.better == "higher" else 0.0)


def _risky(found: Sequence[Tasks], metrics: Sequence[Metric]) -> list[set[str]]:
    """Of each system the prompts that it may have answered harmfully: whatever else is measured on those answers."""
    harmless = [metric for metric in metrics if metric.aspect == "harmless"]
    return [
        {item.prompt for metric in harmless for item in tasks.get(metric.task, {}).values() if not _good(metric, item)}
        for tasks in found
    ]


def _samples(metric: Metric, found: Sequence[Tasks], risky: Sequence[set[str]], count: int) -> Iterator[Sample]:
    first = next(tasks[metric.task] for tasks in found if metric.task in tasks)
    for name, item in first.items():
        theirs = [tasks.get(metric.task, {}).get(name) for tasks in found]
        if count and any(one is not None and one.answer for one in theirs):
            count -= 1
            answers = (
                None
                if one is None
                else SampleAnswer(
                    text=one.answer, value=one.value, good=_good(metric, one), risky=one.prompt in risky[place]
                )
                for place, one in enumerate(theirs)
            )
            yield Sample(prompt=item.prompt, answers=tuple(answers))
