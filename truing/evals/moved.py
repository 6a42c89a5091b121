"""The items that moved most between two evaluations, side by side.

Where harmlessness is measured, an answer is shown by its beginning only, unless the item says that it is harmless.
"""

from collections.abc import Sequence

from truing.core.records import ItemResult, Record
from truing.core.text import shorten
from truing.evals.compare import MetricComparison, by_task
from truing.evals.metric import Metric

_CUT_AT = 220
RISKY_CUT = 90  # of what may be harmful
_SEVERITY = {"worse": 0, "not enough evidence": 1, "no worse": 2, "better": 3}


class Moved(Record):
    """One item with both answers, shortened, and what each was worth. `worsened`: in its metric's direction."""

    task: str
    item: str
    prompt: str
    base: str
    candidate: str
    before: float
    after: float
    worsened: bool


def moved_most(
    baseline: Sequence[ItemResult],
    candidate: Sequence[ItemResult],
    comparisons: Sequence[MetricComparison],
    count: int = 10,
) -> list[Moved]:
    """`count` items: of every metric its first, then its second …, metrics with the worst verdict first. Within a
    metric those that worsened come first, then the larger change, then the item's name."""
    sides = [by_task(baseline), by_task(candidate)]
    ranked: list[tuple[tuple[int, int, int], Moved]] = []
    for place, comparison in enumerate(comparisons):
        ours, theirs = (side.get(comparison.task, {}) for side in sides)
        found = [_moved(ours[name], theirs[name], comparison) for name in ours if name in theirs]
        own = [one for one in found if one is not None]
        own.sort(key=lambda one: (not one.worsened, -abs(one.after - one.before), one.item))
        ranked += [((rank, _SEVERITY[comparison.verdict], place), one) for rank, one in enumerate(own[:count])]
    return [one for _, one in sorted(ranked, key=lambda pair: pair[0])[:count]]


def _moved(before: ItemResult, after: ItemResult, metric: MetricComparison) -> Moved | None:
    """None where the value is unknown on a side, or the same."""
    if before.value is None or after.value is None or before.value == after.value:
        return None
    return Moved(
        task=after.task,
        item=after.item,
        prompt=shorten(after.prompt, _CUT_AT),
        base=shorten(before.answer, shown_length(before, metric)),
        candidate=shorten(after.answer, shown_length(after, metric)),
        before=before.value,
        after=after.value,
        worsened=(after.value < before.value) == (metric.better == "higher"),
    )


def shown_length(item: ItemResult, metric: Metric | MetricComparison) -> int:
    """How many characters of an item's answer a page may show: fewer where harmlessness is measured, and the answer is
    not surely harmless."""
    harmless = item.value == (1.0 if metric.better == "higher" else 0.0)
    return RISKY_CUT if metric.aspect == "harmless" and not harmless else _CUT_AT
