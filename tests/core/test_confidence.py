"""Calibration error and selective accuracy: closed forms, invariances, what chance leaves, and what intervals cover."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from truing.core.confidence import (
    chance_error,
    error_interval,
    expected_calibration_error,
    selective_accuracy,
    selective_interval,
)

stated = st.lists(st.tuples(st.floats(0, 1), st.sampled_from([0.0, 1.0])), min_size=1, max_size=30)


def test_the_error_by_hand() -> None:
    """Two bins: .9 and .9 with one right (|1 − 1.8|), .4 with one right (|1 − .4|), over three answers."""
    assert expected_calibration_error([0.91, 0.89, 0.4], [1, 0, 1], bins=2) == pytest.approx((0.8 + 0.6) / 3)
    assert expected_calibration_error([1.0, 1.0], [1, 1]) == 0.0
    assert expected_calibration_error([1.0, 1.0], [0, 0]) == 1.0
    assert expected_calibration_error([], []) is None


@settings(max_examples=50, deadline=None)
@given(stated)
def test_the_error_lies_between_0_and_1_and_is_at_least_that_of_the_means(rows: list[tuple[float, float]]) -> None:
    confidence, right = ([row[side] for row in rows] for side in (0, 1))
    error = expected_calibration_error(confidence, right)
    assert error is not None
    assert abs(np.mean(right) - np.mean(confidence)) - 1e-9 <= error <= 1 + 1e-9
    assert expected_calibration_error(confidence[::-1], right[::-1]) == pytest.approx(error)
    assert expected_calibration_error(confidence, right, bins=1) == pytest.approx(
        abs(np.mean(right) - np.mean(confidence))
    )


def test_what_chance_leaves_is_the_mean_error_of_calibrated_answers() -> None:
    """One answer of confidence ½ is off by ½ whatever it is; of n in one bin, about √(2/π · ¼/n)."""
    assert chance_error([0.5]) == pytest.approx(0.5)
    assert chance_error([1.0, 1.0]) == 0.0
    assert chance_error([0.55] * 400) == pytest.approx(np.sqrt(2 / np.pi * 0.2475 / 400), rel=0.06)
    assert chance_error([]) is None


@pytest.mark.parametrize(("share", "error"), [(0.55, 0.4), (0.75, 0.2)])
def test_the_interval_of_an_error_covers_it(share: float, error: float) -> None:
    """All answers are stated as .95, of which `share` come true: the error is known."""
    random = np.random.default_rng(0)
    covered = 0
    for _ in range(60):
        right = (random.random(60) < share).astype(float).tolist()
        low, high = error_interval([0.95] * 60, right, resamples=400)
        covered += low <= error <= high
    assert covered >= 53


def test_the_interval_of_calibrated_answers_reaches_down_to_no_error() -> None:
    """Drawn as stated: the error that is found is chance's, and 0 is not excluded. Where 0 is found, it is not sure."""
    random = np.random.default_rng(0)
    stated = random.random(60)
    right = (random.random(60) < stated).astype(float).tolist()
    assert (expected_calibration_error(stated.tolist(), right) or 0) > 0.05
    assert error_interval(stated.tolist(), right, resamples=400).low == 0.0
    low, high = error_interval([0.75] * 20, [1.0] * 15 + [0.0] * 5, resamples=400)
    assert low == 0.0
    assert 0.1 < high < 0.4
    assert error_interval([], []) == (-np.inf, np.inf)


def test_selective_accuracy_by_hand() -> None:
    """The three most confident: 1/1, 1/2, 2/3."""
    assert selective_accuracy([0.9, 0.8, 0.7], [1, 0, 1]) == pytest.approx((1 + 1 / 2 + 2 / 3) / 3)
    assert selective_accuracy([0.7, 0.9, 0.8], [1, 1, 0]) == pytest.approx((1 + 1 / 2 + 2 / 3) / 3)
    assert selective_accuracy([], []) is None


@settings(max_examples=50, deadline=None)
@given(stated)
def test_equal_confidence_knows_nothing_and_any_rising_scale_is_as_good(rows: list[tuple[float, float]]) -> None:
    confidence, right = ([round(row[0], 3) for row in rows], [row[1] for row in rows])
    assert selective_accuracy([0.5] * len(right), right) == pytest.approx(np.mean(right))
    assert selective_accuracy([value / 2 + 0.3 for value in confidence], right) == pytest.approx(
        selective_accuracy(confidence, right)
    )


def test_equal_confidences_count_as_their_mean_over_all_orders() -> None:
    """Of two equal answers one right: (1/1 + 1/2) and (0/1 + 1/2) are as likely."""
    assert selective_accuracy([0.5, 0.5], [1, 0]) == pytest.approx(((1 + 1 / 2) / 2 + (0 + 1 / 2) / 2) / 2)


def test_knowing_which_answers_are_right_is_the_largest_area_and_the_reverse_the_smallest() -> None:
    right = [1.0] * 5 + [0.0] * 5
    best, worst = selective_accuracy(right, right), selective_accuracy([1 - one for one in right], right)
    assert best is not None
    assert worst is not None
    assert worst < 0.5 < best
    low, high = selective_interval([0.1 * n for n in range(10)], right)
    assert low <= (selective_accuracy([0.1 * n for n in range(10)], right) or 0) <= high
    assert selective_interval([0.5], [1.0]) == (-np.inf, np.inf)
