"""Paired comparison: differences by hand, verdicts on constructed data, and what swapping or reordering must do."""

import math
from random import Random
from statistics import fmean

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.evals.conftest import NATS, OVER, REFUSAL, items, one
from truing.core.errors import InputError
from truing.core.paired import expanded_confidence
from truing.core.records import ItemResult
from truing.core.statistics import cluster_bootstrap, holm, mcnemar_exact, sign_flip_test, tango, wilson
from truing.evals.compare import ALPHA, MetricComparison, compare, side
from truing.evals.metric import Metric

MIRRORED = {"better": "worse", "worse": "better"}
paired = st.lists(st.tuples(*[st.sampled_from([0.0, 0.5, 1.0, None])] * 2, st.integers(0, 5)), min_size=1, max_size=25)


def test_the_difference_is_paired_and_by_hand() -> None:
    result = one([0, 0, 1, 1, 0], [1, 1, 1, 0, 1])
    assert result.difference == pytest.approx(2 / 5)
    assert (result.baseline.mean, result.candidate.mean) == (2 / 5, 4 / 5)
    assert result.p == mcnemar_exact(1, 3)
    assert (result.low, result.high) == tango(1, 3, 5)


def test_clustered_items_have_the_wider_interval_of_tangos_and_the_bootstraps() -> None:
    clusters = ["a", "a", "b", "c", "d"]
    result = one([0, 0, 1, 1, 0], [1, 1, 1, 0, 1], clusters=clusters)
    score, resampled = tango(1, 3, 5), cluster_bootstrap([1, 1, 0, -1, 1], clusters, confidence=expanded_confidence(4))
    assert (result.low, result.high) == (min(score.low, resampled.low), max(score.high, resampled.high))


def test_where_no_item_differs_the_interval_still_has_a_width() -> None:
    result = one([0] * 60, [0] * 60)
    assert (result.difference, result.low, result.high) == (0.0, *tango(0, 0, 60))
    assert mcnemar_exact(0, 6) < ALPHA <= mcnemar_exact(0, 5)
    assert result.detectable > 6 / 60  # which would bring six differences, or more, only every other time
    assert math.isinf(one([0] * 5, [0] * 5).detectable)
    assert one([0] * 60, [0] * 60, margin=0.05).verdict == "not enough evidence"
    assert one([0] * 60, [0] * 60, margin=0.07).verdict == "no worse"


def test_pairing_sees_what_two_separate_samples_cannot() -> None:
    """Items differ a lot, systems a little and always the same way: shuffling the pairs, the control, hides it."""
    random = np.random.default_rng(0)
    easy = random.normal(size=60)
    harder = easy + 0.2 + 0.05 * random.normal(size=60)
    assert one(easy, harder, NATS).verdict == "better"
    assert one(easy, random.permutation(harder), NATS).verdict == "not enough evidence"


def test_unknown_items_are_left_out_of_the_difference_and_counted() -> None:
    result = one([0, None, 0, None, 1], [1, 1, None, None, 1])
    assert (result.items, result.n) == (5, 2)
    assert (result.baseline.unknown, result.candidate.unknown) == (2, 2)
    assert result.difference == 1 / 2
    assert (result.baseline.mean, result.candidate.mean) == (pytest.approx(1 / 3), 1.0)


def test_an_unknown_item_is_not_a_no() -> None:
    assert one([1, 1, 0], [1, None, 0]).difference == 0.0
    assert one([1, 1, 0], [1, 0, 0]).difference == pytest.approx(-1 / 3)


@pytest.mark.parametrize("metric", [REFUSAL, NATS])
def test_where_nothing_is_known_nothing_is_claimed(metric: Metric) -> None:
    result = one([None, None], [None, 1], metric)
    assert (result.n, result.difference, result.p, result.verdict) == (0, None, 1.0, "not enough evidence")
    assert (result.low, result.high, result.detectable) == (-math.inf, math.inf, math.inf)
    assert result.baseline.mean is None
    assert (result.baseline.low, result.baseline.high) == ((0, 1) if metric.unit == "share" else (-math.inf, math.inf))


def test_cut_answers_are_counted() -> None:
    told = side(items([1, 0, 1, None], finished=[True, False, None, False]), REFUSAL)
    assert (told.cut, told.unknown) == (2, 1)


