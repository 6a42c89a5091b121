"""The gate that stops a running evaluation: verdicts, what is saved, what is marked, and a run that was killed."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from tests.evals.tasks.conftest import write_csv, write_lines
from tests.evals.tasks.test_bbq import row as bbq_row
from tests.evals.tasks.test_harmful import goals
from truing.cli.run import execute, prepare
from truing.core.errors import InputError
from truing.core.paired import ALPHA, Plan, one_by_one, stops
from truing.core.records import ItemResult
from truing.core.sequential import Units
from truing.evals.artifact import read_items
from truing.ledger.artifacts import Artifact
from truing.ledger.ledger import Ledger
from truing.loops.baseline import how_measured, read_baseline, write_baseline
from truing.loops.context import Context
from truing.loops.recipe import run_recipe
from truing.loops.verbs.gating import read_gate
from truing.loops.verbs.running import read_stopped
from truing.loops.verbs.table import VERBS
from truing.providers import local

ROWS = 200
RULE = {"metric": "bbq_ambiguous", "require": "no worse", "margin": 0.1}
GATE = {"verb": "gate_running", "tasks": ["bbq", "advbench"], "rule": [RULE], "chunk": 20}


def write_sets(folder: Path, rows: int = ROWS) -> Path:
    write_lines(folder / "bbq/Age.jsonl", [bbq_row(n, "ambig") for n in range(rows)])
    write_csv(folder / "advbench/advbench.csv", goals(3))
    return folder


def run(here: Path, tiny: Path, ledger: Path | None = None, **steps: dict[str, Any]) -> Artifact:
    """The last step's artifact."""
    values = {"name": "r", "model": {"name": str(tiny)}, **steps}
    recipe, prepared = prepare(values, "test", ledger or here / "ledger", here / "sets")
    made: Artifact = list(execute(recipe, prepared, Console(stderr=True), quiet=True).values())[-1].artifact
    return made


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Path) -> Path:
    """A folder with sets, a ledger, and base.jsonl, the tiny model's evaluation, exported."""
    folder = tmp_path_factory.mktemp("running")
    write_sets(folder / "sets")
    made = run(folder, tiny_folder, eval={"verb": "benchmark", "tasks": ["bbq", "advbench"], "max_new_tokens": 2})
    items = read_items(Ledger.open(folder / "ledger").folder(made))
    origin = write_baseline(folder / "base.jsonl", made, items, (), made, {})
    assert origin.measured == {"seed": 0, "tasks": ["bbq", "advbench"], "max_new_tokens": 2, "ties": "strict"}
    return folder


def gate(here: Path, **changes: Any) -> dict[str, Any]:
    return {**GATE, "baseline_file": str(here / "base.jsonl"), **changes}


def test_the_same_model_is_no_worse_after_a_part_of_the_items(here: Path, tiny_folder: Path) -> None:
    made = run(here, tiny_folder, gate=gate(here))
    ledger = Ledger.open(here / "ledger")
    folder = ledger.folder(made)
    (comparison,), report = read_gate(folder)
    stopped = read_stopped(folder)
    assert (made.kind, report.status, comparison.verdict) == ("partial_evaluation", "holds", "no worse")
    assert stopped.items < stopped.of == ROWS
    assert comparison.read is not None
    assert stopped.items - 20 < comparison.read <= stopped.items, "it stopped with the chunk that made it certain"
    assert len(read_items(folder)) == stopped.items
    assert "every verdict is certain" in str(stopped)
    assert stopped.left_out == ("advbench",)
    # By hand: reading all items in the same order would have stopped after the same one.
    base = read_items(ledger.folder(ledger.get("eval")))
    clusters = [item.cluster for item in base if item.task == "bbq_ambiguous"]
    names = list(dict.fromkeys(clusters))
    order = [names[place] for place in np.random.default_rng(0).permutation(len(names))]
    largest = max(clusters.count(name) for name in names)
    whole = one_by_one([0.0] * len(clusters), clusters, margin=0.1, plan=Plan(order, largest))
    assert whole.items == comparison.read


def test_a_candidate_that_became_worse_is_broken_early(here: Path, tiny_folder: Path, tmp_path: Path) -> None:
    """The tiny model as it is, held against one that is right on everything it gets wrong."""
    stored = read_baseline(here / "base.jsonl")
    assert {item.value for item in stored.items if item.task == "bbq_ambiguous"} != {1.0}
    better = [item.model_copy(update={"value": 1.0}) for item in stored.items]
    write_baseline(tmp_path / "better.jsonl", Ledger.open(here / "ledger").get("eval"), better)
    made = run(here, tiny_folder, gate=gate(here, baseline_file=str(tmp_path / "better.jsonl")))
    folder = Ledger.open(here / "ledger").folder(made)
    assert read_gate(folder)[1].status == "broken"
    assert read_stopped(folder).items < ROWS / 2
    assert read_gate(folder)[1].moved


