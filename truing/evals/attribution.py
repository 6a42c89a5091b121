"""Two recipes that differ in several settings: how much of every metric's difference is owed to which setting.

A metric is a mean over items, and a Shapley value (`core.shapley`) is linear in what it divides up: so each item has
its own values, a setting's value is their mean, and its interval is that of a mean of paired differences. An item that
is unknown in one of the runs is left out of all, and counted; so the parts sum to the whole difference.

What it does not know: what a setting does beside other settings than these two recipes have.
"""

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from truing.core.records import Record
from truing.core.shapley import first_and_last, shapley
from truing.core.statistics import Interval, holm, tango
from truing.evals.compare import Verdict, by_task, verdict_of
from truing.evals.methods import (
    LEAST_SEEDS,
    Better,
    Claim,
    Measure,
    MethodRun,
    Unit,
    are_yes_or_no,
    evidence,
    known_of,
    of_items,
)

REST = "three and more together"


class Attribution(Record):
    """What one setting brings to one measure, with its 95% interval. `setting` None: the whole difference, second
    recipe − first; `REST`: what the settings' values leave of it, where not all combinations were run.

    `first` is what the setting brings alone, `last` what it brings after all others. From `n` of `items` items.
    `adjusted_p` is Holm's over all verdicts of the table.
    """

    measure: str
    title: str
    better: Better
    unit: Unit
    setting: str | None
    items: int
    n: int
    value: float | None = None
    low: float = -math.inf
    high: float = math.inf
    first: float | None = None
    last: float | None = None
    p: float | None = None
    adjusted_p: float | None = None
    verdict: Verdict | None = None


def attribute(
    runs: Mapping[int, Sequence[MethodRun]], settings: Sequence[str], measures: Sequence[Measure], claim: Claim
) -> list[Attribution]:
    """The whole difference and each setting's part of it, measure by measure.

    `runs` are those of each combination that was run, each in the order of the seeds: a combination is a bit mask, in
    which bit i says that `settings[i]` is as in the second recipe. They measured the same items. With all combinations
    a part is the Shapley value; with those of `core.shapley.coalitions` alone it is the mean of first and last.
    """
    results = [one for measure in measures for one in _attributed(runs, settings, measure, claim)]
    adjusted = iter(holm([one.p for one in results if one.p is not None]))
    seeds = len(runs[0])
    return [one if one.p is None else _judged(one, next(adjusted), claim, seeds) for one in results]


def _attributed(
    runs: Mapping[int, Sequence[MethodRun]], settings: Sequence[str], measure: Measure, claim: Claim
) -> Iterator[Attribution]:
    """The parts by one measure; nothing where its task was not measured."""
    order = by_task([item for item in runs[0][0].items if item.task == measure.task]).get(measure.task or "", {})
    if not order:
        return
    rows = [of_items(run, measure, list(order)) for alike in runs.values() for run in alike]
    table, clusters = known_of(rows, [item.cluster for item in order.values()])
    players, n = len(settings), len(table[0])
    names: list[str | None] = [None, *settings]
    parts: list[NDArray[np.float64]] = []
    ends: dict[str | None, tuple[float, float]] = {}
    if n:
        values = np.array(table).reshape(len(runs), -1, n)  # combinations, seeds, items
        worth = dict(zip(runs, values, strict=True))
        whole = worth[(1 << players) - 1] - worth[0]
        first, last = first_and_last(worth, players)
        ends = {name: (float(first[i].mean()), float(last[i].mean())) for i, name in enumerate(settings)}
        if len(runs) == 1 << players:
            parts = [whole, *shapley([worth[combination] for combination in range(1 << players)], players)]
        else:
            shares = (first + last) / 2
            parts, names = [whole, *shares, whole - shares.sum(axis=0)], [*names, REST]
    for place, name in enumerate(names):
        found = Attribution(
            measure=measure.name,
            title=measure.title,
            better=measure.better,
            unit=measure.unit,
            setting=name,
            items=len(order),
            n=n,
            p=None if measure.better == "neither" or name == REST else 1.0,
        )
        if n:
            binary = are_yes_or_no(measure, table) and (name is None or players == 1)
            found = _measured(found, parts[place], clusters, binary, claim)
            alone, after = ends.get(name, (None, None))
            found = found.model_copy(update={"first": alone, "last": after})
        yield found


def _measured(
    part: Attribution, values: NDArray[np.float64], clusters: list[str] | None, binary: bool, claim: Claim
) -> Attribution:
    """With the mean of its values [seeds, items] and what is known of it. Where no item's share moves, the interval is
    that of yes-or-no items of which none differs: resampling knows no spread there."""
    found = evidence(values.tolist(), clusters, binary, claim)
    low, high = found.interval
    if part.unit == "share" and not values.any():
        low, high = tango(0, 0, part.n)
    p = None if part.p is None else found.p
    return part.model_copy(update={"value": float(values.mean()), "low": low, "high": high, "p": p})


def _judged(part: Attribution, p: float, claim: Claim, seeds: int) -> Attribution:
    verdict: Verdict = "not enough evidence"
    if part.better != "neither" and (claim == "runs" or seeds >= LEAST_SEEDS):
        verdict = verdict_of(part.better, part.value, Interval(part.low, part.high), p)
    return part.model_copy(update={"adjusted_p": p, "verdict": verdict})