@pytest.mark.parametrize(
    ("baseline", "candidate"),
    [(items([1, 0]), items([1])), (items([1]), items([1, 0])), (items([1]), []), ([], items([1]))],
)
def test_items_on_one_side_only_are_refused(baseline: list[ItemResult], candidate: list[ItemResult]) -> None:
    with pytest.raises(InputError, match=r"refusal: 1 items were measured on one side only \(for example '000[01]'\)"):
        compare(baseline, candidate, [REFUSAL])


def test_an_item_with_another_prompt_is_another_item() -> None:
    changed = items([1, 1])
    changed[1] = changed[1].model_copy(update={"prompt": "something else"})
    with pytest.raises(InputError, match=r"refusal: 1 items have another prompt on each side \(for example '0001'\)"):
        compare(items([1, 1]), changed, [REFUSAL])


def test_an_item_that_stands_twice_is_refused() -> None:
    with pytest.raises(InputError, match="refusal: the item '0000' stands twice in one evaluation"):
        compare(items([1]) * 2, items([1]), [REFUSAL])


def test_a_metric_that_neither_side_measured_is_left_out() -> None:
    assert [result.task for result in compare(items([1]), items([1]), [OVER, REFUSAL])] == ["refusal"]


@pytest.mark.parametrize(
    ("baseline", "candidate", "margin", "verdict"),
    [
        ([0] * 40, [1] * 40, 0.0, "better"),
        ([1] * 40, [0] * 40, 0.0, "worse"),
        ([0, 1] * 20, [0, 1] * 20, 0.0, "not enough evidence"),  # equal in a sample is not equal
        ([0, 1] * 20, [0, 1] * 20, 0.1, "no worse"),
        ([0] * 4, [1] * 4, 0.0, "no worse"),  # all for the better, but too few to call it better
        ([1] * 4, [0] * 4, 0.0, "not enough evidence"),
        ([0, 1] * 20, [1, 0] * 20, 0.0, "not enough evidence"),
        ([1] * 100, [1] * 98 + [0] * 2, 0.0, "not enough evidence"),
        ([1] * 100, [1] * 98 + [0] * 2, 0.10, "no worse"),
        ([1] * 100, [1] * 80 + [0] * 20, 0.10, "worse"),
        ([1] * 100, [1] * 80 + [0] * 20, 0.30, "no worse"),  # surely worse, but within what is allowed
        ([1], [1], 0.5, "not enough evidence"),
    ],
)
def test_verdicts_on_constructed_data(
    baseline: list[float], candidate: list[float], margin: float, verdict: str
) -> None:
    assert one(baseline, candidate, REFUSAL, margin).verdict == verdict
    flipped = ([1 - value for value in values] for values in (baseline, candidate))
    assert one(*flipped, OVER, margin).verdict == verdict  # where lower is better, the mirrored data say the same


@settings(max_examples=60, deadline=None)
@given(pairs=paired, metric=st.sampled_from([REFUSAL, OVER, NATS]))
def test_swapping_the_sides_flips_the_sign_and_the_verdict(
    pairs: list[tuple[float | None, float | None, int]], metric: Metric
) -> None:
    a, b = [x for x, _, _ in pairs], [y for _, y, _ in pairs]
    clusters = [f"c{cluster}" for *_, cluster in pairs]
    forth, back = one(a, b, metric, clusters=clusters), one(b, a, metric, clusters=clusters)
    assert (forth.baseline, forth.candidate) == (back.candidate, back.baseline)
    assert forth.difference == (None if back.difference is None else pytest.approx(-back.difference))
    assert (forth.low, forth.high) == pytest.approx((-back.high, -back.low))
    assert (forth.p, forth.n) == (back.p, back.n)
    assert forth.detectable == pytest.approx(back.detectable)
    if forth.verdict in MIRRORED:
        assert back.verdict == MIRRORED[forth.verdict]
    else:
        assert back.verdict not in MIRRORED


@settings(max_examples=40, deadline=None)
@given(values=st.lists(st.sampled_from([0.0, 0.5, 1.0, -2.5]), min_size=1, max_size=25), random=st.randoms())
def test_identical_systems_are_never_better_or_worse_and_order_does_not_matter(
    values: list[float], random: Random
) -> None:
    both = items(values, "reference_logprob")
    shuffled = list(both)
    random.shuffle(shuffled)
    (result,) = compare(both, shuffled, [NATS])
    assert result.verdict in ("no worse", "not enough evidence")
    assert (result.difference, result.p) == (0.0, 1.0)
    assert compare(shuffled, both, [NATS]) == [result]


