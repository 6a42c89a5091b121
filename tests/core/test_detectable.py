"""The detectable worsening is the one that the rule itself finds in four of five samples, not a formula's."""

import math
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from truing.core.detectable import binomial_quantiles, detectable_worsening
from truing.core.paired import ALPHA, at_once, detectable_at_once
from truing.core.statistics import detectable_errors


@settings(max_examples=60, deadline=None)
@given(n=st.integers(0, 400), p=st.floats(0, 1), shares=st.lists(st.floats(0.01, 0.99), min_size=1, max_size=8))
def test_binomial_quantiles_are_scipys(n: int, p: float, shares: list[float]) -> None:
    assert binomial_quantiles(np.array(shares), n, p).tolist() == stats.binom.ppf(shares, n, p).tolist()


def test_where_nothing_differs_without_a_worsening_it_is_the_closed_form_of_six_misses() -> None:
    """McNemar's exact test needs six. With P(X ≥ 6) = 0.8 for X ~ Bin(n, d) the root is known to any precision; one
    item that differs anyway is added to the sample, so the printed effect is a little larger."""
    n = 2000
    six = next(d for d in np.linspace(0, 0.01, 2001) if stats.binom.sf(5, n, d) >= 0.8)
    found = detectable_at_once([0.0] * n, range(n), True, 0.0, ALPHA)
    assert six < found < 1.25 * six
    assert stats.binom.sf(5, n, 6 / n) < 0.6  # six in n, a formula's answer, are found every other time


def test_where_many_differ_it_is_the_formula_of_connor() -> None:
    """Connor 1987, Biometrics 43:207, with as many more that differ as go wrong: z_α √ψ + z_β √(ψ − d²) = d √n."""
    n, apart = 20_000, 0.3
    gains = [1.0, -1.0] * int(n * apart / 2) + [0.0] * int(n * (1 - apart))
    z = NormalDist().inv_cdf
    found = detectable_at_once(gains, range(n), True, 0.0, ALPHA)
    total = apart + found
    formula = (z(0.975) * math.sqrt(total) + z(0.8) * math.sqrt(total - found**2)) / math.sqrt(n)
    assert found == pytest.approx(formula, rel=0.03)


@pytest.mark.parametrize(("n", "each_way", "margin"), [(150, 6, 0.0), (150, 6, 0.05), (300, 40, 0.1)])
def test_a_worsening_of_the_printed_size_is_called_worse_in_about_four_of_five_samples(
    n: int, each_way: int, margin: float
) -> None:
    random = np.random.default_rng(0)
    printed = detectable_at_once([1.0, -1.0] * each_way + [0.0] * (n - 2 * each_way), range(n), True, margin, ALPHA)
    shares = [each_way / n + printed, each_way / n, 1 - 2 * each_way / n - printed]
    called = 0
    for fewer, more, _ in random.multinomial(n, shares, size=400):
        gains = [-1.0] * fewer + [1.0] * more + [0.0] * (n - fewer - more)
        evidence = at_once_quickly(gains, margin)
        called += evidence
    assert 0.74 <= called / 400 <= 0.90


def at_once_quickly(gains: list[float], margin: float) -> bool:
    """Whether independent items are called worse, without what else `at_once` finds out."""
    from truing.core.statistics import mcnemar_exact, tango, tango_statistic

    fewer, more, n = sum(g < 0 for g in gains), sum(g > 0 for g in gains), len(gains)
    high = tango(fewer, more, n).high
    if margin:
        return high < -margin and tango_statistic(float(fewer), float(more), n, -margin) < -1.96
    return high < 0 and mcnemar_exact(fewer, more) < ALPHA


def test_clusters_are_worth_fewer_items_and_many_metrics_need_larger_effects() -> None:
    gains = [-1.0, -1.0, 1.0, 1.0, *[0.0] * 16] * 10
    alone = detectable_at_once(gains, range(200), True, 0.0, ALPHA)
    pairs = detectable_at_once(gains, [n // 2 for n in range(200)], True, 0.0, ALPHA)
    assert pairs > 1.2 * alone
    assert detectable_at_once(gains, range(200), True, 0.0, ALPHA / 10) > 1.2 * alone
    assert detectable_at_once(gains, range(200), True, 0.05, ALPHA) > 0.05 + alone


def test_too_small_a_sample_shows_nothing_and_graded_items_are_students() -> None:
    assert detectable_worsening(lambda fewer, more, n: fewer > n + more, 10, 0) == math.inf
    assert detectable_worsening(lambda fewer, more, n: fewer > n * more, 0, 0) == math.inf
    assert at_once([0.0] * 5, range(5), yes_or_no=True).detectable == math.inf
    values = np.random.default_rng(1).normal(size=30).tolist()
    formula = detectable_errors(29) * stats.sem(values)
    assert detectable_at_once(values, range(30), False, 0.2, ALPHA) == pytest.approx(0.2 + formula)


def test_a_second_sample_shows_the_effect_that_a_first_of_few_clusters_names_in_four_of_five_cases() -> None:
    """Student's test on 12 units, of samples of which each names its effect for the next; the sum of both quantiles,
    the control, promises too much."""
    random = np.random.default_rng(0)
    first, second = (random.normal(size=(4000, 12)) for _ in range(2))
    errors = stats.sem(first, axis=1)[:, None]
    short = (stats.norm.ppf(0.975) + stats.norm.ppf(0.8)) * errors
    for effect, low, high in ((detectable_errors(11) * errors, 0.77, 0.83), (short, 0.6, 0.75)):
        found = stats.ttest_1samp(second + effect, 0.0, axis=1).pvalue < 0.05
        assert low < found.mean() < high
