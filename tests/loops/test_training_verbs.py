"""The verbs `sft` and `preference` on a tiny model on disk: what they learn, and that a kill costs nothing but time."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from tests.conftest import REPOSITORY
from truing.cli.progress import Display, follow
from truing.cli.run import execute, prepare
from truing.core.errors import InputError
from truing.ledger.artifacts import Artifact
from truing.ledger.ledger import Ledger
from truing.loops.verbs import training
from truing.train.records import TrainStep

FAST = {"batch_rows": 2, "checkpoint_every": 2, "adapter": {"rank": 2, "upper_layers": 1}}
STEPS: dict[str, Any] = {
    "data": {"verb": "dataset", "source": "rows.jsonl", "probes": "", "held_out": 0.0},
    "sft": {"verb": "sft", "data": "data", "epochs": 2, **FAST},
    "dpo": {"verb": "preference", "data": "data", "start_from": "sft", "epochs": 2, **FAST},
}
# Runs the recipe in processes that kill themselves, as no handler can prevent, once a step has come so far. They are
# forked after the imports, which take longest.
KILLED = """
import os, signal, sys
from pathlib import Path
from peft import LoraConfig
from transformers import AutoTokenizer, LlamaForCausalLM
from truing.cli.run import prepare
from truing.core.config import read_toml
from truing.loops.events import StepStarted
from truing.loops.recipe import run_recipe
from truing.loops.verbs.table import VERBS
from truing.train.records import TrainStep

for end in (("sft", 3), ("dpo", 5)):
    child = os.fork()
    if child == 0:
        recipe, context = prepare(read_toml(Path("recipe.toml")), "recipe", Path(sys.argv[1]))
        for record in run_recipe(recipe, VERBS, context):
            if isinstance(record, StepStarted):
                running = record.step
            if isinstance(record, TrainStep) and (running, record.step) == end:
                os.kill(os.getpid(), signal.SIGKILL)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    (curve,) = Path(sys.argv[1], "work").glob("*/steps.jsonl")
    curve.write_bytes(curve.read_bytes()[:-9])  # as if the kill had come while the last line was written
    print(*end, os.WIFSIGNALED(status), len(list(Path(sys.argv[1], "work").glob("*/checkpoint.safetensors"))))
"""


@pytest.fixture
def folder(tmp_path: Path, tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with rows and a recipe; `tiny` is the model."""
    monkeypatch.chdir(tmp_path)
    rows = [{"id": f"r{n}", "prompt": f"Q{n}?", "chosen": f"Yes, {n}.", "rejected": f"No {n}!"} for n in range(6)]
    write_rows(rows)
    tables = [f"model = {json.dumps(str(tiny_folder))}\nseed = 5\n"]
    for name, table in STEPS.items():
        lines = [f"{key} = {_toml(value)}" for key, value in table.items()]
        tables.append("\n".join([f"[{name}]", *lines, ""]))
    Path("recipe.toml").write_text("\n".join(tables), encoding="utf-8")
    return tmp_path


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {_toml(inner)}" for key, inner in value.items()) + "}"
    return json.dumps(value)


def write_rows(rows: list[dict[str, Any]]) -> None:
    Path("rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def run(ledger: str, model: Path, *steps: str) -> dict[str, Artifact]:
    values = {"model": str(model), "seed": 5, **{name: STEPS[name] for name in steps or STEPS}}
    recipe, context = prepare(values, "recipe", Path(ledger))
    return {name: done.artifact for name, done in execute(recipe, context, Console(), quiet=True).items()}


def test_a_run_killed_in_each_step_ends_with_the_adapters_of_an_uninterrupted_one(
    folder: Path, tiny_folder: Path
) -> None:
    """Every kill is one that no handler sees; six optimiser steps each, with a checkpoint after every second one."""
    whole = run("whole", tiny_folder)
    command = [sys.executable, "-c", KILLED, str(folder / "killed")]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=200, check=True)
    assert done.stdout.splitlines() == ["sft 3 True 1", "dpo 5 True 1"], done.stderr
    resumed = run("killed", tiny_folder)
    # An artifact's id is the hash of all its files: weights, settings and curve are the same bytes.
    assert {name: artifact.id for name, artifact in resumed.items()} == {n: a.id for n, a in whole.items()}
    for step in ("sft", "dpo"):
        curve = Ledger.open(Path("killed")).folder(resumed[step]) / "steps.jsonl"
        assert [json.loads(line)["step"] for line in curve.read_text().splitlines()] == [1, 2, 3, 4, 5, 6]
        assert resumed[step].metrics["steps"] == 6
    assert list((folder / "killed" / "work").iterdir()) == []


@pytest.mark.usefixtures("folder")
def test_another_seed_gives_another_adapter(tiny_folder: Path) -> None:
    first = run("ledger", tiny_folder, "data", "sft")
    values = {"model": str(tiny_folder), "seed": 6, "data": STEPS["data"], "sft": STEPS["sft"]}
    other = execute(*prepare(values, "recipe", Path("ledger")), Console(), quiet=True)["sft"].artifact
    weights = [{file.name: file.sha256 for file in made.files} for made in (first["sft"], other)]
    assert weights[0]["adapter_model.safetensors"] != weights[1]["adapter_model.safetensors"]
    assert weights[0]["adapter_config.json"] == weights[1]["adapter_config.json"]


