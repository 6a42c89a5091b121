"""The verb `reward` on a tiny model on disk: its artifact, its report, ensembles, and a kill that costs nothing."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from tests.conftest import REPOSITORY
from truing.cli.run import execute, prepare
from truing.core.errors import InputError
from truing.ledger.artifacts import Artifact
from truing.ledger.ledger import Ledger
from truing.loops.verbs.dataset import read_rows
from truing.loops.verbs.reward import score_rows
from truing.providers.reward import RewardModel, RewardSettings

FAST = {
    "batch_rows": 4,
    "checkpoint_every": 2,
    "epochs": 2,
    "head_scale": 1.0,
    "adapter": {"rank": 2, "upper_layers": 1},
}
DATA = {"verb": "dataset", "source": "rows.jsonl", "probes": "", "held_out": 8.0}
KILLED = """
import json, os, signal, sys
from pathlib import Path
from truing.cli.run import prepare
from truing.loops.recipe import run_recipe
from truing.loops.verbs.table import VERBS
from truing.train.records import RewardStep

for end in ((0, 3), (1, 1)):
    child = os.fork()
    if child == 0:
        recipe, context = prepare(json.loads(sys.argv[2]), "recipe", Path(sys.argv[1]))
        for record in run_recipe(recipe, VERBS, context):
            if isinstance(record, RewardStep) and (record.member, record.step) == end:
                os.kill(os.getpid(), signal.SIGKILL)
        os._exit(0)
    print(*end, os.WIFSIGNALED(os.waitpid(child, 0)[1]))
"""


@pytest.fixture(autouse=True)
def rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(
        [
            {"id": f"r{n}", "prompt": f"Q{n}?", "chosen": f"Yes, {n}{'.' * (n % 3)}", "rejected": f"No {n}!"}
            for n in range(20)
        ]
    )


def write(made: list[dict[str, Any]]) -> None:
    Path("rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in made), encoding="utf-8")


def values(model: Path, **settings: Any) -> dict[str, Any]:
    reward = {"verb": "reward", "data": "data", **FAST, **settings}
    return {"model": str(model), "seed": 5, "data": DATA, "reward": reward}


def run(ledger: str, model: Path, **settings: Any) -> Artifact:
    return execute(*prepare(values(model, **settings), "recipe", Path(ledger)), Console(), quiet=True)[
        "reward"
    ].artifact


def test_its_artifact_scores_as_its_report_says(tiny_folder: Path) -> None:
    from truing.engine.trunk import Trunk

    made = run("ledger", tiny_folder)
    ledger = Ledger.open(Path("ledger"))
    folder = ledger.folder(made)
    assert made.kind == "reward"
    assert {file.name for file in made.files} == {
        *("adapter_config.json", "adapter_model.safetensors", "truing.json", "head.safetensors", "steps.jsonl"),
        *("reward.json", "held_out.jsonl", "report.json", "report.html"),
    }
    model = RewardModel(Trunk.load(str(tiny_folder)), folder)
    held_out = read_rows(ledger.folder(ledger.get(made.parents[0].artifact)), "held_out")
    kept = [json.loads(line) for line in (folder / "held_out.jsonl").read_text().splitlines()]
    assert [pair.model_dump() for pair in score_rows(model, held_out)] == kept
    right = sum(pair["chosen"] > pair["rejected"] for pair in kept)
    assert made.metrics["accuracy"] == right / 8
    assert made.metrics["accuracy_low"] <= right / 8 <= made.metrics["accuracy_high"]
    assert made.metrics["temperature"] == RewardSettings.read(folder).temperature
    assert {"length_correlation", "length_accuracy", "held_out", "left_out", "computed"} <= set(made.metrics)
    report = json.loads((folder / "report.json").read_text())
    assert (report["pairs"], report["accuracy"]["mean"]) == (8, made.metrics["accuracy"])
    assert "<svg" in (folder / "report.html").read_text()


def test_an_ensemble_has_a_folder_a_member_and_other_scores(tiny_folder: Path) -> None:
    made = run("ledger", tiny_folder, members=2, bootstrap=True, combine="min")
    folder = Ledger.open(Path("ledger")).folder(made)
    names = {file.name for file in made.files}
    assert {
        f"member-{n}/{file}" for n in (0, 1) for file in ("head.safetensors", "truing.json", "steps.jsonl")
    } <= names
    weights = [(folder / f"member-{n}" / "adapter_model.safetensors").read_bytes() for n in (0, 1)]
    assert weights[0] != weights[1]
    assert RewardSettings.read(folder).combine == "min"


def test_killed_within_either_member_it_ends_with_the_files_of_a_run_that_was_not(
    tiny_folder: Path, tmp_path: Path
) -> None:
    whole = run("whole", tiny_folder, members=2)
    command = [
        sys.executable,
        "-W",
        "ignore",
        "-c",
        KILLED,
        str(tmp_path / "killed"),
        json.dumps(values(tiny_folder, members=2)),
    ]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=1800, check=False)
    assert done.stdout.splitlines() == ["0 3 True", "1 1 True"], done.stderr
    assert run("killed", tiny_folder, members=2).id == whole.id


def test_ties_and_both_bad_rows_are_left_out_and_counted_and_ties_count_with_a_threshold(tiny_folder: Path) -> None:
    made = [{"id": f"r{n}", "prompt": f"Q{n}?", "chosen": f"Yes {n}.", "rejected": f"No {n}!"} for n in range(12)]
    data = {**DATA, "held_out": 0.0}
    write([{**row, "tie": n == 0, "both_bad": n == 1} for n, row in enumerate(made)])
    for threshold, left_out in ((0.0, 2), (0.4, 1)):
        recipe = {**values(tiny_folder, tie_threshold=threshold), "data": data}
        done = execute(*prepare(recipe, "recipe", Path("ledger")), Console(), quiet=True)["reward"].artifact
        assert done.metrics["left_out"] == left_out
        # Nothing is held out: what is not measured is unknown.
        assert done.metrics["held_out"] == 0
        assert done.metrics["accuracy"] is done.metrics["temperature"] is None


def test_it_may_start_from_an_adapter_and_nothing_usable_is_said(tiny_folder: Path) -> None:
    recipe = {
        **values(tiny_folder),
        "sft": {"verb": "sft", "data": "data", **{k: FAST[k] for k in ("batch_rows", "adapter")}},
    }
    recipe["reward"] = {**recipe.pop("reward"), "start_from": "sft"}
    done = execute(*prepare(recipe, "recipe", Path("ledger")), Console(), quiet=True)
    assert {parent.role for parent in done["reward"].artifact.parents} == {"data", "start_from"}
    write([{"id": f"r{n}", "prompt": "?", "chosen": "a", "rejected": "b", "both_bad": True} for n in range(20)])
    with pytest.raises(InputError, match=r"\[reward\] nothing to train on"):
        run("other", tiny_folder)
