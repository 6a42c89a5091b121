"""Temperature, reliability and length bias against scipy, simulated truth and cases that can be counted by hand."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.stats import pearsonr

from truing.core.calibration import (
    Share,
    calibration_error,
    correlation,
    length_report,
    logistic_scale,
    reliability,
    temperature,
)

NUMBERS = st.floats(-50, 50).filter(lambda value: value == 0 or abs(value) > 1e-3)


@given(st.lists(NUMBERS, min_size=2, max_size=30))
def test_the_scale_is_the_maximum_that_a_general_search_finds(x: list[float]) -> None:
    found = logistic_scale(x)
    if found is None:
        assert min(x) >= 0 or max(x) <= 0
        return
    values = np.array(x)

    def loss(scale: float) -> float:
        return float(np.logaddexp(0, -scale * values).sum())

    best = minimize_scalar(loss, bracket=(found - 1, found + 1))
    assert loss(found) <= best.fun + 1e-9 * (1 + abs(best.fun))


def test_the_scale_of_repeated_outcomes_is_their_log_odds() -> None:
    assert logistic_scale([1.0] * 9 + [-1.0] * 3) == pytest.approx(math.log(3), rel=1e-12)
    assert logistic_scale([2.0] * 3 + [-2.0] * 9) == pytest.approx(-math.log(3) / 2, rel=1e-12)
    assert logistic_scale([1e-200, -1e-200, 1e-200]) == pytest.approx(math.log(2) * 1e200, rel=1e-9)


def test_a_temperature_is_recovered_from_outcomes_that_it_drew() -> None:
    random = np.random.default_rng(0)
    gap = random.normal(0, 3, 40_000)
    first_wins = random.random(40_000) < 1 / (1 + np.exp(-gap / 2.5))
    assert temperature(np.where(first_wins, gap, -gap).tolist()) == pytest.approx(2.5, rel=0.03)


@pytest.mark.parametrize("margins", [[], [1.0, 2.0], [-1.0, -2.0], [0.0, 0.0], [1.0, -1.0], [1.0, -3.0]])
def test_where_the_pairs_do_not_say_the_temperature_is_unknown(margins: list[float]) -> None:
    found = temperature(margins)
    assert found is None or found > 1e9  # right as often as wrong: no confidence at all


def test_calibrated_pairs_lie_on_the_diagonal_and_overconfident_ones_below_it() -> None:
    random = np.random.default_rng(1)
    gap = random.normal(0, 2, 50_000)
    margins = np.where(random.random(50_000) < 1 / (1 + np.exp(-gap)), gap, -gap).tolist()
    table = reliability(margins, 1.0)
    assert [one.low for one in table] == pytest.approx([0.5, 0.6, 0.7, 0.8, 0.9])
    assert sum(one.accuracy.n for one in table) == 50_000
    assert all(one.low <= one.confidence <= one.high for one in table)
    assert all(abs(one.accuracy.share - one.confidence) < 0.02 for one in table)
    assert calibration_error(table) < 0.01
    overconfident = reliability(margins, 0.25)
    assert overconfident[-1].accuracy.high < overconfident[-1].confidence
    assert calibration_error(overconfident) > 0.1


def test_a_reliability_table_counted_by_hand() -> None:
    nine_to_one = math.log(9)  # a confidence of 0.9
    table = reliability([nine_to_one * 1.01, -nine_to_one * 1.01, 0.0], 1.0, bins=5)
    assert [(one.accuracy.right, one.accuracy.n) for one in table] == [(0.5, 1), (1.0, 2)]
    assert table[0].confidence == 0.5
    assert calibration_error(table) == pytest.approx((0 + 2 * table[1].confidence - 1) / 3)
    assert calibration_error([]) is None
    assert reliability([1e9, -1e9], 1.0)[0].accuracy.n == 2


def test_length_is_reported_where_it_decides_and_where_it_does_not() -> None:
    report = length_report([2.0, 1.0, 5.0, 0.0], [1.0, 2.0, 0.0, 3.0], [9, 9, 3, 4], [5, 5, 8, 4])
    assert (report.chosen_longer.right, report.chosen_longer.n) == (1, 2)
    assert (report.chosen_shorter.right, report.chosen_shorter.n) == (1, 1)
    assert (report.equal.right, report.equal.n) == (0, 1)
    assert (report.length_alone.right, report.length_alone.n) == (2.5, 4)
    rewards, lengths = [2.0, 1.0, 5.0, 0.0, 1.0, 2.0, 0.0, 3.0], [9, 9, 3, 4, 5, 5, 8, 4]
    assert report.answers == pytest.approx(pearsonr(rewards, lengths).statistic)
    assert report.pairs == pytest.approx(pearsonr([1, -1, 5, -3], [4, 4, -5, 0]).statistic)


def test_what_does_not_vary_has_no_correlation_and_no_pairs_no_share() -> None:
    assert correlation([1.0, 1.0], [1.0, 2.0]) is correlation([1.0], [2.0]) is None
    assert Share.of([]) == Share(right=0, n=0, share=None, low=0.0, high=1.0)
    assert length_report([], [], [], []).length_alone.share is None
