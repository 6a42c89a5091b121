"""Two systems on the same items: paired differences, intervals, tests, a verdict that may be "not enough evidence".

Items are joined by (task, item). An item that is unknown on either side is left out of the difference, and counted; or,
where its terms say so, it counts as a failure.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import Literal, NamedTuple

from truing.core.errors import InputError
from truing.core.paired import ALPHA, Plan, at_once, one_by_one
from truing.core.records import ItemResult, Record
from truing.core.statistics import Interval, holm
from truing.evals.metric import Aspect, Metric, mean_interval

Verdict = Literal["better", "worse", "no worse", "not enough evidence"]


class Terms(NamedTuple):
    """On what terms a metric is judged: how much worse is still no worse, which verdict is wanted (None: none, the
    decision does not rest on the difference), and what an unknown item counts as."""

    margin: float = 0.0
    wanted: Literal["better", "no worse"] | None = "no worse"
    unknown: Literal["left out", "failures"] = "left out"


class Side(Record):
    """One system on one metric: the mean over known items with its 95% interval, and what is unknown or was cut."""

    mean: float | None
    low: float
    high: float
    unknown: int
    cut: int


class MetricComparison(Record):
    """Baseline against candidate on one metric.

    `difference` is candidate − baseline over the n items known on both sides, with its 95% interval. `p` is of the
    hypothesis that the candidate is neither better nor worse by more than `margin`, `adjusted_p` the same for all
    metrics (Holm's). `detectable` is the smallest worsening that would have been called worse with 80% power. Where
    items were read one by one, `read` of the n were, until the verdict was certain; difference and interval are theirs.
    """

    task: str
    title: str
    better: Literal["higher", "lower"]
    unit: Literal["share", "nats", "score"]
    aspect: Aspect | None = None
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
    margin: float = 0.0
    unknown_as: Literal["left out", "failures"] = "left out"
    read: int | None = None


def compare(
    baseline: Sequence[ItemResult],
    candidate: Sequence[ItemResult],
    metrics: Sequence[Metric],
    terms: Mapping[str, Terms] | None = None,
    seed: int = 0,
    sequential: bool = False,
    plans: Mapping[str, Plan] | None = None,
) -> list[MetricComparison]:
    """Compare on every metric that both sides measured.

    `terms` says on which metrics a decision rests (those with a wanted verdict): their p-values are adjusted for each
    other, those of the rest for all metrics. `sequential`: the items of these metrics, where their values lie in
    [0, 1], are read in a random order until the verdict is certain; p-values are then adjusted by Bonferroni's rule.
    `plans` gives that order by metric, of all on which the decision rests, where the evaluation still runs.

    Raises `InputError` where the two sides did not measure the same items, or an item has another prompt.
    """
    terms = terms or {}
    sides = [by_task(baseline), by_task(candidate)]
    measured = []
    for metric in metrics:
        ours, theirs = (side.get(metric.task, {}) for side in sides)
        check_same_items(metric.task, ours, theirs)
        if ours:
            measured.append((metric, ours, theirs))
    tasks = [metric.task for metric, *_ in measured]
    named = [task for task in tasks if task in terms and terms[task].wanted]
    results = []
    for metric, ours, theirs in measured:
        tests = len(plans or named) if metric.task in named else len(tasks)
        own = terms.get(metric.task, Terms(wanted=None))
        plan = (plans or {}).get(metric.task)
        results.append(_compare_metric(metric, ours, theirs, own, tests, seed, sequential, plan))
    adjusted = _adjusted(results, tasks) | _adjusted(results, named, bonferroni=sequential)
    return [_judged(result, adjusted[result.task]) for result in results]


def _adjusted(
    results: Sequence[MetricComparison], tasks: Collection[str], bonferroni: bool = False
) -> dict[str, float]:
    """The p-values of these tasks, adjusted for each other."""
    values = [result.p for result in results if result.task in tasks]
    found = [min(1.0, len(values) * p) for p in values] if bonferroni else holm(values)
    return dict(zip((result.task for result in results if result.task in tasks), found, strict=True))


def _judged(result: MetricComparison, p: float) -> MetricComparison:
    """With the adjusted p, and the verdict: reading one by one has already come to one."""
    if result.read is not None:
        return result.model_copy(update={"adjusted_p": p})
    interval = Interval(result.low, result.high)
    verdict = verdict_of(result.better, result.difference, interval, p, result.margin)
    return result.model_copy(update={"adjusted_p": p, "verdict": verdict})


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
    metric: Metric,
    baseline: dict[str, ItemResult],
    candidate: dict[str, ItemResult],
    terms: Terms,
    tests: int,
    seed: int,
    sequential: bool,
    plan: Plan | None,
) -> MetricComparison:
    """`tests`: how many metrics this one is adjusted for."""
    names = sorted(baseline)
    ours, theirs = ([of[name] for name in names] for of in (baseline, candidate))
    worst = 0.0 if metric.better == "higher" else 1.0
    if terms.unknown == "failures":
        _check_shares(metric, [*ours, *theirs], "unknown items cannot count as failures")
    a, b = ([_counted(item, terms, worst) for item in of] for of in (ours, theirs))
    known = [(x, y, item.cluster) for x, y, item in zip(a, b, ours, strict=True) if x is not None and y is not None]
    sign = 1 if metric.better == "higher" else -1
    gains, clusters = [sign * (y - x) for x, y, _ in known], [cluster for *_, cluster in known]
    if metric.unit == "share" and terms.margin >= 1:
        raise InputError(
            f"{metric.task} is a share, and its margin is {terms.margin:g}; give one below 1 "
            "(5 percentage points are 0.05)"
        )
    verdict: Verdict = "not enough evidence"
    read = None
    if sequential and terms.wanted is not None and all(0 <= value <= 1 for x, y, _ in known for value in (x, y)):
        reading = one_by_one(
            gains, clusters, margin=terms.margin, tests=tests, wanted=terms.wanted, seed=seed, plan=plan
        )
        evidence, read, verdict = reading.evidence, reading.items, reading.settled or verdict
    else:
        yes_or_no = metric.unit == "share" and all(value in (0.0, 1.0) for x, y, _ in known for value in (x, y))
        evidence = at_once(gains, clusters, yes_or_no=yes_or_no, margin=terms.margin, alpha=ALPHA / tests, seed=seed)
    low, high = sorted((sign * evidence.interval.low, sign * evidence.interval.high))
    return MetricComparison(
        task=metric.task,
        title=metric.title,
        better=metric.better,
        unit=metric.unit,
        aspect=metric.aspect,
        items=len(names),
        n=len(known),
        baseline=side(ours, metric, seed, a),
        candidate=side(theirs, metric, seed, b),
        difference=None if evidence.mean is None else sign * evidence.mean,
        low=low,
        high=high,
        p=evidence.p,
        adjusted_p=1.0,
        detectable=evidence.detectable,
        verdict=verdict,
        margin=terms.margin,
        unknown_as=terms.unknown,
        read=read,
    )


def _counted(item: ItemResult, terms: Terms, worst: float) -> float | None:
    """An item's value on these terms."""
    return worst if item.value is None and terms.unknown == "failures" else item.value


def _check_shares(metric: Metric, items: Sequence[ItemResult], what: str) -> None:
    for item in items:
        if item.value is not None and not 0 <= item.value <= 1:
            raise InputError(f"{metric.task}: {what}, since {item.item!r} has the value {item.value:g}, outside 0 to 1")


def side(
    items: Sequence[ItemResult], metric: Metric, seed: int = 0, values: Sequence[float | None] | None = None
) -> Side:
    """The mean of the known values with its interval (`metric.mean_interval`); `values`: what the items count as, if
    not their own values."""
    counted = [item.value for item in items] if values is None else values
    known = [(value, item.cluster) for value, item in zip(counted, items, strict=True) if value is not None]
    interval = mean_interval(known, metric.unit, seed)
    return Side(
        mean=sum(value for value, _ in known) / len(known) if known else None,
        low=interval.low,
        high=interval.high,
        unknown=sum(item.value is None for item in items),
        cut=sum(item.finished is False for item in items),
    )


def verdict_of(
    better: Literal["higher", "lower"], difference: float | None, interval: Interval, p: float, margin: float = 0.0
) -> Verdict:
    """Better and worse need both the interval and the adjusted test; no worse an interval within the margin. What is
    surely worse, but not surely by more than the margin nor by less, is not enough evidence (Piaggio et al. 2012, JAMA
    308:2594)."""
    if difference is None:
        return "not enough evidence"
    sign = 1 if better == "higher" else -1
    worst, best = sorted((sign * interval.low, sign * interval.high))
    if p < ALPHA and worst > 0:
        return "better"
    if p < ALPHA and best < -margin:
        return "worse"
    return "no worse" if worst >= -margin else "not enough evidence"
