"""Gains all at once and one by one: published examples, the right test for each claim, and what stops a reading."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from truing.core.paired import ALPHA, NOTHING, at_once, one_by_one
from truing.core.statistics import mcnemar_exact, sign_flip_test, tango, tango_statistic

gains_of = st.lists(st.sampled_from([-1.0, 0.0, 1.0]), min_size=1, max_size=60)


def yes_or_no(fewer: int, more: int, n: int) -> list[float]:
    return [-1.0] * fewer + [1.0] * more + [0.0] * (n - fewer - more)


def test_tangos_own_example() -> None:
    """Tango 1998: 44 pairs, one right with the standard only. At a margin of 0.1 Z = 1.709; the 90% interval of the
    difference is (−0.096, 0.037)."""
    assert tango_statistic(1, 0, 44, -0.1) == pytest.approx(1.709, abs=5e-4)
    assert tango(1, 0, 44, 0.9) == pytest.approx((-0.096, 0.037), abs=5e-4)


def test_the_published_example_of_airways_before_and_after_a_transplant() -> None:
    """21 children, 1 and 7 differing (Fagerland, Lydersen and Laake 2014, Statistics in Medicine 33:2850): McNemar's
    exact p = 0.070, Tango's interval (−0.517, −0.026)."""
    evidence = at_once(yes_or_no(7, 1, 21), range(21), yes_or_no=True)
    assert evidence.mean == pytest.approx(-6 / 21)
    assert evidence.interval == pytest.approx((-0.517, -0.026), abs=6e-4)
    assert evidence.p == pytest.approx(0.070, abs=5e-4)


def test_p_is_of_the_hypothesis_that_the_gain_lies_between_minus_the_margin_and_0() -> None:
    gains = yes_or_no(30, 10, 200)  # a loss of 0.1
    for margin, p in (
        (0.0, mcnemar_exact(30, 10)),
        (0.05, 2 * (1 - 0.5 * (1 + math.erf(-tango_statistic(30.0, 10.0, 200, -0.05) / math.sqrt(2))))),
        (0.1, 1.0),
        (0.2, 1.0),
    ):
        assert at_once(gains, range(200), yes_or_no=True, margin=margin).p == pytest.approx(p)
    gained = [-gain for gain in gains]
    assert at_once(gained, range(200), yes_or_no=True, margin=0.05).p == mcnemar_exact(10, 30)
    graded, clusters = [gain / 2 for gain in gains], [n // 4 for n in range(200)]
    shifted = sign_flip_test([gain + 0.03 for gain in graded], clusters)
    assert at_once(graded, clusters, yes_or_no=False, margin=0.03).p == shifted


def test_nothing_is_known_of_no_items() -> None:
    assert at_once([], [], yes_or_no=True) == NOTHING
    assert one_by_one([], []) == (NOTHING, 0, None)


@settings(max_examples=15, deadline=None)
@given(gains=gains_of, margin=st.sampled_from([0.0, 0.1, 0.4]))
def test_a_reading_stops_at_the_first_certain_verdict_and_says_so(gains: list[float], margin: float) -> None:
    """The interval agrees with the verdict, and where there is none all items were read."""
    read = one_by_one(gains, range(len(gains)), margin=margin)
    low, high = read.evidence.interval
    assert 1 <= read.items <= len(gains)
    if read.settled is None:
        assert read.items == len(gains)
        assert low < -margin + 1e-5
        assert high > -margin - 1e-5
    if read.settled == "no worse":
        assert low >= -margin - 1e-5
    if read.settled == "better":
        assert low > -1e-5
    if read.settled == "worse":
        assert high < -margin + 1e-5
    assert read == one_by_one(gains, range(len(gains)), margin=margin)


def test_clear_cases_save_most_items_and_unclear_ones_none() -> None:
    n = 600
    for gains, margin, settled, at_most in (
        (yes_or_no(150, 0, n), 0.0, "worse", n // 4),
        (yes_or_no(0, 150, n), 0.0, "better", n // 4),
        (yes_or_no(0, 0, n), 0.1, "no worse", n // 4),
        (yes_or_no(40, 40, n), 0.02, None, n),
    ):
        read = one_by_one(gains, range(n), margin=margin)
        assert read.settled == settled
        assert read.items <= at_most
        assert (read.items == n) == (settled is None)


def test_what_is_wanted_and_how_many_metrics_there_are_move_the_stop() -> None:
    gains = yes_or_no(0, 60, 300)
    soon = one_by_one(gains, range(300), margin=0.1)
    assert soon.settled == "no worse"
    better = one_by_one(gains, range(300), margin=0.1, wanted="better")
    assert (better.settled, better.items > soon.items) == ("better", True)
    many = one_by_one(gains, range(300), margin=0.1, wanted="better", tests=50)
    assert many.items > better.items
    unwanted = one_by_one(yes_or_no(3, 5, 300), range(300), margin=0.1, wanted="better")
    assert (unwanted.settled, unwanted.items) == ("no worse", 300)  # held, but it ended nothing


def test_a_cluster_is_read_whole_and_counts_once() -> None:
    """60 clusters of ten equal items each say what 60 items say; taken apart, the control, they seem to say more."""
    random = np.random.default_rng(0)
    cluster_gains = random.permutation(yes_or_no(14, 4, 60)).tolist()
    gains = np.repeat(cluster_gains, 10).tolist()
    clusters = np.repeat(np.arange(60), 10).tolist()
    together, alone = one_by_one(gains, clusters), one_by_one(cluster_gains, range(60))
    assert together.items == 10 * alone.items
    assert together.evidence.interval == pytest.approx(alone.evidence.interval)
    assert together.evidence[2:] == pytest.approx(alone.evidence[2:])
    assert (together.settled, one_by_one(gains, range(600)).settled) == (None, "worse")


def test_reading_one_by_one_needs_a_larger_effect_than_all_at_once() -> None:
    gains = yes_or_no(20, 20, 400)
    sequential = one_by_one(gains, range(400)).evidence.detectable
    fixed = at_once(gains, range(400), yes_or_no=True).detectable
    assert fixed < sequential < 2 * fixed
    assert ALPHA == 0.05
