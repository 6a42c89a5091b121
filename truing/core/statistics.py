"""Uncertainty: intervals, paired tests, the smallest effect a sample could have shown, correction for many looks.

Everything is two-sided. Knows numbers only; what they measure is the caller's matter.
"""

import math
from collections.abc import Callable, Hashable, Sequence
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray


class Interval(NamedTuple):
    """A confidence interval."""

    low: float
    high: float


def wilson(successes: float, n: int, confidence: float = 0.95) -> Interval:
    """Wilson's score interval of a proportion (Wilson 1927, JASA 22:209). With n = 0 nothing is known: (0, 1)."""
    if n == 0:
        return Interval(0.0, 1.0)
    z = _normal_quantile(0.5 + confidence / 2)
    share = successes / n
    centre = share + z * z / (2 * n)
    spread = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    low = 0.0 if successes == 0 else max(0.0, (centre - spread) / scale)
    high = 1.0 if successes == n else min(1.0, (centre + spread) / scale)
    return Interval(low, high)


class Corrected(NamedTuple):
    """A rate corrected for the errors of what measured it, with its interval. `unclipped` is the rate before it was
    brought into [0, 1]. Not `possible` where the interval, too, lies outside of it: such errors could not have given
    what was counted, and so they were not these."""

    rate: float
    interval: Interval
    unclipped: float
    possible: bool


def corrected_rate(
    positives: float,
    n: float,
    sensitivity: float,
    of_positives: float,
    specificity: float,
    of_negatives: float,
    confidence: float = 0.95,
) -> Corrected | None:
    """A rate as it would be without the judge's errors, which were estimated on so many labelled positives and
    negatives: (p + specificity − 1) / (sensitivity + specificity − 1), within [0, 1] (Rogan and Gladen 1978, American
    Journal of Epidemiology 107:71). The interval counts the uncertainty of all three (Lang and Reiczigel 2014,
    Preventive Veterinary Medicine 113:13). It takes all rows as independent: where they are not, give numbers of rows
    that were divided by their `design_effect`. None where the judge does no better than a coin, or n is 0.
    """
    better = sensitivity + specificity - 1
    if n == 0 or of_positives == 0 or of_negatives == 0 or better <= 0:
        return None
    z = _normal_quantile(0.5 + confidence / 2)
    share = (positives + z * z / 2) / (n + z * z)
    hit = (sensitivity * of_positives + 1) / (of_positives + 2)
    reject = (specificity * of_negatives + 1) / (of_negatives + 2)
    spread_hit, spread_reject = hit * (1 - hit) / (of_positives + 2), reject * (1 - reject) / (of_negatives + 2)
    scale = hit + reject - 1
    centre = (share + reject - 1) / scale
    shift = 2 * z * z * (centre * spread_hit - (1 - centre) * spread_reject)
    variance = share * (1 - share) / (n + z * z) + centre**2 * spread_hit + (1 - centre) ** 2 * spread_reject
    spread = z * math.sqrt(variance) / scale
    low, high = (centre + shift + side * spread for side in (-1, 1))
    rate = (positives / n + specificity - 1) / better
    return Corrected(_share(rate), Interval(_share(low), _share(high)), rate, possible=low <= 1 and high >= 0)


def _share(value: float) -> float:
    """The nearest value that a share can have."""
    return min(1.0, max(0.0, value))


def design_effect(values: Sequence[float], clusters: Sequence[Hashable]) -> float:
    """By how much clusters raise the variance of a mean of 0s and 1s above that of independent rows; at least 1 (Kish
    1965, Survey Sampling), and 1 where nothing varies or there are fewer than two clusters."""
    mean = sum(values) / len(values) if values else 0.0
    variance, count = variance_of_mean(values, clusters)
    independent = mean * (1 - mean) / max(1, len(values) - 1)
    return max(1.0, variance / independent) if count > 1 and independent > 0 else 1.0


def mcnemar_exact(only_a: int, only_b: int) -> float:
    """The exact p-value of McNemar's test (1947): with no difference, discordant pairs fall like a fair coin."""
    n, k = only_a + only_b, min(only_a, only_b)
    tail: float = sum(math.comb(n, i) for i in range(k + 1)) / 2**n
    return min(1.0, 2 * tail)


def tango(only_a: float, only_b: float, n: int, confidence: float = 0.95) -> Interval:
    """The score interval of a paired difference of proportions, (only_b − only_a) / n, over n pairs.

    Tango 1998, Statistics in Medicine 17:891. Right where no pair differs, too: then ±z² / (n + z²). With n = 0 nothing
    is known: (−1, 1).
    """
    if n == 0:
        return Interval(-1.0, 1.0)
    z = _normal_quantile(0.5 + confidence / 2)
    observed = (only_b - only_a) / n
    # The statistic falls as the assumed difference rises, so that each limit is found by halving.
    low = _root(lambda delta: tango_statistic(only_a, only_b, n, delta) - z, -1.0, observed)
    high = _root(lambda delta: tango_statistic(only_a, only_b, n, delta) + z, observed, 1.0)
    return Interval(low, high)