def test_verdicts_are_rarely_false_where_there_is_no_difference() -> None:
    """Two draws of the same system on 60 items in 20 clusters, 200 times: better or worse in about 5% at most."""
    random = np.random.default_rng(3)
    clusters = [f"c{number // 3}" for number in range(60)]
    verdicts = []
    for _ in range(200):
        chance = np.repeat(random.random(20), 3)
        a, b = ((random.random(60) < chance).astype(float).tolist() for _ in range(2))
        verdicts.append(one(a, b, clusters=clusters).verdict)
    assert sum(verdict in MIRRORED for verdict in verdicts) <= 18


def test_clusters_choose_the_test_and_widen_the_interval() -> None:
    baseline, candidate = [0.0] * 12 + [1.0] * 12, [0.0] * 4 + [1.0] * 16 + [0.0] * 4
    together = [f"c{number // 4}" for number in range(24)]
    apart, clustered = one(baseline, candidate), one(baseline, candidate, clusters=together)
    assert apart.p == mcnemar_exact(4, 8)
    assert clustered.p == sign_flip_test([b - a for a, b in zip(baseline, candidate, strict=True)], together)
    assert clustered.difference == apart.difference
    assert clustered.high - clustered.low > 1.5 * (apart.high - apart.low)
    assert clustered.candidate.high - clustered.candidate.low > apart.candidate.high - apart.candidate.low


def test_a_shares_interval_is_never_narrower_than_wilsons_and_stays_inside_0_and_1() -> None:
    """At 0 and 1 resampling knows no spread; in one single cluster nothing is known at all."""
    told = side(items([1] * 20), REFUSAL)
    assert (told.mean, told.low, told.high) == (1.0, wilson(20, 20).low, 1.0)
    same = side(items([1, 0, 1, 1], clusters=["one"] * 4), REFUSAL)
    assert (same.low, same.high) == (0.0, 1.0)
    assert side(items([-1.0, -2.0, -3.0], "reference_logprob"), NATS).high < 0


def four_metrics(effects: list[int]) -> tuple[list[ItemResult], list[ItemResult], list[Metric]]:
    """Per metric, so many of 40 items changed for the better."""
    metrics = [Metric(f"m{number}", f"metric {number}", "higher") for number in range(len(effects))]
    baseline = [item for metric in metrics for item in items([0] * 40, metric.task)]
    candidate = [
        item
        for metric, effect in zip(metrics, effects, strict=True)
        for item in items([1] * effect + [0] * (40 - effect), metric.task)
    ]
    return baseline, candidate, metrics


def test_holm_runs_over_all_metrics_compared() -> None:
    """Six of 40 changed, none back: p = 2/64 alone, and not below 0.05 once three other metrics were looked at."""
    baseline, candidate, metrics = four_metrics([6, 0, 0, 7])
    results = compare(baseline, candidate, metrics)
    assert [result.p for result in results] == [2 / 64, 1.0, 1.0, 2 / 128]
    assert [result.adjusted_p for result in results] == holm([result.p for result in results])
    assert [result.verdict for result in results][::3] == ["no worse", "no worse"]
    (alone,) = compare(baseline[:40], candidate[:40], metrics[:1])
    assert (alone.adjusted_p, alone.verdict) == (2 / 64, "better")


def test_adding_a_metric_changes_no_difference_of_another() -> None:
    baseline, candidate, metrics = four_metrics([6, 30, 0, 7])

    def bare(results: list[MetricComparison]) -> list[MetricComparison]:
        return [result.model_copy(update={"adjusted_p": 0.0, "verdict": "", "detectable": 0.0}) for result in results]

    four, two = compare(baseline, candidate, metrics), compare(baseline[:80], candidate[:80], metrics[:2])
    assert bare(four)[:2] == bare(two)
    assert four[0].detectable > two[0].detectable  # but its test becomes stricter


@settings(max_examples=40, deadline=None)
@given(pairs=paired)
def test_a_difference_lies_in_its_interval_and_equals_that_of_the_means_of_items_known_on_both(
    pairs: list[tuple[float | None, float | None, int]],
) -> None:
    result = one([a for a, _, _ in pairs], [b for _, b, _ in pairs], clusters=[f"c{c}" for *_, c in pairs])
    known = [(a, b) for a, b, _ in pairs if a is not None and b is not None]
    assert result.n == len(known)
    if result.difference is not None:
        assert result.difference == pytest.approx(fmean(b for _, b in known) - fmean(a for a, _ in known))
        assert result.low - 1e-12 <= result.difference <= result.high + 1e-12