def test_a_line_cut_short_by_a_kill_costs_no_other_line(tmp_path: Path) -> None:
    written = [json.dumps({"step": number, "loss": number / 2, "tokens_per_second": None}) for number in (1, 2, 3)]
    (tmp_path / "written").write_text("\n".join(["", *written, '{"step": 4, "lo', "", written[2], ""]))
    assert training.write_curve(tmp_path / "written", tmp_path / "curve") == json.loads(written[2])
    assert (tmp_path / "curve").read_text().splitlines() == written


ROWS = [
    {"id": "plain", "prompt": "A?", "chosen": "good", "rejected": "bad"},
    {"id": "rewritten", "prompt": "B?", "chosen": "fair", "rejected": "bad", "rewrite": "best"},
    {"id": "both-bad", "prompt": "C?", "chosen": "poor", "rejected": "worse", "both_bad": True},
    {"id": "mended", "prompt": "D?", "chosen": "poor", "rejected": "worse", "both_bad": True, "rewrite": "mended"},
    {"id": "tie", "prompt": "E?", "chosen": "fine", "rejected": "fine, too", "tie": True},
]


@pytest.fixture
def learnt(monkeypatch: pytest.MonkeyPatch, tiny_folder: Path) -> list[Any]:
    """What the trainers are given, as text; they train as ever."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_folder)
    seen: list[Any] = []

    def text(sequence: Any) -> str:
        return tokenizer.decode(sequence.ids[sequence.scored_from :]).removesuffix("<|im_end|>")

    def sft(trunk: Any, rows: Any, config: Any, **options: Any) -> Iterator[Any]:
        seen.extend(text(row) for row in rows)
        return trained_sft(trunk, rows, config, **options)

    def preference(trunk: Any, pairs: Any, config: Any, **options: Any) -> Iterator[Any]:
        seen.extend((text(chosen), text(rejected)) for chosen, rejected in pairs)
        return trained_preference(trunk, pairs, config, **options)

    trained_sft, trained_preference = training.sft.train_sft, training.preference.train_preference
    monkeypatch.setattr(training.sft, "train_sft", sft)
    monkeypatch.setattr(training.preference, "train_preference", preference)
    return seen


@pytest.mark.usefixtures("folder")
def test_sft_learns_the_rewrite_or_else_the_better_answer_and_counts_what_it_leaves_out(
    tiny_folder: Path, learnt: list[Any]
) -> None:
    write_rows(ROWS)
    made = run("ledger", tiny_folder, "data", "sft")
    assert learnt == ["good", "best", "mended", "fine"]
    assert made["sft"].metrics["left_out"] == 1


@pytest.mark.usefixtures("folder")
def test_preference_leaves_out_ties_and_both_bad_and_the_line_of_the_step_says_so(
    tiny_folder: Path, learnt: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    write_rows(ROWS)
    values = {"model": str(tiny_folder), "data": STEPS["data"], "dpo": {**STEPS["dpo"]}}
    del values["dpo"]["start_from"]
    done = execute(*prepare(values, "recipe", Path("ledger")), Console(), quiet=False)
    assert learnt == [("good", "bad"), ("fair", "bad")]
    assert done["dpo"].artifact.metrics["left_out"] == 3
    lines = [line for line in capsys.readouterr().out.splitlines() if "left out" in line]
    assert len(lines) == 1
    assert lines[0].startswith("dpo ")
    assert lines[0].endswith(", 3 rows left out")


@pytest.mark.usefixtures("folder")
def test_nothing_to_train_on_is_said_and_makes_no_adapter(tiny_folder: Path) -> None:
    write_rows([ROWS[2]])
    with pytest.raises(InputError, match=r"\[sft\] nothing to train on: 1 training rows, and none"):
        run("ledger", tiny_folder, "data", "sft")
    assert [artifact.kind for artifact in Ledger.open(Path("ledger")).list()] == ["dataset"]


@pytest.mark.usefixtures("folder")
def test_a_row_that_does_not_fit_the_model_is_named(tiny_folder: Path) -> None:
    write_rows([{**ROWS[0], "chosen": "too long " * 100}])
    with pytest.raises(InputError, match=r"row plain: .* more than the model's context of 512"):
        run("ledger", tiny_folder, "data", "sft")


@pytest.mark.usefixtures("folder")
def test_the_trainers_records_pass_through_the_verb(tiny_folder: Path) -> None:
    from truing.loops.recipe import run_recipe
    from truing.loops.verbs.table import VERBS

    values = {"model": str(tiny_folder), "data": STEPS["data"], "sft": STEPS["sft"]}
    recipe, context = prepare(values, "recipe", Path("ledger"))
    records = list(run_recipe(recipe, VERBS, context))
    assert [record.step for record in records if isinstance(record, TrainStep)] == [1, 2, 3, 4, 5, 6]
    assert context.trunk.peft is None  # the trunk is bare again
    with Display(Console(quiet=True)) as display:
        assert set(follow(iter(records), display)) == {"data", "sft"}
