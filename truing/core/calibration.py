"""Is a reward's confidence right? Temperature, reliability, and how far length explains a reward.

A reward says that the chosen answer wins with probability σ(m / T), m = r_w − r_l its margin (nats), T a temperature.
Knows numbers only; what they measure is the caller's matter.
"""

from collections.abc import Sequence
from typing import Self

import numpy as np
from numpy.typing import NDArray

from truing.core.records import Record
from truing.core.statistics import wilson


class Share(Record):
    """How many of `n` came true; `share` is None where n = 0: not known. Ties count half. 95% interval (Wilson)."""

    right: float
    n: int
    share: float | None
    low: float
    high: float

    @classmethod
    def of(cls, differences: Sequence[float]) -> Self:
        """The share of positive differences."""
        right = sum((value > 0) + 0.5 * (value == 0) for value in differences)
        low, high = wilson(right, len(differences))
        return cls(right=right, n=len(differences), share=right / len(differences) if differences else None,
                   low=low, high=high)  # fmt: skip


class Bin(Record):
    """Pairs whose stated confidence lies in [low, high): their mean confidence, and how often they were right."""

    low: float
    high: float
    confidence: float
    accuracy: Share


class LengthReport(Record):
    """What length (tokens) has to do with a reward. Correlations are None where they are not defined.

    `answers`: reward and length over all answers. `pairs`: difference of rewards and difference of lengths.
    The accuracies are the reward's, where the chosen answer is the longer, the shorter, or as long; `length_alone` is
    that of preferring the longer answer.
    """

    answers: float | None
    pairs: float | None
    chosen_longer: Share
    chosen_shorter: Share
    equal: Share
    length_alone: Share


def logistic_scale(x: Sequence[float]) -> float | None:
    """The s that maximises Σ log σ(s xᵢ): logistic regression of one feature without intercept, on pairs.

    Concave in s, so the one root of Σ xᵢ σ(−s xᵢ) = 0. None where there is no maximum: no xᵢ is above 0, or none below.
    """
    values = np.asarray(x, dtype=np.float64)
    if not ((values > 0).any() and (values < 0).any()):
        return None
    largest = float(np.abs(values).max())
    values = values / largest
    high = 1.0  # the score falls in s: find an interval that holds its root, then halve it
    while _score(values, high) > 0:
        high *= 2
    low = -1.0
    while _score(values, low) < 0:
        low *= 2
    for _ in range(200):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        low, high = (middle, high) if _score(values, middle) > 0 else (low, middle)
    return (low + high) / 2 / largest


def temperature(margins: Sequence[float]) -> float | None:
    """T by maximum likelihood of σ(m/T) (Guo et al. 2017, arXiv:1706.04599, for pairs). None where the pairs do not
    say: all of them right, or the reward no better than chance."""
    scale = logistic_scale(margins)
    return 1 / scale if scale is not None and scale > 0 else None


def reliability(margins: Sequence[float], temperature: float, bins: int = 5) -> list[Bin]:
    """Pairs by their confidence σ(|m|/T) in [½, 1], in equal steps; an empty bin is left out."""
    values = np.asarray(margins, dtype=np.float64)
    confidence = 1 / (1 + np.exp(-np.abs(values) / temperature))
    place = np.minimum(((confidence - 0.5) * 2 * bins).astype(int), bins - 1)
    return [
        Bin(
            low=0.5 + number / (2 * bins),
            high=0.5 + (number + 1) / (2 * bins),
            confidence=float(confidence[place == number].mean()),
            accuracy=Share.of(values[place == number].tolist()),
        )
        for number in range(bins)
        if (place == number).any()
    ]


def calibration_error(table: Sequence[Bin]) -> float | None:
    """The expected calibration error: |accuracy − confidence| of the bins, weighted by their pairs (Naeini et al. 2015,
    AAAI). None without pairs."""
    total = sum(one.accuracy.n for one in table)
    if not total:
        return None
    return sum(abs(one.accuracy.right - one.accuracy.n * one.confidence) for one in table) / total


def length_report(
    chosen: Sequence[float], rejected: Sequence[float], chosen_length: Sequence[int], rejected_length: Sequence[int]
) -> LengthReport:
    """Rewards and lengths of pairs."""
    margins = [one - other for one, other in zip(chosen, rejected, strict=True)]
    longer = [one - other for one, other in zip(chosen_length, rejected_length, strict=True)]

    def where(sign: int) -> Share:
        return Share.of([m for m, d in zip(margins, longer, strict=True) if (d > 0) - (d < 0) == sign])

    return LengthReport(
        answers=correlation([*chosen, *rejected], [*chosen_length, *rejected_length]),
        pairs=correlation(margins, longer),
        chosen_longer=where(1),
        chosen_shorter=where(-1),
        equal=where(0),
        length_alone=Share.of(longer),
    )


def correlation(one: Sequence[float], other: Sequence[float]) -> float | None:
    """Pearson's; None where a side does not vary."""
    if len(one) < 2 or min(one) == max(one) or min(other) == max(other):
        return None
    return float(np.corrcoef(np.asarray(one, dtype=np.float64), np.asarray(other, dtype=np.float64))[0, 1])


def _score(x: NDArray[np.float64], scale: float) -> float:
    """The derivative of Σ log σ(s xᵢ): Σ xᵢ σ(−s xᵢ)."""
    with np.errstate(over="ignore"):
        return float((x / (1 + np.exp(scale * x))).sum())
