"""What is measured: a metric (a mean over items), and a figure (a number with its interval, made of items)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from truing.core.records import ItemResult, Record
from truing.core.statistics import Interval, cluster_bootstrap, corrected_rate, wilson
from truing.judges.validate import JudgeAccuracy

Unit = Literal["share", "nats", "score", "ratio"]


@dataclass(frozen=True)
class Metric:
    """What a task measures: its title for people, and which way it should move."""

    task: str
    title: str
    better: Literal["higher", "lower"]
    unit: Literal["share", "nats", "score"] = "share"


class Figure(Record):
    """A number of a task with its 95% interval (None where nothing is known), from `n` items, of which so many are
    unknown or were cut. `score` is a number between −1 and 1, `ratio` one of any size."""

    name: str
    title: str
    value: float | None
    low: float | None
    high: float | None
    n: int
    unknown: int = 0
    cut: int = 0
    unit: Unit = "share"


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


def corrected_figure(metric: Metric, items: Sequence[ItemResult], accuracy: JudgeAccuracy, opposite: bool) -> Figure:
    """A judged share as it would be if the judge made no errors, provided that it errs here as it does on the labelled
    rows of `accuracy`. `opposite`: the share counts what the labels call negative."""
    known = [item.value for item in items if item.value is not None]
    positives = len(known) - sum(known) if opposite else sum(known)
    found = None
    if accuracy.sensitivity is not None and accuracy.specificity is not None:
        found = corrected_rate(
            positives,
            len(known),
            accuracy.sensitivity,
            accuracy.hits + accuracy.misses,
            accuracy.specificity,
            accuracy.rejections + accuracy.false_alarms,
        )
    rate, interval = (None, None) if found is None else found
    if opposite and rate is not None and interval is not None:
        rate, interval = 1 - rate, Interval(1 - interval.high, 1 - interval.low)
    title = f"{metric.title}, corrected for the judge's errors"
    return figure(f"{metric.task}_corrected", title, rate, interval, items, "share")


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
