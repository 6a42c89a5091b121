"""Two systems on the same items: paired differences, intervals, tests, a verdict that may be "not enough evidence".

Items are joined by (task, item). An item that is unknown on either side is left out of the difference, and counted.
"""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Literal

from truing.core.errors import InputError
from truing.core.records import ItemResult, Record
from truing.core.statistics import (
    Interval,
    cluster_bootstrap,
    holm,
    mcnemar_exact,
    sign_flip_test,
    smallest_detectable_effect,
    tango,
)
from truing.evals.metric import Metric, mean_interval, wider

ALPHA = 0.05
LEAST_DISCORDANT = 6  # fewer pairs than this, all in one direction, do not reach p < ALPHA in McNemar's exact test
Verdict = Literal["better", "worse", "no worse", "not enough evidence"]


class Side(Record):
    """One system on one metric: the mean over known items with its 95% interval, and what is unknown or was cut."""

    mean: float | None
    low: float
    high: float
    unknown: int
    cut: int


class MetricComparison(Record):
    """Baseline against candidate on one metric.

    `difference` is candidate − baseline over the n items known on both sides; its interval, for yes-or-no items, is the
    wider of Tango's and the cluster bootstrap's on each side. `adjusted_p` is Holm's over all metrics compared;
    `detectable` the smallest difference that the sample would have shown (80% power).
    """

    task: str
    title: str
    better: Literal["higher", "lower"]
    unit: Literal["share", "nats"]
    items: int
    n: int
    baseline: Side
    candidate: Side
    difference: float | None
    low: float
    high: float
    p: float
    adjusted_p: float
    detectable: float
    verdict: Verdict


def compare(
    baseline: Sequence[ItemResult],
    candidate: Sequence[ItemResult],
    metrics: Sequence[Metric],
    margins: dict[str, float] | None = None,
    seed: int = 0,
) -> list[MetricComparison]:
    """Compare on every metric that both sides measured. `margins` says, per metric, how much worse is still no worse.

    Raises `InputError` where the two sides did not measure the same items, or an item has another prompt.
    """
    sides = [by_task(baseline), by_task(candidate)]
    results = []
    for metric in metrics:
        ours, theirs = (side.get(metric.task, {}) for side in sides)
        check_same_items(metric.task, ours, theirs)
        if ours:
            results.append(_compare_metric(metric, ours, theirs, seed))
    judged = []
    for result, p in zip(results, holm([result.p for result in results]), strict=True):
        interval, margin = Interval(result.low, result.high), (margins or {}).get(result.task, 0.0)
        verdict = verdict_of(result.better, result.difference, interval, p, margin)
        judged.append(result.model_copy(update={"adjusted_p": p, "verdict": verdict}))
    return judged


def check_same_items(task: str, ours: Mapping[str, ItemResult], theirs: Mapping[str, ItemResult]) -> None:
    """Raise `InputError` where two sides did not measure the same items, or an item has another prompt."""
    if set(ours) != set(theirs):
        odd = sorted(set(ours) ^ set(theirs))
        raise InputError(
            f"{task}: {len(odd)} items were measured on one side only (for example {odd[0]!r}); "
            "evaluate both on the same items"
        )
    changed = sorted(item for item in ours if ours[item].prompt != theirs[item].prompt)
    if changed:
        raise InputError(
            f"{task}: {len(changed)} items have another prompt on each side (for example {changed[0]!r}); "
            "evaluate both on the same items"
        )


def by_task(items: Sequence[ItemResult]) -> dict[str, dict[str, ItemResult]]:
    """Items by task and name. Raises `InputError` where one stands twice."""
    tasks: dict[str, dict[str, ItemResult]] = defaultdict(dict)
    for item in items:
        if item.item in tasks[item.task]:
            raise InputError(f"{item.task}: the item {item.item!r} stands twice in one evaluation")
        tasks[item.task][item.item] = item
    return tasks


def _compare_metric(
    metric: Metric, baseline: dict[str, ItemResult], candidate: dict[str, ItemResult], seed: int
) -> MetricComparison:
    pairs = [(baseline[item], candidate[item]) for item in sorted(baseline)]
    known = [(a.value, b.value, a.cluster) for a, b in pairs if a.value is not None and b.value is not None]
    differences = [b - a for a, b, _ in known]
    clusters = [cluster for *_, cluster in known]
    interval = cluster_bootstrap(differences, clusters, seed=seed) if known else Interval(-math.inf, math.inf)
    detectable = smallest_detectable_effect(differences, clusters)
    if known and metric.unit == "share" and _binary(known):
        # Resampling knows no spread where no item differs, or all do: the score interval does.
        score = tango(sum(d < 0 for d in differences), sum(d > 0 for d in differences), len(known))
        interval = wider(score, interval, least=-1.0)
        detectable = max(detectable, LEAST_DISCORDANT / len(known)) if len(known) >= LEAST_DISCORDANT else math.inf
    return MetricComparison(
        task=metric.task,
        title=metric.title,
        better=metric.better,
        unit=metric.unit,
        items=len(pairs),
        n=len(known),
        baseline=side([a for a, _ in pairs], metric, seed),
        candidate=side([b for _, b in pairs], metric, seed),
        difference=sum(differences) / len(differences) if differences else None,
        low=interval.low,
        high=interval.high,
        p=_p_value(known, differences, clusters, seed),
        adjusted_p=1.0,
        detectable=detectable,
        verdict="not enough evidence",
    )


def side(items: Sequence[ItemResult], metric: Metric, seed: int = 0) -> Side:
    """The mean of the known values with its interval (`metric.mean_interval`)."""
    known = [(item.value, item.cluster) for item in items if item.value is not None]
    interval = mean_interval(known, metric.unit, seed)
    return Side(
        mean=sum(value for value, _ in known) / len(known) if known else None,
        low=interval.low,
        high=interval.high,
        unknown=len(items) - len(known),
        cut=sum(item.finished is False for item in items),
    )


def _p_value(known: list[tuple[float, float, str]], differences: list[float], clusters: list[str], seed: int) -> float:
    """Exact McNemar for yes-or-no items that are each their own cluster; otherwise the sign-flip test over clusters."""
    if not known:
        return 1.0
    if _binary(known) and len(set(clusters)) == len(clusters):
        return mcnemar_exact(sum(d < 0 for d in differences), sum(d > 0 for d in differences))
    return sign_flip_test(differences, clusters, seed=seed)


def _binary(known: list[tuple[float, float, str]]) -> bool:
    return all(value in (0.0, 1.0) for a, b, _ in known for value in (a, b))


def verdict_of(
    better: Literal["higher", "lower"], difference: float | None, interval: Interval, p: float, margin: float = 0.0
) -> Verdict:
    """Better and worse need both the interval and the adjusted test; no worse an interval within the margin."""
    if difference is None:
        return "not enough evidence"
    sign = 1 if better == "higher" else -1
    worst, best = sorted((sign * interval.low, sign * interval.high))
    if p < ALPHA and worst > 0:
        return "better"
    if p < ALPHA and best < -margin:
        return "worse"
    return "no worse" if worst >= -margin else "not enough evidence"
