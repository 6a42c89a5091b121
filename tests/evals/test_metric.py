"""A figure is a mean with its interval, and says what it leaves out."""

import math

import pytest

from tests.evals.conftest import NATS, REFUSAL, items
from truing.core.statistics import Interval, cluster_bootstrap, wilson
from truing.evals.compare import side
from truing.evals.metric import corrected_figure, mean_figure, mean_interval, stratified_figure
from truing.judges.validate import JudgeAccuracy


def test_a_figure_is_the_side_of_a_comparison() -> None:
    rows = items([1, 0, 1, None, 1], finished=[True, False, None, True, True])
    figure, other = mean_figure("refusal", "refuses", rows), side(rows, REFUSAL)
    assert (figure.value, figure.low, figure.high) == (other.mean, other.low, other.high)
    assert (figure.n, figure.unknown, figure.cut) == (5, 1, 1)


def test_a_share_has_the_wider_of_both_intervals_and_nats_the_bootstrap() -> None:
    known = [(1.0, "a"), (1.0, "a"), (1.0, "b"), (1.0, "c")]
    assert mean_interval(known, "share") == wilson(4, 4)
    values, clusters = zip(*known, strict=True)
    assert mean_interval(known, "nats") == cluster_bootstrap(values, clusters)


@pytest.mark.parametrize("metric", [REFUSAL, NATS])
def test_where_nothing_is_known_there_is_no_value(metric: object) -> None:
    unit = metric.unit  # type: ignore[attr-defined]
    figure = mean_figure("x", "x", items([None, None]), unit)
    assert (figure.value, figure.unknown) == (None, 2)
    assert (figure.low, figure.high) == ((0.0, 1.0) if unit == "share" else (None, None))
    assert mean_interval([], "nats") == Interval(-math.inf, math.inf)


def test_a_judged_share_is_corrected_by_how_often_the_judge_errs() -> None:
    """It misses one in five and takes one in ten others for one: 38% counted are 40%. Counted the other way round, the
    same rows give the rest."""
    accuracy = JudgeAccuracy(data="labelled", hits=80, misses=20, rejections=90, false_alarms=10)
    rows = items([1.0] * 38 + [0.0] * 62 + [None] * 3)
    found = corrected_figure(REFUSAL, rows, accuracy, opposite=False)
    assert found.value == pytest.approx((0.38 + 0.9 - 1) / (0.8 + 0.9 - 1))
    assert (found.name, found.n, found.unknown) == ("refusal_corrected", 103, 3)
    turned = [row if row.value is None else row.model_copy(update={"value": 1 - row.value}) for row in rows]
    other = corrected_figure(REFUSAL, turned, accuracy, opposite=True)
    assert other.value == pytest.approx(1 - found.value)
    assert (other.low, other.high) == (pytest.approx(1 - (found.high or 0)), pytest.approx(1 - (found.low or 0)))


def test_a_judge_that_is_no_better_than_a_coin_corrects_nothing() -> None:
    coin = JudgeAccuracy(data="labelled", hits=50, misses=50, rejections=50, false_alarms=50)
    found = corrected_figure(REFUSAL, items([1.0, 0.0]), coin, opposite=False)
    assert (found.value, found.low) == (None, None)


def test_a_stratified_mean_weighs_strata_and_not_items() -> None:
    """Half of 1 of 1 and half of 1 of 4; ten times the items in one stratum change nothing."""
    one, four = items([1.0], "a"), items([1.0, 0.0, 0.0, 0.0], "b")
    for copies in (1, 10):
        made = stratified_figure("mean", "mean", [(0.5, one), (0.5, four * copies)])
        assert made.value == pytest.approx((1 + 1 / 4) / 2)
        assert made.n == 1 + 4 * copies
        assert (made.low or 0) < 0.625 < (made.high or 0)


def test_one_stratum_is_the_mean_and_an_empty_one_leaves_nothing_known() -> None:
    mine = items([1.0, 0.0, 1.0, None])
    made = stratified_figure("mean", "mean", [(1.0, mine)])
    plain = mean_figure("mean", "mean", mine)
    assert (made.value, made.low, made.high, made.unknown) == (plain.value, plain.low, plain.high, plain.unknown)
    for missing in ([], items([None])):
        empty = stratified_figure("mean", "mean", [(0.5, mine), (0.5, missing)])
        assert (empty.value, empty.low, empty.high) == (None, None, None)


def test_strata_that_are_all_right_are_not_certain() -> None:
    """Resampling knows no spread there; the interval is Wilson's of as many items as have the same variance."""
    made = stratified_figure("mean", "mean", [(0.5, items([1.0] * 8)), (0.5, items([1.0] * 8))])
    assert (made.value, made.low, made.high) == (1.0, wilson(16, 16).low, 1.0)
