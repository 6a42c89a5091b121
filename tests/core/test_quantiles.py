"""Quantiles: known order statistics, coverage whatever the distribution, and no upper bound where there is none."""

import math

import numpy as np
import pytest

from truing.core.quantiles import quantile_interval


def test_the_median_of_few_values_is_enclosed_by_the_textbooks_order_statistics() -> None:
    """n = 10: the 2nd and the 9th, with confidence 97.9% (Conover 1999, Practical Nonparametric Statistics, 3.2)."""
    value, interval = quantile_interval(list(range(1, 11)), 0.5)
    assert value == 5.5
    assert interval == (2, 9)


def test_a_high_quantile_of_few_values_has_no_upper_bound() -> None:
    """The largest of 20 lies below the 95th percentile with probability .95^20 = .36: it bounds nothing. Of 72 it does:
    .95^72 < .025 < .95^71."""
    assert quantile_interval(list(range(20)), 0.95)[1].high == math.inf
    assert quantile_interval(list(range(71)), 0.95)[1].high == math.inf
    assert quantile_interval(list(range(72)), 0.95)[1].high == 71
    assert math.isinf(quantile_interval(list(range(5)), 0.5)[1].high)
    assert quantile_interval(list(range(6)), 0.5)[1] == (0, 5)


@pytest.mark.parametrize("q", [0.5, 0.95])
def test_the_interval_covers_the_true_quantile_of_a_skewed_distribution(q: float) -> None:
    random = np.random.default_rng(0)
    truth = -math.log(1 - q)  # of an exponential
    found = [quantile_interval(random.exponential(size=100).tolist(), q)[1] for _ in range(300)]
    covered = sum(low <= truth <= high for low, high in found)
    assert covered >= 0.93 * 300
    finite = [interval for interval in found if math.isfinite(interval.high)]
    assert len(finite) == 300, "of 100 values even the 95th percentile is bounded"


def test_order_scale_and_repeats_do_not_matter() -> None:
    values = np.random.default_rng(1).normal(size=50)
    value, (low, high) = quantile_interval(values.tolist(), 0.5)
    turned, (lower, higher) = quantile_interval((3 * values[::-1]).tolist(), 0.5)
    assert (turned, lower, higher) == pytest.approx((3 * value, 3 * low, 3 * high))
    assert quantile_interval([7.0] * 30, 0.5) == (7.0, (7.0, 7.0))
    with pytest.raises(ValueError, match="no values have no quantile"):
        quantile_interval([], 0.5)
