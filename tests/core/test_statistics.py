"""Intervals and tests against scipy, enumeration, simulation, and the assumption that each would break under."""

import itertools
import math
from random import Random
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from truing.core.statistics import (
    cluster_bootstrap,
    cluster_bootstrap_of,
    corrected_rate,
    holm,
    mcnemar_exact,
    over_seeds,
    sign_flip_test,
    smallest_detectable_effect,
    tango,
    tango_statistic,
    wilson,
)

DRAWS = 10_000
shares = st.floats(0, 1)


def clustered(random: np.random.Generator, clusters: int, size: int, mean: float = 0.0) -> tuple[NDArray, list[int]]:
    """Items whose clusters share half of their variance (intraclass correlation ½), which is 2 in all."""
    values = mean + np.repeat(random.normal(size=clusters), size) + random.normal(size=clusters * size)
    return values, [number // size for number in range(clusters * size)]


@pytest.mark.parametrize("confidence", [0.8, 0.95, 0.99])
@pytest.mark.parametrize(("successes", "n"), [(0, 1), (1, 1), (0, 40), (40, 40), (1, 3), (7, 40), (813, 1000)])
def test_wilson_is_scipys(successes: int, n: int, confidence: float) -> None:
    peer = stats.binomtest(successes, n).proportion_ci(confidence, method="wilson")
    assert wilson(successes, n, confidence) == pytest.approx((peer.low, peer.high), abs=1e-12)


def test_wilson_of_nothing_knows_nothing() -> None:
    assert wilson(0, 0) == (0.0, 1.0)


@given(n=st.integers(1, 500), share=shares)
def test_wilson_holds_the_share_inside_0_and_1_and_mirrors(n: int, share: float) -> None:
    successes = round(share * n)
    low, high = wilson(successes, n)
    assert 0 <= low <= successes / n <= high <= 1
    assert wilson(n - successes, n) == pytest.approx((1 - high, 1 - low), abs=1e-12)


def test_wilson_covers_what_it_says_and_the_normal_interval_does_not() -> None:
    """The exact coverage at p = 0.02, n = 50, summed over all outcomes; Wald's interval is the negative control."""
    n, p = 50, 0.02
    weights = stats.binom.pmf(np.arange(n + 1), n, p)
    ours = sum(weight for k, weight in enumerate(weights) if wilson(k, n).low <= p <= wilson(k, n).high)
    z = NormalDist().inv_cdf(0.975)
    wald = sum(w for k, w in enumerate(weights) if abs(k / n - p) <= z * math.sqrt(k / n * (1 - k / n) / n))
    assert ours > 0.92
    assert wald < 0.70


@pytest.mark.parametrize(("a", "b"), [(0, 1), (1, 0), (0, 5), (5, 5), (3, 12), (12, 3), (40, 61), (700, 900)])
def test_mcnemar_is_the_two_sided_binomial_test(a: int, b: int) -> None:
    assert mcnemar_exact(a, b) == pytest.approx(stats.binomtest(a, a + b).pvalue, rel=1e-9)


def test_mcnemar_without_discordant_pairs_shows_nothing() -> None:
    assert mcnemar_exact(0, 0) == 1.0


def test_with_two_clusters_the_bootstrap_is_its_closed_form() -> None:
    """Of the four equally likely resamples the means are a, b, and twice that of all items, 3/4."""
    values, clusters = [0.0, 1.0, 1.0, 1.0], ["a", "b", "b", "b"]
    assert cluster_bootstrap(values, clusters) == (0.0, 1.0)
    assert cluster_bootstrap(values, clusters, confidence=0.4) == (0.75, 0.75)


@pytest.mark.parametrize(("values", "clusters"), [([], []), ([1.0], ["a"]), ([0.0, 1.0, 1.0], ["a"] * 3)])
def test_fewer_than_two_clusters_say_nothing_about_the_spread(values: list[float], clusters: list[str]) -> None:
    assert cluster_bootstrap(values, clusters) == (-math.inf, math.inf)
    assert smallest_detectable_effect(values, clusters) == math.inf
    assert sign_flip_test(values, clusters, resamples=100) == 1.0


def test_labels_must_match_values() -> None:
    with pytest.raises(ValueError, match="2 values for 1 cluster labels"):
        cluster_bootstrap([1.0, 2.0], ["a"])


def test_singleton_clusters_are_the_ordinary_bootstrap() -> None:
    """Draw for draw (the same stream of numbers), and so near to the normal theory of a mean."""
    values = np.random.default_rng(1).normal(size=80)
    low, high = cluster_bootstrap(values, range(80), seed=5)
    drawn = np.random.default_rng(5).integers(0, 80, size=(DRAWS, 80))
    assert (low, high) == pytest.approx(tuple(np.quantile(values[drawn].mean(1), [0.025, 0.975])), abs=1e-12)
    theory = 2 * 1.96 * values.std() / math.sqrt(80)
    assert high - low == pytest.approx(theory, rel=0.05)


@settings(max_examples=25, deadline=None)
@given(
    items=st.lists(st.tuples(st.floats(-9, 9), st.integers(0, 4)), min_size=2, max_size=30),
    shift=st.floats(-5, 5),
    scale=st.floats(0.1, 9),
)
def test_the_bootstrap_moves_with_its_data(items: list[tuple[float, int]], shift: float, scale: float) -> None:
    values, clusters = np.array([value for value, _ in items]), [cluster for _, cluster in items]
    low, high = cluster_bootstrap(values, clusters, resamples=200)
    renamed = [f"topic {cluster}" for cluster in clusters]
    for changed, expected in (
        (shift + scale * values, (shift + scale * low, shift + scale * high)),
        (-values, (-high, -low)),
    ):
        assert cluster_bootstrap(changed, renamed, resamples=200) == pytest.approx(expected, abs=1e-9)


def test_the_bootstrap_covers_clustered_data_and_resampling_items_does_not() -> None:
    """Nominal 95% over 400 data sets of 40 clusters of 8. Items taken as independent: the negative control."""
    random = np.random.default_rng(2)
    covered = {"clusters": 0, "items": 0}
    width = {"clusters": 0.0, "items": 0.0}
    for _ in range(400):
        values, clusters = clustered(random, 40, 8, mean=0.3)
        for unit, labels in (("clusters", clusters), ("items", range(320))):
            low, high = cluster_bootstrap(values, labels, resamples=300, seed=int(random.integers(1 << 30)))
            covered[unit] += low <= 0.3 <= high
            width[unit] += high - low
    assert 0.91 <= covered["clusters"] / 400 <= 0.97
    assert covered["items"] / 400 < 0.75
    assert width["clusters"] / width["items"] == pytest.approx(math.sqrt(1 + 7 * 0.5), rel=0.06)  # the design effect


@pytest.mark.parametrize(
    "differences", [[1.0, 1, 1, 1, 1, 1], [0.3, -0.2, 0.9, 0.4, -0.1, 0.7], [1.0, -1, 0, 2, 0, -1]]
)
def test_the_sign_flip_test_is_near_the_enumeration_of_all_signs(differences: list[float]) -> None:
    sums = np.array(differences)
    flipped = [abs(np.dot(signs, sums)) for signs in itertools.product((-1, 1), repeat=6)]
    exact = float(np.mean([value >= abs(sums.sum()) - 1e-9 for value in flipped]))
    p = sign_flip_test(differences, range(6), seed=3)
    assert abs(p - exact) < 4 * math.sqrt(exact * (1 - exact) / DRAWS) + 1 / DRAWS
    assert p == sign_flip_test([-value for value in differences], range(6), seed=3)
    assert p == sign_flip_test([5 * value for value in differences], range(6), seed=3)


def test_the_sign_flip_test_is_uniform_under_the_null_and_flipping_items_is_not() -> None:
    """Clusters with correlated items and no effect. Flipping every item apart, the negative control, cries wolf."""
    random = np.random.default_rng(4)
    by_cluster, by_item = [], []
    for _ in range(300):
        values, clusters = clustered(random, 20, 5)
        seed = int(random.integers(1 << 30))
        by_cluster.append(sign_flip_test(values, clusters, resamples=199, seed=seed))
        by_item.append(sign_flip_test(values, range(100), resamples=199, seed=seed))
    assert stats.kstest(by_cluster, "uniform").pvalue > 0.01
    assert np.mean(np.array(by_cluster) <= 0.05) == pytest.approx(0.05, abs=0.03)
    assert np.mean(np.array(by_item) <= 0.05) > 0.15


def test_the_sign_flip_test_never_says_0_and_sees_a_clear_effect() -> None:
    assert sign_flip_test([1.0] * 40, range(40), resamples=999) == 1 / 1000
    assert sign_flip_test([0.0] * 40, range(40), resamples=999) == 1.0


def test_the_smallest_detectable_effect_of_singletons_is_the_formula_with_students_quantiles() -> None:
    values = np.random.default_rng(6).normal(size=50)
    for alpha, power in ((0.05, 0.8), (0.01, 0.9)):
        t, z = stats.t.ppf(1 - alpha / 2, 49), NormalDist().inv_cdf(power)
        formula = (t + z * math.sqrt(1 + (t + z) ** 2 / 49)) * values.std(ddof=1) / math.sqrt(50)
        assert smallest_detectable_effect(values, range(50), alpha=alpha, power=power) == pytest.approx(formula)


def test_copies_within_a_cluster_add_no_evidence_and_copies_as_clusters_seem_to() -> None:
    values = np.random.default_rng(7).normal(size=50)
    once = smallest_detectable_effect(values, range(50))
    copies = np.repeat(values, 4)
    assert smallest_detectable_effect(copies, np.repeat(np.arange(50), 4)) == pytest.approx(once)
    assert smallest_detectable_effect(copies, range(200)) == pytest.approx(once / 2, rel=0.04)


def test_an_effect_of_the_detectable_size_is_found_with_the_stated_power() -> None:
    random = np.random.default_rng(8)
    sample = random.normal(size=(2000, 60))
    effect = (NormalDist().inv_cdf(0.975) + NormalDist().inv_cdf(0.8)) / math.sqrt(60)
    found = np.abs((sample + effect).mean(1)) > 1.96 * sample.std(1, ddof=1) / math.sqrt(60)
    assert found.mean() == pytest.approx(0.8, abs=0.03)
    stated = [smallest_detectable_effect(row, range(60)) for row in sample[:200]]
    assert np.mean(stated) == pytest.approx(effect, rel=0.06)


def test_holm_by_hand() -> None:
    """Sorted .005 .01 .03 .04 times 4 3 2 1, never falling."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []
    assert holm([0.2]) == [0.2]


@given(p_values=st.lists(shares, min_size=1, max_size=6))
def test_holm_is_the_closed_testing_of_bonferroni(p_values: list[float]) -> None:
    """Marcus, Peritz and Gabriel 1976: reject i where every set of hypotheses with i in it is rejected."""
    numbers = range(len(p_values))
    sets = [subset for size in numbers for subset in itertools.combinations(numbers, size + 1)]
    bonferroni = {subset: min(1.0, len(subset) * min(p_values[number] for number in subset)) for subset in sets}
    closed = [max(p for subset, p in bonferroni.items() if number in subset) for number in numbers]
    assert holm(p_values) == pytest.approx(closed)


@given(p_values=st.lists(shares, max_size=12), random=st.randoms())
def test_holm_keeps_order_only_raises_and_does_not_mind_the_input_order(p_values: list[float], random: Random) -> None:
    adjusted = holm(p_values)
    assert all(p <= q <= 1 for p, q in zip(p_values, adjusted, strict=True))
    ranked = sorted(zip(p_values, adjusted, strict=True))
    assert [q for _, q in ranked] == sorted(adjusted)
    order = list(range(len(p_values)))
    random.shuffle(order)
    assert holm([p_values[number] for number in order]) == [adjusted[number] for number in order]


@given(st.integers(0, 30), st.integers(0, 30), st.integers(1, 60))
def test_tangos_limits_are_where_its_statistic_is_z_and_swapping_mirrors_them(a: int, b: int, rest: int) -> None:
    n = a + b + rest
    low, high = tango(a, b, n)
    assert -1 <= low < (b - a) / n < high <= 1
    assert tango_statistic(a, b, n, low) == pytest.approx(1.959964, abs=1e-4)
    assert tango_statistic(a, b, n, high) == pytest.approx(-1.959964, abs=1e-4)
    mirrored = tango(b, a, n)
    assert (-mirrored.high, -mirrored.low) == pytest.approx((low, high), abs=1e-6)


@given(st.integers(0, 30), st.integers(1, 30), st.integers(0, 60))
def test_tangos_statistic_at_no_difference_is_mcnemars(a: int, b: int, rest: int) -> None:
    assert tango_statistic(a, b, a + b + rest, 0.0) == pytest.approx((b - a) / math.sqrt(a + b))


@given(st.integers(1, 500))
def test_where_no_pair_differs_tango_has_its_closed_form(n: int) -> None:
    z2 = 1.959964**2
    assert tango(0, 0, n) == pytest.approx((-z2 / (n + z2), z2 / (n + z2)), abs=1e-6)


def test_tango_covers_what_it_says_where_the_bootstrap_does_not() -> None:
    random = np.random.default_rng(0)
    truth, n, runs = 0.04, 40, 400
    covered = {"tango": 0, "bootstrap": 0}
    for _ in range(runs):
        draws = random.choice([-1.0, 0.0, 1.0], n, p=[0.01, 0.94, 0.05])
        intervals = {
            "tango": tango(int((draws < 0).sum()), int((draws > 0).sum()), n),
            "bootstrap": cluster_bootstrap(draws.tolist(), range(n), resamples=400),
        }
        for name, (low, high) in intervals.items():
            covered[name] += low <= truth <= high
    assert covered["tango"] >= 0.93 * runs
    assert covered["bootstrap"] < 0.88 * runs


def test_tango_of_nothing_knows_nothing() -> None:
    assert tango(0, 0, 0) == (-1.0, 1.0)


def crossed(
    random: np.random.Generator, seeds: int, items: int, of_seed: float, of_item: float, rest: float
) -> NDArray:
    """[seeds, items] with a true mean of 0, from the standard deviations of each part."""
    return (
        of_seed * random.normal(size=(seeds, 1))
        + of_item * random.normal(size=(1, items))
        + rest * random.normal(size=(seeds, items))
    )


def test_one_number_a_seed_gives_students_interval() -> None:
    values = [0.31, 0.42, 0.29, 0.51]
    peer = stats.ttest_1samp(values, 0.0)
    found = over_seeds([[value] for value in values])
    low, high = peer.confidence_interval()
    assert (found.low, found.high, found.p) == pytest.approx((low, high, peer.pvalue))
    assert found.item_error is None


def test_seeds_that_do_not_differ_leave_students_interval_over_items() -> None:
    items = np.random.default_rng(0).normal(size=20)
    peer = stats.ttest_1samp(items, 0.0)
    found = over_seeds([items] * 3, range(20))
    assert (found.low, found.high, found.p) == pytest.approx((*peer.confidence_interval(), peer.pvalue))
    assert found.seed_error == 0.0


def test_both_errors_are_mean_squares_of_the_two_way_analysis_and_their_sum_is_min_f() -> None:
    values = crossed(np.random.default_rng(1), 4, 9, 0.5, 1.0, 0.7) + 0.8
    mean = values.mean()
    of_seeds = 9 * ((values.mean(axis=1) - mean) ** 2).sum() / 3
    of_items = 4 * ((values.mean(axis=0) - mean) ** 2).sum() / 8
    found = over_seeds(values, range(9))
    assert found.seed_error == pytest.approx(math.sqrt(of_seeds / 36))
    assert found.item_error == pytest.approx(math.sqrt(of_items / 36))
    f = 36 * mean**2 / (of_seeds + of_items)
    assert min(stats.f.sf(f, 1, 3), stats.f.sf(f, 1, 8)) < found.p < max(stats.f.sf(f, 1, 3), stats.f.sf(f, 1, 8))
    share = of_seeds / (of_seeds + of_items)
    quantile = share * stats.t.ppf(0.975, 3) + (1 - share) * stats.t.ppf(0.975, 8)
    assert found.high - mean == pytest.approx(quantile * math.sqrt((of_seeds + of_items) / 36))


def test_items_of_one_cluster_are_one_unit_and_seeds_are_never_many_items() -> None:
    values = crossed(np.random.default_rng(2), 3, 8, 0.2, 1.0, 0.5)
    copied = over_seeds(np.repeat(values, 5, axis=1), np.repeat(range(8), 5).tolist())
    assert copied == pytest.approx(over_seeds(values, range(8)))
    assert copied.high > over_seeds(np.repeat(values, 5, axis=1), range(40)).high  # the control: as if all were apart


PARTS = [  # seeds, items, and the deviations of seed, item and the rest
    (3, 100, 1.0, 1.0, 1.0),
    (3, 100, 0.1, 1.0, 1.0),
    (3, 100, 0.0, 1.0, 0.5),
    (3, 100, 0.0, 0.0, 1.0),
    (3, 40, 0.15, 0.5, 1.0),
    (5, 60, 0.1, 1.0, 0.3),
]


@pytest.mark.parametrize("parts", PARTS)
def test_the_interval_covers_whatever_varies(parts: tuple[int, int, float, float, float]) -> None:
    random = np.random.default_rng(3)
    trials = 1000
    found = [over_seeds(crossed(random, *parts), range(parts[1])) for _ in range(trials)]
    covered = sum(one.low <= 0 <= one.high for one in found) / trials
    assert covered > 0.95 - 3 * math.sqrt(0.95 * 0.05 / trials)
    assert sum(one.p < 0.05 for one in found) == sum(not one.low <= 0 <= one.high for one in found)


def test_an_interval_over_items_alone_does_not_cover_where_seeds_differ() -> None:
    """The negative control: the seed forgotten, and the items of all runs taken for so many items."""
    random = np.random.default_rng(4)
    covered = 0
    for _ in range(500):
        values = crossed(random, 3, 100, 0.3, 0.5, 0.5)
        low, high = stats.ttest_1samp(values.ravel(), 0.0).confidence_interval()
        covered += low <= 0 <= high
    assert covered / 500 < 0.6
    # and over_seeds does, on the same kind of runs
    kept = [over_seeds(crossed(random, 3, 100, 0.3, 0.5, 0.5), range(100)) for _ in range(500)]
    assert sum(one.low <= 0 <= one.high for one in kept) / 500 > 0.92


def test_one_seed_says_nothing_and_where_nothing_varies_a_coin_decides() -> None:
    alone = over_seeds([[0.5, 0.7, 0.9]], range(3))
    assert (alone.low, alone.high, alone.p, alone.seed_error) == (-math.inf, math.inf, 1.0, None)
    assert alone.item_error is not None
    assert over_seeds([[1.0, 2.0], [1.0, 2.0]], ["one", "one"]).low == -math.inf
    still = over_seeds([[0.0] * 6] * 3, range(6))
    assert (still.mean, still.low, still.high, still.p) == (0.0, 0.0, 0.0, 1.0)
    flipped = over_seeds([[1.0] * 6] * 3, range(6))
    assert (flipped.low, flipped.p) == (1.0, mcnemar_exact(0, 6))
    assert over_seeds([[2.0]] * 3).p == mcnemar_exact(0, 3)
    with pytest.raises(ValueError, match="2 items and no clusters"):
        over_seeds([[1.0, 2.0]])


def test_the_bootstrap_of_a_mean_is_that_of_a_ratio_of_sums() -> None:
    values, clusters = [0.0, 1.0, 1.0, 3.0, 2.0], list("aabbc")
    ratio = cluster_bootstrap_of([values, [1.0] * 5], clusters, np.divide, seed=4, resamples=200)
    assert ratio == cluster_bootstrap(values, clusters, seed=4, resamples=200)


def test_a_ratios_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    """Tokens and log-probabilities of passages: the ratio of their sums, which no mean of ratios is."""
    random = np.random.default_rng(5)
    covered = 0
    for _ in range(200):
        tokens = random.integers(1, 40, 60).astype(float)
        logprobs = -2.0 * tokens + random.normal(0, 3, 60)
        low, high = cluster_bootstrap_of(
            [logprobs.tolist(), tokens.tolist()], range(60), lambda a, b: a / b, resamples=400
        )
        covered += low <= -2.0 <= high
    assert 180 <= covered <= 199


def test_resamples_that_say_nothing_are_left_out() -> None:
    def share(hits: NDArray[np.float64], tries: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.divide(hits, tries, out=np.full_like(hits, np.nan), where=tries > 0)

    assert cluster_bootstrap_of([[1.0, 0.0, 0.0], [1.0, 0.0, 0.0]], range(3), share) == (1.0, 1.0)
    assert cluster_bootstrap_of([[0.0, 0.0], [0.0, 0.0]], range(2), share) == (-math.inf, math.inf)
    assert cluster_bootstrap_of([[1.0], [1.0]], range(1), share) == (-math.inf, math.inf)


@given(truth=shares, sensitivity=st.floats(0.6, 1), specificity=st.floats(0.6, 1))
def test_a_rate_is_freed_of_errors_that_are_known(truth: float, sensitivity: float, specificity: float) -> None:
    """What a judge of known error rates would count, exactly, gives back the truth."""
    counted = truth * sensitivity + (1 - truth) * (1 - specificity)
    found = corrected_rate(counted * 10**6, 10**6, sensitivity, 10**9, specificity, 10**9)
    assert found is not None
    assert found.rate == pytest.approx(truth, abs=1e-6)
    assert found.interval.low - 1e-9 <= truth <= found.interval.high + 1e-9


def test_a_perfect_judge_needs_no_correction_and_a_coin_allows_none() -> None:
    found = corrected_rate(30, 100, 1.0, 10**9, 1.0, 10**9)
    assert found is not None
    assert found.rate == pytest.approx(0.3)
    low, high = wilson(30, 100)
    assert found.interval == pytest.approx((low, high), abs=0.01)
    assert corrected_rate(30, 100, 0.5, 100, 0.5, 100) is None
    assert corrected_rate(0, 0, 0.9, 100, 0.9, 100) is None


@pytest.mark.parametrize("truth", [0.02, 0.6, 0.9])
def test_the_corrected_interval_covers_the_truth_and_the_plain_one_does_not(truth: float) -> None:
    random = np.random.default_rng(0)
    sensitivity, specificity, runs = 0.85, 0.93, 500
    covered = {"corrected": 0, "plain": 0}
    for _ in range(runs):
        counted = random.binomial(400, truth * sensitivity + (1 - truth) * (1 - specificity))
        hits, rejections = random.binomial(250, sensitivity), random.binomial(180, specificity)
        found = corrected_rate(counted, 400, hits / 250, 250, rejections / 180, 180)
        assert found is not None
        covered["corrected"] += found.interval.low <= truth <= found.interval.high
        low, high = wilson(counted, 400)
        covered["plain"] += low <= truth <= high
    assert covered["corrected"] >= 0.93 * runs
    assert covered["plain"] < 0.75 * runs
