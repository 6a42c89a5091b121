"""Is a stated probability right, and does it know which answers are? Calibration error and selective accuracy.

An answer has a confidence in [0, 1] and was right (1) or not (0). Knows numbers only; what they measure is the
caller's matter.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from truing.core.statistics import Interval, cluster_bootstrap_of

BINS = 10
Floats = NDArray[np.float64]


def expected_calibration_error(confidence: Sequence[float], right: Sequence[float], bins: int = BINS) -> float | None:
    """Σ_b |right_b − confidence_b| / n, both summed within `bins` equal steps of confidence (Naeini et al. 2015, AAAI).
    None without answers.

    Never 0 by chance: see `chance_error`.
    """
    if not confidence:
        return None
    return float(_error(*(np.array([sum(column)]) for column in _columns(confidence, right, bins)))[0])


def error_interval(
    confidence: Sequence[float], right: Sequence[float], bins: int = BINS, *, seed: int = 0, resamples: int = 10_000
) -> Interval:
    """95% of the calibration error: bootstrap over answers, on each side the wider of the percentile interval and its
    reflection at the estimate, within [0, 1]. Resampling adds to an error that chance has already made too large, so
    that percentiles alone would exclude an error of 0; the reflection alone would be no interval where 0 is found."""
    estimate = expected_calibration_error(confidence, right, bins)
    if estimate is None:
        return Interval(-math.inf, math.inf)
    columns = _columns(confidence, right, bins)
    low, high = cluster_bootstrap_of(columns, range(len(right)), _error, seed=seed, resamples=resamples)
    return Interval(max(0.0, min(low, 2 * estimate - high)), min(1.0, max(high, 2 * estimate - low)))


def chance_error(confidence: Sequence[float], bins: int = BINS, *, seed: int = 0, draws: int = 2000) -> float | None:
    """The mean error that answers with these confidences would show if every confidence were right: what is left of
    `expected_calibration_error` by chance, from few answers much."""
    if not confidence:
        return None
    stated = np.asarray(confidence)
    right = np.random.default_rng(seed).random((draws, len(stated))) < stated
    place = _place(confidence, bins)
    sums = [(right - stated)[:, place == number].sum(axis=1) for number in range(bins)]
    return float(np.abs(sums).sum(axis=0).mean() / len(stated))


def selective_accuracy(confidence: Sequence[float], right: Sequence[float]) -> float | None:
    """The area under the curve of accuracy over coverage: the mean, over k = 1 … n, of the accuracy of the k most
    confident answers (El-Yaniv and Wiener 2010, JMLR 11:1605). Answers of equal confidence stand in random order, so
    each counts as their mean. The plain accuracy where confidence knows nothing. None without answers."""
    if not confidence:
        return None
    return _area(np.asarray(confidence, dtype=np.float64), np.asarray(right, dtype=np.float64))


def selective_interval(
    confidence: Sequence[float], right: Sequence[float], *, seed: int = 0, resamples: int = 2000
) -> Interval:
    """95% of the area: percentile bootstrap over answers. With fewer than two nothing is known."""
    if len(right) < 2:
        return Interval(-math.inf, math.inf)
    stated, values = np.asarray(confidence, dtype=np.float64), np.asarray(right, dtype=np.float64)
    drawn = np.random.default_rng(seed).integers(0, len(values), size=(resamples, len(values)))
    low, high = np.quantile([_area(stated[one], values[one]) for one in drawn], [0.025, 0.975])
    return Interval(float(low), float(high))


def _area(confidence: Floats, right: Floats) -> float:
    _, group, count = np.unique(-confidence, return_inverse=True, return_counts=True)
    mean = np.bincount(group, weights=right) / count
    return float((np.cumsum(np.repeat(mean, count)) / np.arange(1, len(right) + 1)).mean())


def _place(confidence: Sequence[float], bins: int) -> NDArray[np.int64]:
    return np.minimum((np.asarray(confidence) * bins).astype(np.int64), bins - 1)


def _columns(confidence: Sequence[float], right: Sequence[float], bins: int) -> list[list[float]]:
    """Of each bin: right minus confidence of the answers in it; and a last column of ones."""
    place = _place(confidence, bins)
    differences = np.asarray(right, dtype=np.float64) - np.asarray(confidence, dtype=np.float64)
    return [*(np.where(place == number, differences, 0.0).tolist() for number in range(bins)), [1.0] * len(place)]


def _error(*sums: Floats) -> Floats:
    made: Floats = np.abs(np.stack(sums[:-1])).sum(axis=0) / sums[-1]
    return made
