"""Best of n: the closed forms against enumeration, and the estimator against every subset there is."""

import itertools
import math
from statistics import fmean

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from truing.core.best_of_n import best_curve, expected_best, kl_bound, win_rate_bound

REWARDS = st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=8)


@pytest.mark.parametrize(("n", "nats"), [(1, 0), (2, 0.193), (4, 0.636), (16, 1.835), (64, 3.175)])
def test_the_published_values_of_the_kl_bound(n: int, nats: float) -> None:
    assert kl_bound(n) == pytest.approx(nats, abs=5e-4)


@pytest.mark.parametrize("n", [2, 3, 8])
def test_the_kl_is_below_its_bound_and_reaches_it_where_no_answer_is_likely(n: int) -> None:
    """The best of n over m equally likely answers with distinct rewards takes the k-th with probability
    (k/m)^n − ((k − 1)/m)^n, so that its KL can be summed."""

    def exact(m: int) -> float:
        chances = [(k / m) ** n - ((k - 1) / m) ** n for k in range(1, m + 1)]
        return math.fsum(chance * math.log(chance * m) for chance in chances if chance)

    few, some, many = exact(2), exact(20), exact(20_000)
    assert few < some < many < kl_bound(n)
    assert many == pytest.approx(kl_bound(n), abs=1e-3)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_the_win_rate_is_reached_without_ties_and_not_with_them(n: int) -> None:
    def wins(values: list[float]) -> float:
        """Over all equally likely draws of n + 1 answers: the best of the first n against the last, ties half."""
        duels = list(itertools.product(values, repeat=n + 1))
        return fmean((max(first) > last) + (max(first) == last) / 2 for *first, last in duels)

    assert wins([0.0, 1.0]) <= wins(list(range(12))) <= win_rate_bound(n)
    orders = list(itertools.permutations(range(n + 1)))
    assert fmean(max(first) > last for *first, last in orders) == pytest.approx(win_rate_bound(n))


@given(rewards=REWARDS, data=st.data())
def test_the_estimate_is_the_mean_of_the_best_over_all_subsets(rewards: list[float], data: st.DataObject) -> None:
    n = data.draw(st.integers(1, len(rewards)))
    brute = fmean(max(subset) for subset in itertools.combinations(rewards, n))
    assert expected_best(rewards, n) == pytest.approx(brute, abs=1e-9)


@given(rewards=REWARDS)
def test_it_rises_with_n_from_the_mean_to_the_maximum(rewards: list[float]) -> None:
    values = [expected_best(rewards, n) for n in range(1, len(rewards) + 1)]
    assert values[0] == pytest.approx(fmean(rewards), abs=1e-9)
    assert values[-1] == max(rewards)
    assert all(a <= b + 1e-9 for a, b in itertools.pairwise(values))


def test_the_estimate_is_unbiased_and_the_plug_in_is_not() -> None:
    """Uniform rewards: E[max of n] = n/(n + 1). Resampling with replacement, the plug-in, falls short of it."""
    draws = np.random.default_rng(0).random((20_000, 6))
    found = np.mean([expected_best(row, 4) for row in draws.tolist()])
    ranks = np.arange(1, 7)
    plug_in = np.mean(np.sort(draws) @ ((ranks / 6) ** 4 - ((ranks - 1) / 6) ** 4))
    assert found == pytest.approx(4 / 5, abs=0.004)
    assert plug_in < 4 / 5 - 0.02


def test_many_answers_are_no_trouble_and_too_few_are_refused() -> None:
    assert expected_best([float(k) for k in range(4096)], 2048) == pytest.approx(4095 - 2048 / 2049, abs=1e-6)
    for n in (0, 3):
        with pytest.raises(ValueError, match=f"the best of {n} cannot be estimated from 2 rewards"):
            expected_best([1.0, 2.0], n)


def test_the_curve_has_powers_of_two_and_the_whole_with_intervals_over_prompts() -> None:
    rewards = np.random.default_rng(1).random((40, 6))
    curve = best_curve(rewards.tolist())
    assert [point.n for point in curve] == [1, 2, 4, 6]
    for point in curve:
        assert point.low is not None
        assert point.high is not None
        assert point.low < point.reward < point.high
        assert (point.kl_bound, point.win_rate_bound) == (kl_bound(point.n), win_rate_bound(point.n))
    assert [point.n for point in best_curve([[1.0, 2.0], [0.0, 3.0]])] == [1, 2]
    assert [point.n for point in best_curve([[1.0], [0.0]])] == [1]


def test_one_prompt_says_nothing_of_the_spread() -> None:
    assert {(point.low, point.high) for point in best_curve([[1.0, 2.0, 5.0]])} == {(None, None)}