Number = TypeVar("Number", float, NDArray[np.float64])


def tango_statistic(only_a: Number, only_b: Number, n: int, delta: float) -> Number:
    """Tango's statistic at an assumed difference δ in (−1, 1), standard normal when δ is true:
    (b − a − nδ) / √(n (2 q + δ (1 − δ))), q the constrained maximum-likelihood estimate of P(only a). At δ = 0 it is
    McNemar's. Of numbers, or of arrays. Where the variance is 0 it is 0, or past all quantiles."""
    linear = (2 * n - only_b + only_a) * delta - only_a - only_b
    q = (abs(linear**2 + 8 * n * only_a * delta * (1 - delta)) ** 0.5 - linear) / (4 * n)
    variance = n * (2 * q + delta * (1 - delta))
    # abs() and the last term: a variance of 0 may come out as ±1e-17.
    statistic: Number = (only_b - only_a - n * delta) / (abs(variance) + 1e-300) ** 0.5
    return statistic


def _root(falling: Callable[[float], float], low: float, high: float) -> float:
    """Where a falling function crosses 0 between `low` and `high`; the nearer end if it does not."""
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if falling(middle) > 0 else (low, middle)
    return (low + high) / 2


def cluster_bootstrap(
    values: Sequence[float],
    clusters: Sequence[Hashable],
    *,
    seed: int = 0,
    resamples: int = 10_000,
    confidence: float = 0.95,
) -> Interval:
    """The percentile interval of a mean when items within a cluster are not independent: whole clusters are resampled.

    Give paired differences to compare two systems on the same items. With fewer than two clusters nothing is known
    about the spread: (−∞, ∞). Percentile, since it respects bounds and is transparent; near-nominal from about 30
    clusters on (Cameron, Gelbach and Miller 2008, "Bootstrap-based improvements for inference with clustered errors").
    """
    return cluster_bootstrap_of(
        [values, [1.0] * len(values)], clusters, np.divide, seed=seed, resamples=resamples, confidence=confidence
    )


