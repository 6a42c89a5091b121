"""Methods over seeds: paired by seed and item, verdicts that a lucky seed cannot make, and what is refused."""

import math
from collections.abc import Sequence

import numpy as np
import pytest

from tests.evals.conftest import items
from truing.core.errors import InputError
from truing.core.records import ItemResult
from truing.core.statistics import over_seeds, tango
from truing.evals.compare import compare
from truing.evals.methods import MEASURES, MethodResult, MethodRun, claim_of, compare_methods
from truing.evals.metric import Metric
from truing.evals.run import METRICS

Values = Sequence[float | None]


def run(method: str, seed: int, values: Values, task: str = "preference_accuracy", **cost: float | None) -> MethodRun:
    return MethodRun(method=method, seed=seed, items=tuple(items(values, task)), **cost)


def duelled(method: str, seed: int, kl: float, length: float) -> MethodRun:
    won = ItemResult(
        task="win_rate", item="w", cluster="w", value=1.0, finished=True, detail={"kl": kl, "tokens": length}
    )
    lost = won.model_copy(update={"item": "l", "cluster": "l", "value": 0.0, "finished": False})
    return MethodRun(method=method, seed=seed, items=(won, lost))


def one(runs: Sequence[MethodRun], method: str = "dpo", measure: str = "preference_accuracy") -> MethodResult:
    (found,) = (
        result for result in compare_methods(runs, "sft") if (result.method, result.measure) == (method, measure)
    )
    return found


def drawn(random: np.random.Generator, rates: Sequence[float], n: int = 200) -> list[list[float]]:
    """Yes-or-no items of one method, a rate for each seed."""
    return [(random.random(n) < rate).astype(float).tolist() for rate in rates]


def runs_of(**methods: list[list[float]]) -> list[MethodRun]:
    return [run(name, seed, row) for name, rows in methods.items() for seed, row in enumerate(rows)]


def test_means_and_differences_are_those_of_the_statistics() -> None:
    random = np.random.default_rng(0)
    sft, dpo = drawn(random, [0.5, 0.5, 0.5]), drawn(random, [0.7, 0.75, 0.8])
    sft[0][0] = 0.5  # not yes-or-no items: of those, the interval is Tango's at least
    found = one(runs_of(sft=sft, dpo=dpo))
    assert found.by_seed == pytest.approx([np.mean(row) for row in dpo])
    assert found.mean == pytest.approx(np.mean(dpo))
    paired = over_seeds(np.array(dpo) - np.array(sft), range(200))
    assert (found.difference, found.difference_low, found.difference_high, found.p) == pytest.approx(paired[:4])
    assert (found.seed_error, found.item_error) == (paired.seed_error, paired.item_error)
    assert (found.seeds, found.items, found.n, found.verdict) == ((0, 1, 2), 200, 200, "better")
    baseline = one(runs_of(sft=sft, dpo=dpo), "sft")
    assert (baseline.difference, baseline.verdict, baseline.p) == (None, None, None)


def test_pairs_are_the_same_seed_and_item_whatever_the_order_of_the_runs() -> None:
    """Seeds and items differ a lot, methods little: shuffled seeds, the control, hide it."""
    random = np.random.default_rng(1)
    base = random.normal(size=(3, 1)) + random.normal(size=(1, 50))
    better = base + 0.2 + 0.02 * random.normal(size=(3, 50))
    runs = [run(name, seed, list(row), "reference_logprob") for name, rows in (("sft", base), ("dpo", better))
            for seed, row in enumerate(rows)]  # fmt: skip
    assert one(runs, measure="reference_logprob").verdict == "better"
    assert compare_methods(runs[:3] + runs[:2:-1], "sft") == compare_methods(runs, "sft")
    moved = [r if r.method == "sft" else r.model_copy(update={"seed": (r.seed + 1) % 3}) for r in runs]
    assert one(moved, measure="reference_logprob").verdict == "not enough evidence"


def test_one_lucky_seed_makes_no_claim_where_items_alone_would() -> None:
    random = np.random.default_rng(2)
    sft = drawn(random, [0.5, 0.5, 0.5], 400)
    lucky = one(runs_of(sft=sft, dpo=drawn(random, [0.5, 0.52, 0.95], 400)))
    assert lucky.verdict == "not enough evidence"
    assert (lucky.seed_error or 0) > 3 * (lucky.item_error or 0)
    steady = one(runs_of(sft=sft, dpo=drawn(random, [0.75, 0.74, 0.76], 400)))
    assert steady.verdict == "better"


