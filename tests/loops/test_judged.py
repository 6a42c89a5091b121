"""The verbs `judged` and `unpaired`: single judged answers in, an adapter out, and every answer by name."""

import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from truing.cli.run import execute, prepare
from truing.core.errors import InputError
from truing.ledger.artifacts import Artifact
from truing.ledger.ledger import Ledger

ROWS = [
    {"id": "up", "prompt": "Q1?", "completion": "Yes, 1.", "label": True},
    {"id": "down", "prompt": "Q1?", "completion": "No!", "label": False},
    {"prompt": "Q2?", "completion": [{"role": "assistant", "content": "Yes, 2."}], "label": True},
    {"prompt": [{"role": "user", "content": "Q3?"}], "completion": "Maybe.", "label": False},
]
STEPS: dict[str, Any] = {
    "thumbs": {"verb": "judged", "source": "thumbs.jsonl"},
    "kto": {"verb": "unpaired", "data": "thumbs", "batch_rows": 2, "adapter": {"rank": 2, "upper_layers": 1}},
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(ROWS)


def write(rows: list[dict[str, Any]], name: str = "thumbs.jsonl") -> None:
    Path(name).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def run(model: Path, steps: dict[str, Any], ledger: str = "ledger") -> dict[str, Artifact]:
    recipe, context = prepare({"model": str(model), **steps}, "recipe", Path(ledger))
    return {name: done.artifact for name, done in execute(recipe, context, Console(), quiet=True).items()}


@pytest.mark.parametrize("loss", ["kto", "bco"])
def test_judged_answers_make_an_adapter_and_lead_back_to_each_of_them(loss: str, tiny_folder: Path) -> None:
    made = run(tiny_folder, {**STEPS, "kto": {**STEPS["kto"], "loss": loss}})
    assert (made["thumbs"].metrics["good"], made["thumbs"].metrics["bad"]) == (2, 2)
    assert made["kto"].kind == "adapter"
    assert made["kto"].metrics["steps"] == 2
    kept = Ledger.open(Path("ledger")).folder(made["thumbs"]) / "judged.jsonl"
    lines = [json.loads(line) for line in kept.read_text(encoding="utf-8").splitlines()]
    assert [(line["id"], line["completion"], line["label"]) for line in lines] == [
        ("up", "Yes, 1.", True),
        ("down", "No!", False),
        ("thumbs-3", "Yes, 2.", True),
        ("thumbs-4", "Maybe.", False),
    ]


def test_a_limit_draws_by_the_seed_and_what_is_read_again_is_the_same(tiny_folder: Path) -> None:
    thumbs = {**STEPS["thumbs"], "limit": 2}
    made = run(tiny_folder, {"thumbs": thumbs})
    assert made["thumbs"].metrics["rows"] == 2
    again = run(tiny_folder, {"thumbs": thumbs}, ledger="other")
    assert again["thumbs"].id == made["thumbs"].id


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ({"prompt": "Q?", "completion": "A.", "label": "yes"}, "1 bad row, the first in line 5: 'label' must be"),
        ({"id": "up", "prompt": "Q?", "completion": "A.", "label": True}, "line 5: the id 'up' stands in line 1"),
        ({"prompt": " ", "completion": "A.", "label": True}, "line 5: 'prompt' is empty"),
    ],
)  # fmt: skip
def test_a_bad_row_is_named_and_nothing_is_made(row: dict[str, Any], sentence: str, tiny_folder: Path) -> None:
    write([*ROWS, row])
    with pytest.raises(InputError, match=sentence):
        run(tiny_folder, STEPS)
    assert Ledger.open(Path("ledger")).list() == []


def test_a_file_that_is_not_there_or_empty_is_said(tiny_folder: Path) -> None:
    with pytest.raises(InputError, match=r"\[thumbs\] source = .absent.: there is no such file"):
        run(tiny_folder, {"thumbs": {"verb": "judged", "source": "absent"}})
    write([], "empty.jsonl")
    with pytest.raises(InputError, match=r"empty\.jsonl: the file is empty"):
        run(tiny_folder, {"thumbs": {"verb": "judged", "source": "empty.jsonl"}})


def test_probes_that_are_trained_on_are_refused(tiny_folder: Path) -> None:
    write([{"id": "a", "prompt": "Far away?", "chosen": "Yes.", "rejected": "No."}], "rows.jsonl")
    probe = {"id": "p", "group": "benign_twin", "topic": "q", "prompt": "Q1?"}
    write([probe], "probes.jsonl")
    data = {"verb": "dataset", "source": "rows.jsonl", "probes": "probes.jsonl", "held_out": 0.0}
    with pytest.raises(InputError, match="not held out from training"):
        run(tiny_folder, {"data": data, "thumbs": {**STEPS["thumbs"], "probes": "data"}})
    write([{**probe, "prompt": "How are candles made?"}], "probes.jsonl")
    made = run(tiny_folder, {"data": data, "thumbs": {**STEPS["thumbs"], "probes": "data"}})
    assert made["thumbs"].kind == "judged"


def test_a_judged_file_is_no_dataset(tiny_folder: Path) -> None:
    wrong = {"verb": "preference", "data": "thumbs"}
    with pytest.raises(InputError, match="of the kind 'judged', expected the kind 'dataset'"):
        run(tiny_folder, {"thumbs": STEPS["thumbs"], "dpo": wrong})