def test_without_certainty_all_is_measured_and_said_to_be(here: Path, tiny_folder: Path) -> None:
    made = run(here, tiny_folder, gate=gate(here, rule=[{**RULE, "margin": 0.001}], chunk=100))
    folder = Ledger.open(here / "ledger").folder(made)
    assert read_gate(folder)[1].status == "not enough evidence"
    assert str(read_stopped(folder)) == f"all {ROWS} items were measured, and not every verdict is certain"


def test_a_run_that_was_killed_goes_on_with_what_is_missing(
    here: Path, tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    score = local.score_choices

    def counted(trunk: Any, questions: Any, tokens: int = 1) -> Any:
        asked.append(len(questions))
        return score(trunk, questions, tokens)

    monkeypatch.setattr(local, "score_choices", counted)
    values = {"name": "r", "model": {"name": str(tiny_folder)}, "gate": gate(here)}
    recipe, prepared = prepare(values, "test", tmp_path / "fresh", here / "sets")
    stopped: Any = run_recipe(recipe, VERBS, prepared)
    for _ in range(30):
        next(record for record in stopped if isinstance(record, ItemResult))
    stopped.close()
    first = sum(asked)
    assert first == 40, "two chunks"
    asked.clear()
    records = list(run_recipe(recipe, VERBS, Context(prepared.root, recipe.model, here / "sets")))
    measured = sum(isinstance(record, ItemResult) for record in records)
    assert sum(asked) == measured - first


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rule": [{**RULE, "metric": "refusal"}]}, "the rule about refusal: the baseline was not measured on it"),
        ({"rule": [{"metric": "bbq_ambiguous", "at_least": 0.1}]}, "bounds the mean over all items"),
        ({"rule": [{**RULE, "metric": "bbq_disambiguated"}]}, "the baseline has no item of it"),
        ({"baseline_file": ""}, "name the baseline either as an evaluation or by baseline_file"),
    ],
)
def test_what_cannot_be_read_early_is_refused(
    here: Path, tiny_folder: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        run(here, tiny_folder, gate=gate(here, **changes))


def test_a_set_that_lost_a_row_is_named(here: Path, tiny_folder: Path, tmp_path: Path) -> None:
    write_sets(tmp_path / "sets", ROWS - 1)
    with pytest.raises(InputError, match=f"the baseline has the item 'Age-{ROWS - 1}', which is not in the set"):
        run(tmp_path, tiny_folder, gate=gate(here))


def test_asking_after_every_item_raises_no_more_false_alarms_than_it_says() -> None:
    """2,000 evaluations without a difference, asked after every item: at most 2.5% are called worse. The control: a
    z-test that is asked after every twentieth calls several times as many."""
    gains = np.random.default_rng(0).choice([-1.0, 0.0, 1.0], size=(2000, 200), p=[0.15, 0.7, 0.15])
    found = stops(Units(gains, np.ones_like(gains), 1.0))
    false = np.isfinite(found.worse).mean()
    ends = np.arange(20, 201, 20)
    means = gains.cumsum(1)[:, ends - 1] / ends
    spread = np.sqrt(((gains**2).cumsum(1)[:, ends - 1] / ends - means**2) / ends) + 1e-9
    naive = (means / spread < -1.96).any(1).mean()
    assert false <= ALPHA / 2
    assert naive > 2 * ALPHA / 2


def test_a_verdict_that_is_certain_stays_as_more_is_measured() -> None:
    gains = np.random.default_rng(1).choice([-1.0, 0.0], size=120, p=[0.3, 0.7]).tolist()
    order = np.random.default_rng(2).permutation(120).tolist()
    reads = [one_by_one([gains[n] for n in order[:end]], order[:end], plan=Plan(order, 1)) for end in (10, 60, 90, 120)]
    assert [read.settled for read in reads] == [None, "worse", "worse", "worse"]
    assert len({(read.items, read.evidence.interval, read.evidence.p) for read in reads[1:]}) == 1


@pytest.mark.parametrize(
    ("gain", "margin", "settled", "items"),
    [(0.0, 0.1, "no worse", 59), (0.0, 0.05, "no worse", 121), (-1.0, 0.1, "worse", 11)],
)
def test_the_least_items_that_docs_name(gain: float, margin: float, settled: str, items: int) -> None:
    """Independent items of which none differs, or all do: the capital's path is known, whatever the order."""
    read = one_by_one([gain] * 200, range(200), margin=margin, plan=Plan(range(200), 1))
    assert (read.settled, read.items) == (settled, items)


def test_only_an_evaluation_on_sets_says_how_it_was_measured(here: Path) -> None:
    made = Ledger.open(here / "ledger").get("eval")
    assert how_measured(made)["tasks"] == ["bbq", "advbench"]
    assert how_measured(made.model_copy(update={"verb": "rejudge"})) == {}
