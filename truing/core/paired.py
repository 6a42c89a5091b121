"""What the gains of one system over another on the same items show: all at once, or read one by one.

A gain is candidate − baseline, turned so that more is better. `margin` is how much worse is still allowed. Three claims
are tested, each at half of `ALPHA` (as a two-sided 95% interval does):

    better    the mean gain is above 0
    worse     the mean gain is below −margin
    no worse  the mean gain is above −margin

"Better" and "worse" are alarms, and several metrics raise more of them by chance: their p-value is to be adjusted for
all metrics. "No worse" is what every metric must show before a candidate passes, so it needs no adjustment (an
intersection–union test: Berger 1982, Technometrics 24:295). Knows numbers only.
"""

import math
from collections.abc import Hashable, Sequence
from functools import lru_cache
from statistics import NormalDist
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from truing.core import sequential
from truing.core.detectable import Counts, Rule, detectable_worsening
from truing.core.sequential import Array, Units, confidence_sequence, first_at_least, log_capital, mirrored
from truing.core.statistics import (
    Interval,
    cluster_bootstrap,
    detectable_errors,
    mcnemar_exact,
    sign_flip_test,
    smallest_detectable_effect,
    sums_by_cluster,
    tango,
    tango_statistic,
    variance_of_mean,
)

ALPHA = 0.05
Settled = Literal["better", "worse", "no worse"]


class Evidence(NamedTuple):
    """The mean gain with its 95% interval; `p`, two-sided, of the hypothesis that the mean lies between −margin and 0;
    and the smallest worsening that would be called worse with 80% power."""

    mean: float | None
    interval: Interval
    p: float
    detectable: float


NOTHING = Evidence(None, Interval(-math.inf, math.inf), 1.0, math.inf)


def at_once(
    gains: Sequence[float],
    clusters: Sequence[Hashable],
    *,
    yes_or_no: bool,
    margin: float = 0.0,
    alpha: float = ALPHA,
    seed: int = 0,
) -> Evidence:
    """Evidence from all items. `alpha` is the level at which the adjusted test will be read in the worst case: ALPHA
    divided by the number of metrics. `yes_or_no`: every gain is −1, 0 or 1, and both sides were 0 or 1.

    Independent yes-or-no items: Tango's interval, McNemar's exact test at 0, Tango's test at a margin. Otherwise the
    cluster bootstrap (of yes-or-no items at least Tango's interval, which is right where no item differs), and the
    sign-flip test over clusters.
    """
    n = len(gains)
    if n == 0:
        return NOTHING
    mean, independent = sum(gains) / n, len(set(clusters)) == n
    fewer, more = sum(gain < 0 for gain in gains), sum(gain > 0 for gain in gains)
    if yes_or_no and independent:
        interval = tango(fewer, more, n)
    else:
        confidence = expanded_confidence(len(set(clusters)))
        interval = cluster_bootstrap(gains, clusters, seed=seed, confidence=confidence)
        if yes_or_no:
            score = tango(fewer, more, n)
            interval = Interval(min(score.low, max(-1.0, interval.low)), max(score.high, min(1.0, interval.high)))
    null = -margin if mean < -margin else 0.0
    if -margin <= mean < 0:
        p = 1.0
    elif not (yes_or_no and independent):
        p = sign_flip_test([gain - null for gain in gains], clusters, seed=seed)
    elif null == 0:
        p = mcnemar_exact(fewer, more)
    else:
        p = 2 * NormalDist().cdf(-abs(tango_statistic(float(fewer), float(more), n, null)))
    return Evidence(mean, interval, p, detectable_at_once(gains, clusters, yes_or_no, margin, alpha))


def expanded_confidence(clusters: int) -> float:
    """Between which percentiles of so many resampled clusters 95% lie: resampling knows neither Student's quantile nor
    that its variance is too small by (G − 1)/G (Hesterberg 2015, The American Statistician 69:371)."""
    from scipy.special import stdtrit

    if clusters < 2:
        return 1 - ALPHA
    quantile = float(stdtrit(clusters - 1, 1 - ALPHA / 2)) * math.sqrt(clusters / (clusters - 1))
    return 1 - 2 * NormalDist().cdf(-quantile)


def detectable_at_once(
    gains: Sequence[float], clusters: Sequence[Hashable], yes_or_no: bool, margin: float, alpha: float
) -> float:
    """The smallest worsening that `at_once` would call worse with 80% power. Arguments as there."""
    if not yes_or_no:
        return margin + smallest_detectable_effect(gains, clusters, alpha=alpha)
    whole, differing = _as_independent(gains, clusters), sum(gain != 0 for gain in gains)
    found = _of_independent(whole, round(differing * whole / len(gains), 1), margin, alpha)
    count = len(set(clusters))
    if count == len(gains) or count < 2:
        return found if count > 1 else math.inf
    return margin + (found - margin) * _for_few(count, alpha)


def _for_few(units: int, alpha: float) -> float:
    """By how much a detectable effect is larger because the spread of so few units is itself uncertain."""
    return detectable_errors(units - 1, alpha) / (_z(1 - alpha / 2) + _z(0.8))


