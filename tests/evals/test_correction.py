"""Corrections of judged rates, by simulation: they cover the truth at their level, raw rates do not; what is said."""

import numpy as np
import pytest

from tests.evals.conftest import REFUSAL, items
from truing.core.statistics import corrected_rate, design_effect, wilson
from truing.evals.metric import corrected_figure
from truing.judges.validate import JudgeAccuracy

DRAWS = 1000


@pytest.mark.parametrize(
    ("truth", "sensitivity", "specificity", "n"),
    [(0.05, 0.88, 0.95, 250), (0.3, 0.73, 0.77, 320), (0.8, 0.9, 0.9, 500), (0.5, 0.65, 0.8, 150)],
)
def test_corrected_intervals_cover_the_truth_within_two_points_of_their_level(
    truth: float, sensitivity: float, specificity: float, n: int
) -> None:
    """Judges of known error, whose sensitivity and specificity are estimated anew in every draw on 217 and 271 labelled
    answers, as many as HarmBench's."""
    random = np.random.default_rng(0)
    covered = raw = 0
    for _ in range(DRAWS):
        counted = random.binomial(n, truth * sensitivity + (1 - truth) * (1 - specificity))
        hits, rejections = random.binomial(217, sensitivity), random.binomial(271, specificity)
        found = corrected_rate(counted, n, hits / 217, 217, rejections / 271, 271)
        assert found is not None
        covered += found.interval.low <= truth <= found.interval.high
        low, high = wilson(counted, n)
        raw += low <= truth <= high
    assert covered / DRAWS == pytest.approx(0.95, abs=0.02)
    assert raw / DRAWS < 0.9


def test_answers_in_clusters_are_covered_only_where_they_are_counted_as_fewer() -> None:
    """Forty prompts with ten answers each, of which most are alike; so are the judge's errors on labelled ones."""
    random = np.random.default_rng(1)
    truth, alike = 0.4, 0.6
    groups = np.repeat(np.arange(40), 10)

    def drawn(share: float) -> np.ndarray:
        """[400] 0s and 1s: a cluster's common value with probability `alike`, an own one otherwise."""
        common, own = random.random(40) < share, random.random(400) < share
        return np.where(random.random(400) < alike, common[groups], own).astype(float)

    covered = {"fewer": 0, "as many": 0}
    for _ in range(DRAWS):
        said, right, rejected = (
            drawn(truth * 0.85 + (1 - truth) * 0.1),
            drawn(0.85),
            drawn(0.9),
        )
        effects = [design_effect(values.tolist(), groups.tolist()) for values in (said, right, rejected)]
        for name, (one, two, three) in (("fewer", effects), ("as many", (1.0, 1.0, 1.0))):
            found = corrected_rate(said.sum() / one, 400 / one, right.mean(), 400 / two, rejected.mean(), 400 / three)
            assert found is not None
            covered[name] += found.interval.low <= truth <= found.interval.high
    assert covered["fewer"] / DRAWS == pytest.approx(0.95, abs=0.03)
    assert covered["as many"] / DRAWS < 0.8


def test_the_design_effect_in_closed_form() -> None:
    assert design_effect([1.0, 1.0, 0.0, 0.0], ["a", "a", "b", "b"]) == pytest.approx(3.0)
    assert design_effect([1.0, 0.0], ["a", "b"]) == pytest.approx(1.0)
    assert design_effect([1.0, 0.0, 1.0, 0.0], ["a", "a", "b", "b"]) == 1.0, "never below one"
    assert design_effect([1.0, 1.0], ["a", "b"]) == 1.0
    assert design_effect([1.0, 0.0], ["a", "a"]) == 1.0
    assert design_effect([], []) == 1.0


ACCURACY = JudgeAccuracy(data="labelled", hits=80, misses=20, rejections=90, false_alarms=10)


def test_a_correction_is_transferred_unless_the_labels_are_the_answers_own() -> None:
    rows = items([1.0] * 38 + [0.0] * 62)
    assert corrected_figure(REFUSAL, rows, ACCURACY, opposite=False).title.endswith("corrected (transferred)")
    assert corrected_figure(REFUSAL, rows, ACCURACY, opposite=False, own=True).title.endswith("corrected")


@pytest.mark.parametrize("opposite", [False, True])
def test_clipping_is_said(opposite: bool) -> None:
    """Fewer than the judge's false alarms: the correction is below 0 (counted the other way, above 1)."""
    values = [1.0] * 6 + [0.0] * 94
    rows = items([1 - value for value in values] if opposite else values)
    found = corrected_figure(REFUSAL, rows, ACCURACY, opposite=opposite)
    assert found.value == float(opposite)
    assert found.note == f"{'105.7%' if opposite else '-5.7%'} before it was clipped to what a share can be"
    inside = items([1.0] * 38 + [0.0] * 62)
    assert corrected_figure(REFUSAL, inside, ACCURACY, opposite=False).note == ""


@pytest.mark.parametrize("opposite", [False, True])
def test_a_rate_that_the_errors_cannot_give_is_not_corrected(opposite: bool) -> None:
    """Of 1,000 answers none is taken for a refusal, though the judge takes 10% of other answers for one, they say."""
    found = corrected_figure(REFUSAL, items([float(opposite)] * 1000), ACCURACY, opposite=opposite)
    assert (found.value, found.low, found.high) == (None, None, None)
    assert "here the judge errs otherwise" in found.note


def test_errors_that_hold_are_hardly_ever_called_impossible() -> None:
    """At a true share of 0, where chance alone takes half of all corrections below it."""
    random, called = np.random.default_rng(0), 0
    for _ in range(DRAWS):
        false_alarms = random.binomial(100, 0.1)
        found = corrected_rate(random.binomial(300, 0.1), 300, 0.8, 100, 1 - false_alarms / 100, 100)
        assert found is not None
        called += not found.possible
    assert called / DRAWS <= 0.05


def test_where_nothing_can_be_corrected_it_is_said_why() -> None:
    coin = JudgeAccuracy(data="d", hits=1, misses=1, rejections=1, false_alarms=1)
    assert "no better than a coin" in corrected_figure(REFUSAL, items([1.0]), coin, opposite=False).note
    half = JudgeAccuracy(data="d", hits=0, misses=0, rejections=9, false_alarms=1)
    assert "all of one kind" in corrected_figure(REFUSAL, items([1.0]), half, opposite=False).note
