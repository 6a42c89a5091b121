"""Quantiles with exact intervals: which order statistics enclose a quantile of what the values were drawn from.

Of n independent values the number below the true q-quantile is Binomial(n, q), whatever the distribution. So the k-th
smallest lies above it with probability P(Binomial(n, q) < k), and two order statistics enclose it with at least the
confidence that is asked for (Hahn and Meeker 1991, Statistical Intervals, 5.2). Of few values a high quantile has no
upper bound: it is ∞, not the largest value that happened to come.
"""

import math
from collections.abc import Sequence

import numpy as np

from truing.core.statistics import Interval


def quantile_interval(values: Sequence[float], q: float, confidence: float = 0.95) -> tuple[float, Interval]:
    """The sample's q-quantile (linear between order statistics), and its interval. Raises `ValueError` of no values."""
    from scipy.stats import binom

    n = len(values)
    if n == 0:
        raise ValueError("no values have no quantile")
    tail = (1 - confidence) / 2
    ordered = sorted(values)
    # The k-th smallest (from 1) is a lower bound where P(B ≤ k − 1) ≤ tail, an upper one where P(B ≥ k) ≤ tail.
    at_most = binom.cdf(np.arange(n), n, q)
    below = int(np.searchsorted(at_most, tail, side="right"))
    above = int(np.searchsorted(at_most, 1 - tail, side="left"))
    low = ordered[below - 1] if below else -math.inf
    high = ordered[above] if above < n else math.inf
    return float(np.quantile(ordered, q)), Interval(low, high)