@lru_cache(maxsize=4096)
def _of_independent(n: int, differing: float, margin: float, alpha: float) -> float:
    return detectable_worsening(_worse_at_once(margin, alpha), n, differing, margin)


def _worse_at_once(margin: float, alpha: float) -> Rule:
    """When independent yes-or-no items are called worse."""
    from scipy.special import bdtr

    z = _z(1 - alpha / 2)

    def rule(fewer: Counts, more: Counts, n: int) -> NDArray[np.bool_]:
        if margin == 0:
            tail = np.asarray(bdtr(more, (fewer + more).astype(np.int64), 0.5))
            return (fewer > more) & (2 * tail < alpha)
        return tango_statistic(fewer, more, n, -margin) <= -z

    return rule


def _z(share: float) -> float:
    return NormalDist().inv_cdf(share)


def _as_independent(gains: Sequence[float], clusters: Sequence[Hashable]) -> int:
    """How many independent items say as much as these: n by the design effect (Kish 1965), which is at least 1. Where
    no item differs it cannot be estimated, and a cluster counts as one item."""
    n = len(gains)
    apart, _ = variance_of_mean(gains, range(n))
    together, count = variance_of_mean(gains, clusters)
    if count == n:
        return n
    return max(1, round(n / max(1.0, together / apart))) if apart > 0 else count


class Stops(NamedTuple):
    """After how many units each claim is certain (∞: never); arrays where there are many runs."""

    better: Array
    worse: Array
    no_worse: Array
    best_log_capital: Array


def stops(units: Units, margin: float = 0.0, tests: int = 1) -> Stops:
    """When each claim becomes certain as units are read in their order. "Better" and "worse" are held to ALPHA / 2
    divided by the number of metrics (Bonferroni: a metric stops without waiting for others)."""
    alarm, enough = math.log(2 * tests / ALPHA), math.log(2 / ALPHA)
    up, down = log_capital(units, 0.0), log_capital(mirrored(units), margin)
    within = up if margin == 0 else log_capital(units, -margin)
    best = np.maximum.accumulate(np.maximum(up, down), axis=-1)
    return Stops(first_at_least(up, alarm), first_at_least(down, alarm), first_at_least(within, enough), best)


class Read(NamedTuple):
    """What reading one by one came to: the evidence of the items read, how many these are, and the claim that ended it
    (None: all were read, and nothing is certain)."""

    evidence: Evidence
    items: int
    settled: Settled | None


class Plan(NamedTuple):
    """In which random order the clusters of an evaluation that still runs are read, and the number of items of the
    largest: fixed before the first is measured."""

    order: Sequence[Hashable]
    largest: int


def one_by_one(
    gains: Sequence[float],
    clusters: Sequence[Hashable],
    *,
    margin: float = 0.0,
    tests: int = 1,
    wanted: Literal["better", "no worse"] = "no worse",
    seed: int = 0,
    plan: Plan | None = None,
) -> Read:
    """Read items in a random order fixed by `seed`, or by `plan`, whole clusters at a time, and stop as soon as the
    verdict is certain: better, worse, or, where that is all that is `wanted`, no worse. Gains lie in [−1, 1]. With a
    plan, the clusters that are not there yet come after those that are: asked again with more of them, the reading goes
    on where it was.

    The interval holds whenever one stops; the mean of the items read is pulled towards what stopped the reading. The
    detectable worsening is that of reading all items.
    """
    if not gains:
        return Read(NOTHING, 0, None)
    sums, sizes = sums_by_cluster(gains, clusters)
    if plan is None:
        order, largest = np.random.default_rng(seed).permutation(len(sums)), float(sizes.max())
    else:
        places = {cluster: place for place, cluster in enumerate(dict.fromkeys(clusters))}
        order = np.array([places[cluster] for cluster in plan.order if cluster in places])
        largest = float(plan.largest)
    units = Units(sums[order] / largest, sizes[order] / largest, largest)
    found = stops(units, margin, tests)
    ends = {"better": float(found.better), "worse": float(found.worse), "no worse": float(found.no_worse)}
    waited = [when for claim, when in ends.items() if not (claim == "no worse" and wanted == "better")]
    count = int(min([*waited, float(len(sums))]))
    settled: Settled | None = None
    for claim in ("better", "worse", "no worse"):
        if settled is None and ends[claim] <= count:
            settled = claim
    read = Units(units.sums[:count], units.sizes[:count], largest)
    items = round(float(read.sizes.sum()) * largest)
    evidence = Evidence(
        mean=float(read.sums.sum() / read.sizes.sum()),
        interval=confidence_sequence(read, 1 - ALPHA),
        p=min(1.0, 2 * math.exp(-float(found.best_log_capital[count - 1]))),
        detectable=detectable_one_by_one(units, margin, tests),
    )
    return Read(evidence, items, settled)


def detectable_one_by_one(units: Units, margin: float = 0.0, tests: int = 1) -> float:
    """The smallest worsening that `one_by_one` would call worse with 80% power, of all these units."""
    count = len(units.sums)
    if count < 2:
        return math.inf
    found = sequential.detectable_worsening(units, math.log(2 * tests / ALPHA), margin)
    return margin + (found - margin) * _for_few(count, ALPHA / tests)