def test_fewer_than_three_seeds_claim_nothing_however_large_the_difference() -> None:
    for seeds in (1, 2):
        rows = runs_of(sft=[[0.0] * 99 + [1.0]] * seeds, dpo=[[1.0] * 99 + [0.0]] * seeds)
        assert one(rows).verdict == "not enough evidence"
        assert one(rows).difference == pytest.approx(0.98)
    alone = one(runs_of(sft=[[0.0, 1.0]], dpo=[[1.0, 1.0]]))
    assert (alone.difference_low, alone.difference_high, alone.low, alone.high) == (-1.0, 1.0, 0.0, 1.0)


def of_runs(runs: Sequence[MethodRun], method: str = "dpo") -> list[MethodResult]:
    """The results of one method, where nothing is said of seeds."""
    return [result for result in compare_methods(runs, "sft", claim="runs") if result.method == method and result.items]


def test_of_one_run_alone_it_is_the_comparison_of_two_evaluations() -> None:
    random = np.random.default_rng(5)
    for task, values in (
        ("preference_accuracy", [drawn(random, [rate], 80)[0] for rate in (0.4, 0.7)]),
        ("reference_logprob", [random.normal(shift, 1, 80).tolist() for shift in (0.0, 0.3)]),
    ):
        values[1][7] = None
        (found,) = of_runs([run(name, 0, row, task) for name, row in zip(("sft", "dpo"), values, strict=True)])
        (peer,) = compare(*(items(row, task) for row in values), METRICS)
        assert (found.difference, found.difference_low, found.difference_high, found.p, found.verdict) == (
            pytest.approx(peer.difference), pytest.approx(peer.low), pytest.approx(peer.high), peer.p, peer.verdict,
        )  # fmt: skip
        side = peer.candidate
        assert (found.mean, found.low, found.high) == pytest.approx((side.mean, side.low, side.high))


def test_of_two_runs_alone_an_item_counts_by_its_mean_and_seeds_widen_nothing() -> None:
    random = np.random.default_rng(6)
    sft, dpo = random.normal(0, 1, (2, 50)), random.normal(1, 1, (2, 50)) + np.array([[2.0], [-1.0]])  # seeds differ
    runs = [run(name, seed, list(row), "reference_logprob") for name, rows in (("sft", sft), ("dpo", dpo))
            for seed, row in enumerate(rows)]  # fmt: skip
    (found,) = of_runs(runs)
    (peer,) = compare(*(items(list(rows.mean(axis=0)), "reference_logprob") for rows in (sft, dpo)), METRICS)
    assert (found.difference, found.difference_low, found.difference_high) == pytest.approx(
        (peer.difference, peer.low, peer.high)
    )
    assert (found.verdict, found.seed_error) == ("better", None)
    assert one(runs, measure="reference_logprob").verdict == "not enough evidence"  # of the method nothing is known


def test_from_three_seeds_on_runs_speak_of_methods() -> None:
    assert [claim_of(seeds) for seeds in ([0], [0, 1, 1], [0, 1, 2])] == ["runs", "runs", "methods"]


def test_where_no_item_differs_the_interval_still_has_a_width() -> None:
    rows = [[0.0] * 60] * 3
    found = one(runs_of(sft=rows, dpo=rows))
    assert (found.difference, found.difference_low, found.difference_high) == (0.0, *tango(0, 0, 60))
    assert (found.verdict, found.p) == ("not enough evidence", 1.0)
    assert found.high > 0


def test_an_item_unknown_with_one_seed_is_left_out_with_all_and_counted() -> None:
    sft = [[0.0, 1.0, 0.0], [0.0, 1.0, None], [0.0, 1.0, 0.0]]
    dpo = [[None, 1.0, 1.0], [1.0, 1.0, 1.0], [1.0, 0.0, 1.0]]
    runs = [run(n, s, row) for n, rows in (("sft", sft), ("dpo", dpo)) for s, row in enumerate(rows)]
    found = one(runs)
    assert (found.items, found.n) == (3, 2)
    assert found.mean == pytest.approx(5 / 6)
    assert found.difference == pytest.approx(-1 / 3)  # of the one item that is known everywhere
    nothing = one([run(name, seed, [None, None]) for name in ("sft", "dpo") for seed in range(3)])
    assert (nothing.mean, nothing.difference, nothing.n, nothing.verdict) == (None, None, 0, "not enough evidence")


def test_divergence_length_and_ends_are_shown_and_claimed_of_none() -> None:
    runs = [duelled("sft", seed, 1.0 + seed, 20.0) for seed in range(3)]
    runs += [duelled("dpo", seed, 3.0 + seed, 30.0) for seed in range(3)]
    kl = one(runs, measure="kl")
    assert (kl.by_seed, kl.mean, kl.difference, kl.unit) == ((3.0, 4.0, 5.0), 4.0, 2.0, "nats")
    assert one(runs, measure="length").mean == 30.0
    assert one(runs, measure="ended").mean == 0.5
    assert one(runs, measure="win_rate").verdict is not None
    for measure in ("kl", "length", "ended", "seconds"):
        assert (one(runs, measure=measure).p, one(runs, measure=measure).verdict) == (None, None)


