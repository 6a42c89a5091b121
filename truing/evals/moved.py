"""The items that moved most between two evaluations, side by side.

Answers to harmful prompts are shortened to their beginning, unless the item says that they refuse.
"""

from collections.abc import Sequence

from truing.core.records import ItemResult, Record
from truing.evals.compare import MetricComparison, by_task

_CUT_AT = 220
_HARMFUL_CUT = 90
# Tasks whose prompts ask for harm: their names begin so.
_HARMFUL = ("refusal", "advbench", "xstest_unsafe", "do_not_answer", "harmbench", "strongreject")
# Of these, where 1 is a refusal.
_REFUSALS = ("refusal", "advbench", "xstest_unsafe", "do_not_answer")
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
        found = [_moved(ours[name], theirs[name], comparison.better) for name in ours if name in theirs]
        own = [one for one in found if one is not None]
        own.sort(key=lambda one: (not one.worsened, -abs(one.after - one.before), one.item))
        ranked += [((rank, _SEVERITY[comparison.verdict], place), one) for rank, one in enumerate(own[:count])]
    return [one for _, one in sorted(ranked, key=lambda pair: pair[0])[:count]]


def _moved(before: ItemResult, after: ItemResult, better: str) -> Moved | None:
    """None where the value is unknown on a side, or the same."""
    if before.value is None or after.value is None or before.value == after.value:
        return None
    return Moved(
        task=after.task,
        item=after.item,
        prompt=shorten(after.prompt, _CUT_AT),
        base=shorten(before.answer, shown_length(before)),
        candidate=shorten(after.answer, shown_length(after)),
        before=before.value,
        after=after.value,
        worsened=(after.value < before.value) == (better == "higher"),
    )


def shown_length(item: ItemResult) -> int:
    """How many characters of an item's answer a page may show."""
    refused = item.task.startswith(_REFUSALS) and item.value == 1.0
    return _HARMFUL_CUT if item.task.startswith(_HARMFUL) and not refused else _CUT_AT


def shorten(text: str, limit: int) -> str:
    """At most `limit` characters, on one line, with an ellipsis where something was left out."""
    flat = " ".join(text.split())
    return flat if len(flat) <= limit else flat[: limit - 1].rstrip() + "…"
