"""compare --over-seeds: a table at any width, no claim from too few seeds, one sentence where it is wrong."""

import json
from pathlib import Path

import pytest
from rich.console import Console

from tests.cli.conftest import Truing
from tests.cli.evaluations import commit, share
from truing.cli.methods import print_methods
from truing.evals.methods import MEASURES, MethodResult, MethodRun, compare_methods
from truing.ledger.ledger import Ledger
from truing.loops.methods import method_runs

ONES = {"sft": (20, 24, 22), "dpo": (71, 69, 70), "a-long-name-of-a-method": (22, 22, 21)}


@pytest.fixture(autouse=True)
def ledger(tmp_path: Path) -> Ledger:
    """Three methods with seeds 0 to 2; `few` has two, and `dim` an answer that cannot be judged."""
    made = Ledger.open(tmp_path / ".truing")
    for name, ones in ONES.items():
        for seed, count in enumerate(ones):
            values = {"refusal": share(count), "over_refusal": share(5 + seed), "reference_logprob": [-1.0, -2.5]}
            commit(made, name, values, seed)
    for seed in (0, 1, 2):
        commit(made, "dim", {"refusal": share(20 + seed, unknown=seed)}, seed)
        commit(made, "bright", {"refusal": share(20 + seed)}, seed)
    for seed in (0, 1):
        commit(made, "few", {"refusal": share(20 + seed)}, seed)
        commit(made, "fewer", {"refusal": share(90 - seed)}, seed)
    return made


def printed(results: list[MethodResult], width: int, baseline: str) -> list[str]:
    console = Console(width=width, no_color=True)
    with console.capture() as captured:
        print_methods(results, console, baseline)
    return captured.get().splitlines()


@pytest.mark.parametrize("width", [80, 120, 200])
def test_no_table_is_wider_than_the_console_and_nothing_is_cut(ledger: Ledger, width: int) -> None:
    costly = [
        run.model_copy(update={"seconds": 1234.5 + run.seed, "seconds_in_all": 23456.7, "peak_mb": 2345.0})
        for run in method_runs(ledger, list(ONES))[0]
    ]
    results = compare_methods(costly, "sft")
    lines = printed(results, width, "sft")
    assert max(map(len, lines)) <= width
    text = " ".join(" ".join(lines).split())
    assert "…" not in text
    assert text.count("a-long-name-of-a-method") >= 1 + 6
    for result in results:
        assert set(result.title.split()) <= set(text.split())
    assert "70.0% 6.0%" in text or width < 200  # a method's means stand side by side
    assert "1,235.5" in text


def test_the_table_says_what_it_rests_on(truing: Truing) -> None:
    code, out, err = truing("compare", *ONES, "--over-seeds")
    assert (code, err) == (0, "")
    assert "difference from sft" in out
    assert "3 seeds (0, 1, 2); 95% intervals, seeds and items drawn by chance" in out
    assert "claim" not in out
    assert "better" in out
    _, out, _ = truing("compare", "bright", "dim", "--over-seeds", "--baseline", "dim")
    assert "difference from dim" in out
    assert "unknown with some seed: refuses harmful requests (2 of dim)" in out


def test_two_seeds_are_shown_and_nothing_is_claimed(truing: Truing) -> None:
    _, out, _ = truing("compare", "few", "fewer", "--over-seeds")
    assert "a claim about methods needs 3 seeds or more: there is none here" in out
    assert "better" not in out
    assert "not enough evidence" in out


def test_json_has_every_method_by_every_measure_and_no_infinity(truing: Truing) -> None:
    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    code, out, _ = truing("compare", *ONES, "--over-seeds", "--json")
    found = {(one["measure"], one["method"]): one for one in json.loads(out, parse_constant=refuse)}
    assert code == 0
    assert found["refusal", "dpo"]["verdict"] == "better"
    assert found["refusal", "dpo"]["by_seed"] == [0.71, 0.69, 0.70]
    assert found["refusal", "sft"]["verdict"] is None
    assert found["reference_logprob", "dpo"]["difference"] == 0
    measures = {measure for measure, _ in found}
    assert measures == {"refusal", "over_refusal", "reference_logprob"} | {m.name for m in MEASURES if m.task is None}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["sft"], "compare takes two evaluations; found sft: to compare methods, add --over-seeds"),
        (["sft", "dpo", "few"], "compare takes two evaluations; found sft, dpo, few: to compare methods, add --over"),
        (
            ["sft", "dpo", "--baseline", "sft"],
            "compare takes two evaluations; found sft, dpo and --baseline: to compare",
        ),
        (["sft", "--over-seeds"], "sft is the only method; name at least one more"),
        (["sft", "dop", "--over-seeds"], "'dop': there is no evaluation of this name, nor of an adapter of this name"),
        (
            ["bright", "few", "--over-seeds"],
            "few: there is no run with seed 2, which other methods have; run the recipe",
        ),
        (
            ["sft", "bright", "--over-seeds"],
            "sft with seed 0 and bright with seed 0: over_refusal: 100 items were measur",
        ),
        (["sft", "dpo", "--over-seeds", "--baseline", "ppo"], "the baseline 'ppo' is none of the methods: sft, dpo"),
    ],
)
def test_a_wrong_comparison_is_one_sentence(truing: Truing, words: list[str], message: str) -> None:
    code, out, err = truing("compare", *words)
    assert (code, out) == (2, "")
    assert err.startswith(f"truing: {message}")
    assert err.count("\n") == 1


def test_one_seed_has_no_interval_that_means_anything() -> None:
    from tests.evals.conftest import items

    runs = [MethodRun(method=name, seed=0, items=tuple(items([1.0, 0.0]))) for name in ("sft", "dpo")]
    lines = printed(compare_methods(runs, "sft"), 100, "sft")
    assert any("with one seed, nothing is known about a method" in line for line in lines)
