"""What is measured: a metric (a mean over items), and a figure (a number with its interval, made of items)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from truing.core.records import ItemResult, Record
from truing.core.statistics import (
    Interval,
    cluster_bootstrap,
    cluster_bootstrap_of,
    corrected_rate,
    design_effect,
    wilson,
)
from truing.judges.validate import JudgeAccuracy

Unit = Literal["share", "nats", "score", "ratio"]
Aspect = Literal["helpful", "harmless", "honest"]


@dataclass(frozen=True)
class Metric:
    """What a task measures: its title for people, which way it should move, and of what it speaks on a scorecard
    (Askell et al. 2021, arXiv:2112.00861; None: of none of the three)."""

    task: str
    title: str
    better: Literal["higher", "lower"]
    unit: Literal["share", "nats", "score"] = "share"
    aspect: Aspect | None = None


class Figure(Record):
    """A number of a task with its 95% interval (None where nothing is known), from `n` items, of which so many are
    unknown or were cut. `score` is a number between −1 and 1, `ratio` one of any size. `note` is what else must be
    known of it."""

    name: str
    title: str
    value: float | None
    low: float | None
    high: float | None
    n: int
    unknown: int = 0
    cut: int = 0
    unit: Unit = "share"
    note: str = ""


def mean_figure(name: str, title: str, items: Sequence[ItemResult], unit: Unit = "share") -> Figure:
    """The mean of the items' known values."""
    known = [(item.value, item.cluster) for item in items if item.value is not None]
    mean = sum(value for value, _ in known) / len(known) if known else None
    return figure(name, title, mean, mean_interval(known, unit), items, unit)


def figure(
    name: str, title: str, value: float | None, interval: Interval | None, items: Sequence[ItemResult], unit: Unit
) -> Figure:
    """A value made of these items. An interval without bounds is none."""
    bounded = interval is not None and math.isfinite(interval.low) and math.isfinite(interval.high)
    return Figure(
        name=name,
        title=title,
        value=value,
        low=interval.low if interval is not None and bounded else None,
        high=interval.high if interval is not None and bounded else None,
        n=len(items),
        unknown=sum(item.value is None for item in items),
        cut=sum(item.finished is False for item in items),
        unit=unit,
    )


def corrected_figure(
    metric: Metric, items: Sequence[ItemResult], accuracy: JudgeAccuracy, opposite: bool, own: bool = False
) -> Figure:
    """A judged share as it would be if the judge made no errors, provided that it errs here as it does on the labelled
    rows of `accuracy`; unknown where it cannot. The interval carries the uncertainty of both. `opposite`: the share
    counts what the labels call negative. Unless the labelled answers are the measured system's `own`, the correction
    is transferred from others' answers, and says so."""
    known = [(item.value, item.cluster) for item in items if item.value is not None]
    values = [1 - value if opposite else value for value, _ in known]
    found = None
    if accuracy.sensitivity is not None and accuracy.specificity is not None:
        # Rows of a cluster are not independent: there are fewer of them in effect.
        fewer = design_effect(values, [cluster for _, cluster in known])
        found = corrected_rate(
            sum(values) / fewer,
            len(values) / fewer,
            accuracy.sensitivity,
            (accuracy.hits + accuracy.misses) / accuracy.design_effect[0],
            accuracy.specificity,
            (accuracy.rejections + accuracy.false_alarms) / accuracy.design_effect[1],
        )
    rate, interval, note = None, None, "the judge is no better than a coin there: nothing can be corrected"
    if accuracy.sensitivity is None or accuracy.specificity is None:
        note = "the labelled answers that were judged are all of one kind: nothing can be corrected"
    if found is not None and not found.possible:
        note = "errors as on the labelled answers cannot give the judged rate: here the judge errs otherwise"
    elif found is not None:
        rate, interval, unclipped, _ = found
        if opposite:
            rate, interval, unclipped = 1 - rate, Interval(1 - interval.high, 1 - interval.low), 1 - unclipped
        clipped = not 0 <= unclipped <= 1
        note = f"{unclipped:.1%} before it was clipped to what a share can be" if clipped else ""
    title = f"{metric.title}, corrected{'' if own else ' (transferred)'}"
    made = figure(f"{metric.task}_corrected", title, rate, interval, items, "share")
    return made.model_copy(update={"note": note if known else ""})


def stratified_figure(name: str, title: str, strata: Sequence[tuple[float, Sequence[ItemResult]]]) -> Figure:
    """Σ weight · the mean of a stratum's known values; the weights sum to 1. Unknown where a stratum has none: the
    others do not stand for it. The interval is the wider of the cluster bootstrap's over all strata together, and
    Wilson's of as many items as have the same variance, 1 / Σ (weight² / n)."""
    items = [item for _, mine in strata for item in mine]
    known = [(place, item) for place, (_, mine) in enumerate(strata) for item in mine if item.value is not None]
    counts = [sum(place == number for place, _ in known) for number in range(len(strata))]
    if 0 in counts:
        return figure(name, title, None, None, items, "share")
    columns = []
    for number in range(len(strata)):
        columns.append([(item.value or 0.0) if place == number else 0.0 for place, item in known])
        columns.append([float(place == number) for place, _ in known])

    def statistic(*sums: NDArray[np.float64]) -> NDArray[np.float64]:
        total = np.zeros_like(sums[0])
        for (weight, _), values, n in zip(strata, sums[::2], sums[1::2], strict=True):
            total += weight * np.divide(values, n, out=np.full_like(values, np.nan), where=n > 0)
        return total

    value = float(statistic(*(np.array([sum(column)]) for column in columns))[0])
    alike = round(1 / sum(weight**2 / n for (weight, _), n in zip(strata, counts, strict=True)))
    resampled = cluster_bootstrap_of(columns, [item.cluster for _, item in known], statistic)
    interval = wider(wilson(value * alike, alike), resampled, least=0.0)
    return figure(name, title, value, interval, items, "share")


def mean_interval(known: Sequence[tuple[float, str]], unit: str, seed: int = 0) -> Interval:
    """The interval of a mean of (value, cluster); of a share, the wider of Wilson's and the cluster bootstrap's on each
    side: Wilson's is right at 0 and 1, where resampling knows no spread; the bootstrap where items of a cluster go
    together."""
    values = [value for value, _ in known]
    interval = cluster_bootstrap(values, [cluster for _, cluster in known], seed=seed) if known else None
    if unit == "share":
        score = wilson(sum(values), len(values))
        interval = score if interval is None else wider(score, interval, least=0.0)
    return interval or Interval(-math.inf, math.inf)


def wider(score: Interval, resampled: Interval, least: float) -> Interval:
    """The wider of two intervals on each side; no share, or difference of shares, is below `least` or above 1."""
    return Interval(min(score.low, max(least, resampled.low)), max(score.high, min(1.0, resampled.high)))
