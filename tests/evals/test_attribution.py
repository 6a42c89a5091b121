"""A difference divided among settings: parts that sum to it, intervals by item, silence where nothing is known."""

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pytest

from tests.evals.conftest import items
from truing.core.shapley import shapley
from truing.core.statistics import tango
from truing.evals.attribution import REST, Attribution, attribute
from truing.evals.compare import compare
from truing.evals.methods import Claim, MethodRun, evidence, measures_of_items
from truing.evals.run import METRICS

NATS, SHARE = "reference_logprob", "refusal"
MEASURES = [one for one in measures_of_items(METRICS) if one.name in (NATS, SHARE)]
Values = Callable[[int, int], Sequence[float | None]]


def runs_of(masks: Sequence[int], values: Values, task: str = NATS, seeds: int = 1) -> dict[int, list[MethodRun]]:
    """A run of every combination with every seed; `values` of a combination and a seed."""
    return {
        mask: [MethodRun(method=f"{mask}", seed=s, items=tuple(items(values(mask, s), task))) for s in range(seeds)]
        for mask in masks
    }


def parts(runs: Mapping[int, Sequence[MethodRun]], names: str, claim: Claim = "runs") -> dict[str | None, Attribution]:
    return {one.setting: one for one in attribute(runs, list(names), MEASURES, claim)}


def test_parts_are_the_values_of_the_mean_and_sum_to_the_whole_exactly() -> None:
    base = np.random.default_rng(0).integers(-4, 5, 30).astype(float)

    def values(mask: int, _seed: int) -> list[float]:
        x, y = mask & 1, mask >> 1 & 1
        return (base + 2 * x + 3 * y + 6 * x * y).tolist()

    found = parts(runs_of(range(4), values), "xy")
    assert [(one, found[one].value) for one in found] == [(None, 11.0), ("x", 5.0), ("y", 6.0)]
    assert (found["x"].first, found["x"].last) == (2.0, 8.0)
    assert (found["x"].verdict, found["x"].n, found[None].first) == ("better", 30, None)


def test_of_one_setting_the_part_is_the_comparison_of_the_two_recipes() -> None:
    random = np.random.default_rng(1)
    sides = (random.random((2, 80)) < [[0.4], [0.7]]).astype(float).tolist()
    found = parts(runs_of((0, 1), lambda mask, _: sides[mask], SHARE), "x")
    (peer,) = compare(*(items(side, SHARE) for side in sides), METRICS)
    for one in (found[None], found["x"]):
        assert (one.value, one.low, one.high, one.p) == pytest.approx((peer.difference, peer.low, peer.high, peer.p))
    assert found["x"].adjusted_p == pytest.approx(2 * peer.p)  # two verdicts stand in the table


def test_with_more_settings_first_and_last_and_what_they_leave() -> None:
    masks = [0, 1, 2, 4, 3, 5, 6, 7]  # of three settings the runs of both ends are all combinations: leave the name out

    def values(mask: int, _seed: int) -> list[float]:
        bits = [mask >> place & 1 for place in range(5)]
        return [10.0 * item + sum(bits) + 3 * bits[0] * bits[1] * bits[2] for item in range(20)]

    ends = [0, 31, *(1 << place for place in range(5)), *(31 ^ 1 << place for place in range(5))]
    found = parts(runs_of(sorted(ends), values), "abcde")
    assert [found[name].value for name in "abcde"] == [2.5, 2.5, 2.5, 1.0, 1.0]
    assert (found["a"].first, found["a"].last, found["d"].last) == (1.0, 4.0, 1.0)
    assert found[None].value == 8.0
    assert found[REST].value == 8.0 - 9.5
    assert (found[REST].p, found[REST].verdict) == (None, None)
    whole = parts(runs_of(masks, lambda mask, seed: values(mask, seed)), "abc")
    assert REST not in whole
    assert [whole[name].value for name in "abc"] == [2.0, 2.0, 2.0]


def test_an_item_unknown_in_one_run_is_left_out_of_all_and_the_parts_still_sum() -> None:
    random = np.random.default_rng(2)
    table = random.integers(0, 9, (4, 12)).astype(float).tolist()
    table[2][3] = None
    found = parts(runs_of(range(4), lambda mask, _: table[mask]), "xy")
    assert (found["x"].items, found["x"].n) == (12, 11)
    assert found["x"].value + found["y"].value == pytest.approx(found[None].value)
    nothing = parts(runs_of(range(4), lambda *_: [None, None]), "xy")
    assert {(one.value, one.n, one.verdict) for one in nothing.values()} == {(None, 0, "not enough evidence")}


def test_a_setting_that_moves_no_item_claims_nothing() -> None:
    random = np.random.default_rng(3)
    sides = (random.random((2, 60)) < [[0.2], [0.9]]).astype(float).tolist()
    found = parts(runs_of(range(4), lambda mask, _: sides[mask & 1], SHARE), "xy")
    assert found["x"].verdict == "better"
    still = found["y"]
    assert (still.value, still.low, still.high, still.p) == (0.0, *tango(0, 0, 60), 1.0)
    assert still.verdict == "not enough evidence"


def test_fewer_than_three_seeds_claim_nothing_of_the_setting_and_three_do() -> None:
    random = np.random.default_rng(4)
    base = random.normal(size=40)

    def values(mask: int, seed: int) -> list[float]:
        return (base + (1 + 0.01 * seed) * (mask & 1)).tolist()

    assert parts(runs_of(range(4), values, seeds=2), "xy", "methods")["x"].verdict == "not enough evidence"
    assert parts(runs_of(range(4), values, seeds=3), "xy", "methods")["x"].verdict == "better"


def test_the_interval_over_seeds_and_items_covers_a_settings_true_part() -> None:
    """A setting's part varies from seed to seed and from item to item; and the control, items of these runs alone."""
    random, names = np.random.default_rng(5), [f"{item}" for item in range(40)]
    truth, trials, covered, alone = 0.7, 200, 0, 0
    for trial in range(trials):
        effects = 0.5 + 0.3 * random.normal(size=(3, 1)) + 0.3 * random.normal(size=40)
        worth = 0.3 * random.normal(size=(4, 3, 40))
        worth[1] += effects
        worth[2] += 0.1
        worth[3] += effects + 0.1 + 0.4  # the two help each other, and the first has half of that
        part = shapley(worth, 2)[0].tolist()
        low, high = evidence(part, names, False, "methods").interval
        covered += low <= truth <= high
        if trial < 15:  # a bootstrap takes its time
            low, high = evidence(part, names, False, "runs").interval
            alone += low <= truth <= high
    assert covered / trials > 0.95 - 3 * math.sqrt(0.95 * 0.05 / trials)
    assert alone <= 12
