"""What two evaluations say of the items that both measured. `compare` refuses others; here these are left out, counted.

An item is common where both sides asked the same prompt under the same task and name. What it does not know: why one
side lacks an item.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

from truing.core.records import ItemResult, Record
from truing.evals.compare import MetricComparison, by_task, compare
from truing.evals.metric import Metric
from truing.evals.moved import Moved, moved_most


class Outcomes(Record):
    """Paired differences of every metric with common items, and the items that moved most. By task: how many items
    `changed` their value, and how many are `left_out`, since one side only measured them, or with another prompt."""

    comparisons: tuple[MetricComparison, ...]
    moved: tuple[Moved, ...]
    changed: Mapping[str, int]
    left_out: Mapping[str, int]


def outcomes(baseline: Sequence[ItemResult], candidate: Sequence[ItemResult], metrics: Sequence[Metric]) -> Outcomes:
    """Compare on the common items; verdicts are adjusted for all metrics that have some."""
    ours, theirs = common(baseline, candidate)
    results = compare(ours, theirs, metrics)
    pairs = list(zip(ours, theirs, strict=True))
    kept = Counter(item.task for item in ours)
    every = Counter(task for task, _ in {(item.task, item.item) for item in (*baseline, *candidate)})
    return Outcomes(
        comparisons=tuple(results),
        moved=tuple(moved_most(ours, theirs, results)),
        changed=Counter(one.task for one, other in pairs if one.value != other.value),
        left_out={task: count - kept[task] for task, count in every.items() if count > kept[task]},
    )


def common(
    baseline: Sequence[ItemResult], candidate: Sequence[ItemResult]
) -> tuple[list[ItemResult], list[ItemResult]]:
    """The items that both sides measured, each side's in the baseline's order. Raises `InputError` where an item stands
    twice in one evaluation."""
    theirs = by_task(candidate)
    by_task(baseline)
    pairs = [(item, theirs.get(item.task, {}).get(item.item)) for item in baseline]
    found = [(one, other) for one, other in pairs if other is not None and one.prompt == other.prompt]
    return [one for one, _ in found], [other for _, other in found]
