"""The smallest worsening that a paired sample of yes-or-no items shows with 80% power, by the very rule that judges it.

A normal formula promises too much where few items differ: six items, all for the worse, are the least that McNemar's
exact test calls a difference, and a true worsening of six items in n brings six or more only every other time. So the
rule itself is asked: over the outcomes that a worsening would bring, how often does it say "worse"?

The alternative is that further items go wrong, each by chance, beside those that differ both ways without any
worsening: P(only baseline) = q/2 + d, P(only candidate) = q/2, q estimated from the sample. What it does not know: how
far q is off where few items differ, and whether a regression would come this way.
"""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.float64]
Rule = Callable[[Counts, Counts, int], NDArray[np.bool_]]

_POINTS = (np.arange(16) + 0.5) / 16  # quantiles that stand for a distribution, each with the same weight
_FACTOR, _STEPS = 1.5, 5  # of a first bracket, and how often it is halved: to 1.3% of the result


def detectable_worsening(rule: Rule, n: int, discordant: float, least: float = 0.0, power: float = 0.8) -> float:
    """The smallest d above `least` at which `rule` says "worse" with `power`; ∞ where no worsening of a whole sample
    would do.

    `rule` takes arrays of pairs that only the baseline and only the candidate got right, and n. `discordant` is how
    many of n pairs differ in the sample, in either direction. One is added: that none differs in a sample does not
    mean that none ever does.
    """
    if n == 0:
        return math.inf
    apart = min(1.0, (discordant + 1) / (n + 1))
    normal = 2.8 * math.sqrt(apart / n)
    return least + smallest(lambda extra: _power(rule, n, apart, least + extra), normal, 1.0 - least, power)


def smallest(power_of: Callable[[float], float], guess: float, most: float, power: float = 0.8) -> float:
    """The smallest effect up to `most` with this power, which grows with the effect; ∞ where there is none."""
    low = high = min(guess, most)
    while power_of(high) < power:
        if high >= most:
            return math.inf
        low, high = high, min(most, high * _FACTOR)
    if low == high:
        low /= _FACTOR
        while power_of(low) >= power:
            low, high = low / _FACTOR, low
    for _ in range(_STEPS):
        middle = (low + high) / 2
        low, high = (low, middle) if power_of(middle) >= power else (middle, high)
    return high


def _power(rule: Rule, n: int, apart: float, worsening: float) -> float:
    """How often `rule` says "worse", over quantiles of how many pairs differ and how many of these for the worse."""
    total = min(1.0, max(worsening, apart + worsening))
    differing = np.repeat(binomial_quantiles(_POINTS, n, total), len(_POINTS))
    lost = (total + worsening) / (2 * total)
    only_baseline = binomial_quantiles(np.tile(_POINTS, len(_POINTS)), differing, lost)
    return float(rule(only_baseline, differing - only_baseline, n).mean())


def binomial_quantiles(shares: Counts, n: Counts | int, p: float) -> Counts:
    """The smallest k with P(X ≤ k) ≥ share, X binomial, elementwise: a normal guess, moved until it is right."""
    from scipy.special import bdtr, ndtri

    trials = np.broadcast_to(np.asarray(n, dtype=np.int64), np.shape(shares))
    if p >= 1:
        return np.asarray(trials, dtype=float)
    z = ndtri(shares)
    skew = (1 - 2 * p) * (z * z - 1) / 6
    found: Counts = np.clip(np.floor(trials * p + z * np.sqrt(trials * p * (1 - p)) + skew), 0, trials)
    while (short := (bdtr(found, trials, p) < shares) & (found < trials)).any():
        found = found + short
    while (far := (found > 0) & (bdtr(np.maximum(found - 1, 0), trials, p) >= shares)).any():
        found = found - far
    return found