def test_costs_are_one_number_a_seed_and_unknown_where_one_is() -> None:
    runs = [run("sft", seed, [1.0, 0.0], seconds=10.0, peak_mb=800) for seed in range(3)]
    runs += [run("dpo", seed, [1.0, 0.0], seconds=20.0 + seed, peak_mb=None) for seed in range(3)]
    seconds, memory = one(runs, measure="seconds"), one(runs, measure="peak_mb")
    assert (seconds.mean, seconds.items, seconds.difference) == (21.0, 0, 11.0)
    peer = over_seeds([[20.0], [21.0], [22.0]])
    assert (seconds.low, seconds.high) == (peer.low, peer.high)
    assert (memory.mean, memory.difference, memory.by_seed) == (None, None, (None,) * 3)


def test_holm_counts_every_verdict_of_the_table_and_no_other_test() -> None:
    random = np.random.default_rng(3)
    rows = {name: drawn(random, [rate] * 3) for name, rate in (("sft", 0.5), ("dpo", 0.56), ("ipo", 0.57))}
    found = [result for result in compare_methods(runs_of(**rows), "sft") if result.p is not None]
    small, large = sorted(found, key=lambda result: result.p or 0)
    assert small.adjusted_p == min(1.0, 2 * (small.p or 0))
    assert large.adjusted_p == max(small.adjusted_p, large.p or 0)


def test_swapping_the_baseline_turns_the_difference_round() -> None:
    random = np.random.default_rng(4)
    runs = runs_of(sft=drawn(random, [0.5] * 3), dpo=drawn(random, [0.8] * 3))
    there = one(runs)
    (back,) = (r for r in compare_methods(runs, "dpo") if r.method == "sft" and r.measure == "preference_accuracy")
    assert (back.difference, back.difference_low) == pytest.approx((-(there.difference or 0), -there.difference_high))
    assert (there.verdict, back.verdict) == ("better", "worse")


THREE = [run("sft", seed, [1, 0]) for seed in range(3)]


@pytest.mark.parametrize(
    ("others", "message"),
    [
        ([], "sft is the only method; name at least one more"),
        ([run("dpo", 0, [1, 0]), run("dpo", 2, [1, 0])], r"dpo: there is no run with seed 1, .* --set seed=1"),
        ([run("dpo", seed, [1, 0]) for seed in (0, 1, 2, 3)], "sft: there is no run with seed 3, which other methods"),
        ([run("dpo", 0, [1, 0])] * 2, "dpo: there are two runs with seed 0"),
        (
            [run("dpo", seed, [1, 0, 1][: 2 + (seed == 1)]) for seed in range(3)],
            r"sft with seed 0 and dpo with seed 1: preference_accuracy: 1 items were measured on one side only",
        ),
        ([run("dpo", seed, [1, 0], "refusal") for seed in range(3)], "sft with seed 0 and dpo with seed 0: "),
    ],
)  # fmt: skip
def test_what_cannot_be_compared_is_refused(others: list[MethodRun], message: str) -> None:
    with pytest.raises(InputError, match=message):
        compare_methods([*THREE, *others], "sft")


def test_a_baseline_that_is_no_method_is_refused() -> None:
    with pytest.raises(InputError, match="the baseline 'base' is none of the methods: sft"):
        compare_methods(THREE, "base")


def test_every_metric_is_a_measure_and_names_are_distinct() -> None:
    names = [measure.name for measure in MEASURES]
    assert len(set(names)) == len(names)
    assert {metric.task: metric.better for metric in METRICS}.items() <= {
        measure.name: measure.better for measure in MEASURES
    }.items()
    assert math.isinf(MethodResult.model_fields["difference_high"].default)


def test_metrics_that_truing_does_not_know_are_compared_where_runs_bring_them() -> None:
    own = Metric("tea_right", "Tea: right", "higher")
    runs = [
        run(name, seed, values, "tea_right").model_copy(update={"metrics": (own,)})
        for name, values in (("sft", [0.0, 1.0]), ("dpo", [1.0, 1.0]))
        for seed in range(3)
    ]
    found = one(runs, measure="tea_right")
    assert (found.title, found.mean, found.difference) == ("Tea: right", 1.0, 0.5)
    without = [r.model_copy(update={"metrics": ()}) for r in runs]
    assert not [result for result in compare_methods(without, "sft") if result.measure == "tea_right"]
