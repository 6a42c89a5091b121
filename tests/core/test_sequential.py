"""Betting: the capital is what it is said to be, it seldom grows under the null, and peeking at p-values does worse."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from truing.core.sequential import (
    Units,
    confidence_sequence,
    detectable_worsening,
    first_at_least,
    log_capital,
    mirrored,
)


def single(gains: list[float] | NDArray[np.float64]) -> Units:
    sums = np.asarray(gains, dtype=float)
    return Units(sums, np.ones_like(sums), 1.0)


def test_the_capital_of_one_unit_is_the_mean_over_stakes_by_hand() -> None:
    """After one gain of 1 against 0 the capital is 1 + the mean stake; after a loss, 1 − it: a fair bet."""
    won, lost = (math.exp(log_capital(single([gain]), 0.0)[0]) for gain in (1.0, -1.0))
    assert won + lost == pytest.approx(2)
    assert math.exp(log_capital(single([0.0]), 0.0)[0]) == pytest.approx(1)


@settings(max_examples=50, deadline=None)
@given(gains=st.lists(st.sampled_from([-1.0, 0.0, 1.0]), min_size=1, max_size=40), delta=st.floats(-0.9, 0.9))
def test_the_final_capital_does_not_depend_on_the_order(gains: list[float], delta: float) -> None:
    last = log_capital(single(gains), delta)[-1]
    assert log_capital(single(gains[::-1]), delta)[-1] == pytest.approx(last, abs=1e-9)


@settings(max_examples=50, deadline=None)
@given(gains=st.lists(st.floats(-1, 1), min_size=1, max_size=30), low=st.floats(-0.9, 0.8), step=st.floats(0.01, 0.1))
def test_a_larger_mean_is_never_easier_to_reject_upwards(gains: list[float], low: float, step: float) -> None:
    """So that all rejected means lie outside one interval."""
    units = single(gains)
    assert (log_capital(units, low + step) <= log_capital(units, low) + 1e-9).all()


@settings(max_examples=15, deadline=None)
@given(gains=st.lists(st.floats(-1, 1), min_size=1, max_size=40))
def test_the_sequence_narrows_as_units_are_read_and_mirrors(gains: list[float]) -> None:
    units = single(gains)
    low, high = confidence_sequence(units)
    earlier = Units(units.sums[:-1], units.sizes[:-1], 1.0)
    if len(gains) > 1:
        before = confidence_sequence(earlier)
        assert before.low - 1e-5 <= low
        assert high <= before.high + 1e-5
    assert (-high, -low) == pytest.approx(confidence_sequence(mirrored(units)), abs=1e-5)


def test_the_true_mean_leaves_the_sequence_seldom_at_any_time_and_repeated_t_tests_do_not_hold() -> None:
    """400 runs of 200 items with a mean of 0, looked at after every item: rejected in at most 5% of them, ever. A t
    test after every tenth item, the control, rejects many more."""
    random = np.random.default_rng(0)
    for draw in (
        lambda: random.choice([-1.0, 0.0, 1.0], (400, 200), p=[0.05, 0.9, 0.05]),
        lambda: np.where(random.random((400, 200)) < 0.1, 0.9, -0.1),  # skewed
        lambda: random.choice([-1.0, 1.0], (400, 200)),
    ):
        gains = draw()
        units = Units(gains, np.ones_like(gains), 1.0)
        ever = np.maximum(log_capital(units, 0.0), log_capital(mirrored(units), 0.0)).max(axis=1) >= math.log(40)
        assert ever.mean() <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / 400)
        looks = [stats.ttest_1samp(gains[:, :n], 0.0, axis=1).pvalue < 0.05 for n in range(50, 201, 10)]
    assert np.any(looks, axis=0).mean() > 0.10


def test_units_of_many_items_are_tested_by_the_ratio_of_sums() -> None:
    """Clusters whose gain depends on their size: the mean over items is 0.2, that of the clusters' means 0.05, and that
    of their sums 0.125."""
    random = np.random.default_rng(1)
    large = random.random(1500) < 0.5
    sizes = np.where(large, 1.0, 0.25)
    sums = 0.2 * sizes + np.where(large, 0.1, -0.1) + random.uniform(-0.1, 0.1, 1500)
    low, high = confidence_sequence(Units(sums, sizes, 4.0))
    assert 0.15 < low < 0.2 < high < 0.25
    assert confidence_sequence(single(sums / sizes)).high < 0.15


def test_the_first_time_a_path_reaches_a_bar() -> None:
    paths = np.array([[0.0, 2.0, 1.0], [0.0, 1.0, 0.5], [5.0, 0.0, 0.0]])
    assert first_at_least(paths, 2.0).tolist() == [2.0, math.inf, 1.0]


@pytest.mark.parametrize("margin", [0.0, 0.1])
def test_a_worsening_of_the_detectable_size_is_found_in_four_of_five_samples_or_more(margin: float) -> None:
    """Of 200 yes-or-no items of which a tenth differ either way without a worsening: the truth as it was assumed."""
    random = np.random.default_rng(0)
    named = detectable_worsening(single([1.0, -1.0] * 10 + [0.0] * 180), math.log(40), margin)
    gains = random.choice([-1.0, 1.0, 0.0], (300, 200), p=[0.05 + named, 0.05, 0.9 - named])
    units = Units(-gains, np.ones_like(gains), 1.0)
    found = (log_capital(units, margin) >= math.log(40)).any(axis=1).mean()
    assert 0.78 < found < 0.95


def test_what_cannot_be_shown_has_no_detectable_size_and_more_units_show_less() -> None:
    assert detectable_worsening(single([0.0] * 3), math.log(40)) == math.inf
    few, many = (detectable_worsening(single([1.0, -1.0, *[0.0] * 8] * n), math.log(40)) for n in (10, 40))
    assert few == pytest.approx(2 * many, rel=0.25)
