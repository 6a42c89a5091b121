"""Verdicts that may be read after every item: a confidence sequence for the mean of paired differences, by betting.

To test that a mean is at most δ, a bettor stakes a share of his capital on every next difference being above δ. If it
is not, his capital does not grow on average, whatever he stakes, and the chance that it ever reaches 1/α is at most α
(Ville 1939). So the verdict holds whenever one stops: after every item, or when it suits. All δ that no bettor has
rejected are a confidence sequence (Waudby-Smith and Ramdas 2024, "Estimating means of bounded random variables by
betting", JRSS B 86:1). The capital here is divided among fixed stakes once and for all (Cover 1991, "Universal
portfolios"), so nothing is tuned to the data, and the capital after all items does not depend on their order.

Why this one: differences of two systems on the same items are mostly 0, so their variance is far below the (1 − δ²)
that Hoeffding's bound assumes, and an empirical-Bernstein bound pays for learning it; a bettor with large stakes does
not. What it does not know: items are units drawn by chance, in an order that has nothing to do with their values.
Items of a cluster must be added up to one unit.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from truing.core.statistics import Interval

Array = NDArray[np.float64]

# Shares of the largest stake that cannot lose everything, each half the next but one's square: from 1/100 to nearly 1.
_STAKES = 0.98 * 2.0 ** (-np.arange(14) / 2)


class Units(NamedTuple):
    """What is read one by one: sums of differences and numbers of items by unit, both divided by the largest number, so
    that |sum| ≤ size ≤ 1. Shape [units], or [runs, units] for many samples at once. `largest` is that number."""

    sums: Array
    sizes: Array
    largest: float


def log_capital(units: Units, delta: float) -> Array:
    """The log-capital after each unit [units] of who bets that the mean is above `delta` in (−1, 1):
    log of the mean over stakes λ of Π (1 + λ (sum − δ size))."""
    gains = units.sums - delta * units.sizes
    paths = [np.cumsum(np.log1p(stake / (1 + delta) * gains), axis=-1) for stake in _STAKES]
    return np.asarray(np.logaddexp.reduce(paths, axis=0)) - math.log(len(_STAKES))


def final_log_capital(ups: Array, downs: Array, n: int, delta: float) -> Array:
    """`log_capital` after all of n items that are 1 (`ups`), −1 (`downs`) or 0: the order does not matter."""
    stakes = (_STAKES / (1 + delta)).reshape(-1, *[1] * np.ndim(ups))
    grown = ups * np.log1p(stakes * (1 - delta)) + downs * np.log1p(-stakes * (1 + delta))
    grown = grown + (n - ups - downs) * np.log1p(-stakes * delta)
    return np.asarray(np.logaddexp.reduce(grown, axis=0)) - math.log(len(_STAKES))


def mirrored(units: Units) -> Units:
    """The same units with the other sign."""
    return units._replace(sums=-units.sums)


def confidence_sequence(units: Units, confidence: float = 0.95) -> Interval:
    """The interval after all units given [units]: every δ that neither a bettor on more nor one on less has rejected by
    then. Such intervals hold for all times together with this confidence, so that one may stop at any of them."""
    return Interval(_lower(units, confidence), -_lower(mirrored(units), confidence))


def _lower(units: Units, confidence: float) -> float:
    bar = math.log(2 / (1 - confidence))
    low, high = -1.0, 1.0
    for _ in range(30):
        middle = (low + high) / 2
        rejected = bool((log_capital(units, middle) >= bar).any())
        low, high = (middle, high) if rejected else (low, middle)
    return low


def first_at_least(path: Array, bar: float) -> Array:
    """The number of units after which a path first reaches `bar`; ∞ where it never does."""
    reached = path >= bar
    return np.where(reached.any(axis=-1), reached.argmax(axis=-1) + 1.0, math.inf)
