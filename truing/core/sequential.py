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

from truing.core.detectable import smallest
from truing.core.statistics import Interval

Array = NDArray[np.float64]

# Shares of the largest stake that cannot lose everything, each half the next but one's square: from 1/100 to nearly 1.
_STAKES = 0.98 * 2.0 ** (-np.arange(14) / 2)
_SAMPLES = 400  # that estimate the power at a worsening


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
    for _ in range(20):
        middle = (low + high) / 2
        rejected = bool((log_capital(units, middle) >= bar).any())
        low, high = (middle, high) if rejected else (low, middle)
    return low


def first_at_least(path: Array, bar: float) -> Array:
    """The number of units after which a path first reaches `bar`; ∞ where it never does."""
    reached = path >= bar
    return np.where(reached.any(axis=-1), reached.argmax(axis=-1) + 1.0, math.inf)


def detectable_worsening(units: Units, bar: float, margin: float = 0.0) -> float:
    """The smallest worsening, a mean over items, whose log-capital against `margin` reaches `bar` by the last unit in
    80% of samples; rather too large, since it may have been there before. ∞ where no worsening of all units would do.

    Samples are drawn from the units given, each with either sign, so that without a worsening there is no difference;
    further units, at first those that had not moved, go wrong as those that moved did. One that moved is added, in case
    that none did.
    """
    sums, sizes = units.sums, units.sizes
    moved = np.abs(sums) > 0
    typical, size = (float(np.abs(sums[moved]).mean()), float(sizes[moved].mean())) if moved.any() else (1.0, 1.0)
    lost, lost_sizes = np.append(np.abs(sums[moved]), typical), np.append(sizes[moved], size)
    pool = np.concatenate([lost, sums, -sums, [typical, -typical]])
    pool_sizes = np.concatenate([lost_sizes, sizes, sizes, [size, size]])
    kinds, kind = np.unique(np.stack([pool, pool_sizes]), axis=1, return_inverse=True)
    losses = np.bincount(kind[: len(lost)], minlength=kinds.shape[1]) / len(lost)
    others = np.bincount(kind[len(lost) :], minlength=kinds.shape[1]) / (2 * len(sums) + 2)
    growth = np.log1p(_STAKES[:, None] / (1 + margin) * (kinds[0] - margin * kinds[1]))
    mean_size, mean_loss = float(sizes.mean()), float(lost.mean())

    still = kinds[0] == 0
    calm = float(others[still].sum())

    def power_of(extra: float) -> float:
        share = min(1.0, (margin + extra) * mean_size / mean_loss)
        taken = min(share, calm)
        rest = np.where(still, others * (calm - taken) / (calm or 1.0), others) * ((1 - share) / ((1 - taken) or 1.0))
        drawn = np.random.default_rng(0).multinomial(len(sums), share * losses + rest, size=_SAMPLES)
        capital = np.logaddexp.reduce(drawn @ growth.T, axis=1) - math.log(len(_STAKES))
        return float((capital >= bar).mean())

    guess = 4 * math.sqrt(float((sums**2).mean() + typical**2 / len(sums)) / len(sums)) / mean_size
    return margin + smallest(power_of, guess, max(0.0, mean_loss / mean_size - margin))
