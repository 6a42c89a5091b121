"""The sets that come with truing through the verb `benchmark`, on a tiny model."""

from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from tests.evals.tasks.conftest import write_lines
from tests.evals.tasks.test_conversation import handing
from truing.cli.run import execute, prepare
from truing.core.digest import digest_file
from truing.evals.artifact import read_items, read_reports
from truing.evals.tasks.hand_off import HAND_OFF
from truing.ledger.ledger import Ledger


def run(folder: Path, model: Path, sets: Path | None, **settings: Any) -> Any:
    step = {"verb": "benchmark", "max_new_tokens": 3, **settings}
    recipe, context = prepare({"model": str(model), "eval": step}, "recipe", folder / ".truing", sets)
    return execute(recipe, context, Console(), quiet=False)["eval"]


def test_a_set_that_comes_with_truing_needs_no_folder_and_says_so(
    tmp_path: Path, tiny_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done = run(tmp_path, tiny_folder, None, tasks=["hand_off"], limit=2)
    (report,) = read_reports(Ledger.open(tmp_path / ".truing").folder(done.artifact))
    assert HAND_OFF.carried is not None
    assert report.files == {"conversation/hand_off.jsonl": digest_file(HAND_OFF.files(HAND_OFF.carried)[0])}
    assert (report.rows, report.measured) == (36, 2)
    assert report.first_prompt.startswith("<|im_start|>system\nYou are the assistant of a bicycle shop.")
    told = " ".join(capsys.readouterr().out.split())
    assert "hand_off: the set that comes with truing is measured (your own would be DIR/conversation/" in told


def test_your_own_set_is_another_evaluation(
    tmp_path: Path, tiny_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_lines(tmp_path / "sets/conversation/hand_off.jsonl", [handing("own")])
    done = run(tmp_path, tiny_folder, tmp_path / "sets", tasks=["hand_off"])
    items = read_items(Ledger.open(tmp_path / ".truing").folder(done.artifact))
    assert {item.item for item in items} == {"own"}
    assert "comes with truing" not in " ".join(capsys.readouterr().out.split())
    assert not run(tmp_path, tiny_folder, None, tasks=["hand_off"], limit=1).reused