def cluster_bootstrap_of(
    columns: Sequence[Sequence[float]],
    clusters: Sequence[Hashable],
    statistic: Callable[..., NDArray[np.float64]],
    *,
    seed: int = 0,
    resamples: int = 10_000,
    confidence: float = 0.95,
) -> Interval:
    """As `cluster_bootstrap`, of a statistic of several columns' sums, such as a ratio: `statistic` takes an array
    [resamples] for each column, and may give NaN where a resample does not say (it is left out)."""
    sums = [sums_by_cluster(column, clusters)[0] for column in columns]
    count = len(sums[0])
    if count < 2:
        return Interval(-math.inf, math.inf)
    random = np.random.default_rng(seed)
    found = np.empty(resamples)
    step = max(1, 4_000_000 // count)
    for start in range(0, resamples, step):
        stop = min(start + step, resamples)
        drawn = random.integers(0, count, size=(stop - start, count))
        found[start:stop] = statistic(*(one[drawn].sum(axis=1) for one in sums))
    found = found[~np.isnan(found)]
    if not len(found):
        return Interval(-math.inf, math.inf)
    tail = (1 - confidence) / 2
    low, high = np.quantile(found, [tail, 1 - tail])
    return Interval(float(low), float(high))


def sign_flip_test(
    differences: Sequence[float], clusters: Sequence[Hashable], *, seed: int = 0, resamples: int = 10_000
) -> float:
    """The p-value of a paired permutation test.

    With no difference, each cluster's differences could as well carry the other sign. The observed signs count as one
    of the draws, so p is never 0 (Phipson and Smyth 2010).
    """
    sums, _ = sums_by_cluster(differences, clusters)
    observed = abs(sums.sum())
    random = np.random.default_rng(seed)
    as_extreme = 0
    step = max(1, 4_000_000 // max(1, len(sums)))
    for start in range(0, resamples, step):
        signs = random.choice((-1.0, 1.0), size=(min(step, resamples - start), len(sums)))
        as_extreme += int((np.abs(signs @ sums) >= observed * (1 - 1e-12)).sum())
    return (as_extreme + 1) / (resamples + 1)


def smallest_detectable_effect(
    differences: Sequence[float], clusters: Sequence[Hashable], *, alpha: float = 0.05, power: float = 0.8
) -> float:
    """The smallest true mean difference that another sample of this size shows with the given power, clusters counted
    as the independent units. ∞ with fewer than two."""
    variance, count = variance_of_mean(differences, clusters)
    return math.inf if count < 2 else detectable_errors(count - 1, alpha, power) * math.sqrt(variance)


def detectable_errors(freedom: int, alpha: float = 0.05, power: float = 0.8) -> float:
    """The smallest detectable effect c in standard errors, each estimated with so many degrees of freedom:
    c = t_{1−α/2} + z_power √(1 + c² / freedom). The root counts that the error is uncertain here and in the sample that
    is to show it (the variance of the logarithm of their ratio is 1 / freedom)."""
    from scipy.special import stdtrit

    t, z = float(stdtrit(freedom, 1 - alpha / 2)), _normal_quantile(power)
    return t + z * math.sqrt(1 + (t + z) ** 2 / freedom)


class Estimate(NamedTuple):
    """A mean over training runs and items. `seed_error` and `item_error` are its standard errors from either (None: not
    known), `p` the two-sided p-value of a mean of 0."""

    mean: float
    low: float
    high: float
    p: float
    seed_error: float | None
    item_error: float | None


def over_seeds(
    values: Sequence[Sequence[float]], clusters: Sequence[Hashable] | None = None, *, confidence: float = 0.95
) -> Estimate:
    """The mean of values [S seeds, I items], where both were drawn by chance: y_si = μ + a_s + b_i + e_si.

    Its variance is σ²_a/S + σ²_b/I + σ²_e/(S I). It is estimated by the sum of two one-way variances, that of the S
    seed means and that of the I item means (items of one cluster counted as one), each divided by its number: a sum
    that counts the last term twice, so it is too large rather than too small (Clark 1973, "The language-as-fixed-effect
    fallacy": min F′). The quantile is Cochran's (1964, Biometrics 20:191): the mean of Student's with S − 1 and with
    clusters − 1 degrees of freedom, weighted by the two variances. It covers too often rather than too rarely, where
    Satterthwaite's degrees of freedom covered 92% with three seeds. Without `clusters` this is Student's interval.

    Give differences, paired by seed and item, to compare two methods. What it does not know: anything that all seeds
    share (data, settings, the reward that measures), and, from a few seeds, whether their effects are normal. With one
    seed nothing is known about methods: (−∞, ∞). Where nothing varies, p is that of a coin for each cluster (or seed).
    """
    from scipy.special import stdtrit

    matrix = np.asarray(values, dtype=float)
    if clusters is None and matrix.shape[1] != 1:
        raise ValueError(f"{matrix.shape[1]} items and no clusters; give every item one")
    mean = float(matrix.mean())
    parts = [variance_of_mean(matrix.mean(axis=1), range(len(matrix)))]
    if clusters is not None:
        parts.append(variance_of_mean(matrix.mean(axis=0), clusters))
    seed_error, item_error = (None if units < 2 else math.sqrt(variance) for variance, units in [*parts, (0.0, 0)][:2])
    if min(units for _, units in parts) < 2:
        return Estimate(mean, -math.inf, math.inf, 1.0, seed_error, item_error)
    total = sum(variance for variance, _ in parts)
    if total <= (1e-9 * mean) ** 2:
        p = mcnemar_exact(0, parts[-1][1]) if mean else 1.0
        return Estimate(mean, mean, mean, p, seed_error, item_error)

    def quantile(alpha: float) -> float:
        shares = ((variance / total, float(stdtrit(units - 1, 1 - alpha / 2))) for variance, units in parts)
        return sum(share * t for share, t in shares if share > 0)

    half = quantile(1 - confidence) * math.sqrt(total)
    p = _root(lambda alpha: quantile(alpha) - abs(mean) / math.sqrt(total), 0.0, 1.0)
    return Estimate(mean, mean - half, mean + half, p, seed_error, item_error)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down adjustment (1979): controls the chance of any false alarm among several tests. Input order."""
    order = sorted(range(len(p_values)), key=lambda number: p_values[number])
    adjusted = [0.0] * len(p_values)
    running = 0.0
    for rank, number in enumerate(order):
        running = max(running, min(1.0, (len(p_values) - rank) * p_values[number]))
        adjusted[number] = running
    return adjusted


def variance_of_mean(values: Sequence[float] | NDArray[np.float64], clusters: Sequence[Hashable]) -> tuple[float, int]:
    """The estimated variance of a mean, clusters the independent units, and how many of these there are: with fewer
    than two it is not known, and 0."""
    sums, sizes = sums_by_cluster(values, clusters)
    count = len(sums)
    if count < 2:
        return 0.0, count
    residuals = sums - sizes * (sums.sum() / sizes.sum())
    return count / (count - 1) * float((residuals**2).sum()) / float(sizes.sum()) ** 2, count


def sums_by_cluster(
    values: Sequence[float] | NDArray[np.float64], clusters: Sequence[Hashable]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Sum and size of each cluster."""
    if len(values) != len(clusters):
        raise ValueError(f"{len(values)} values for {len(clusters)} cluster labels")
    numbers: dict[Hashable, int] = {}
    places = np.array([numbers.setdefault(cluster, len(numbers)) for cluster in clusters], dtype=np.int64)
    array = np.asarray(values, dtype=float)
    return (
        np.bincount(places, weights=array, minlength=len(numbers)).astype(np.float64),
        np.bincount(places, minlength=len(numbers)).astype(np.float64),
    )


def _normal_quantile(share: float) -> float:
    from statistics import NormalDist

    return NormalDist().inv_cdf(share)
