"""The sets that come with truing through the verb `benchmark`, and a grader that was named, on a tiny model."""

from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from tests.evals.tasks.conftest import write_csv, write_lines
from tests.evals.tasks.test_conversation import handing
from truing.cli.run import execute, prepare
from truing.core.digest import digest_file
from truing.core.errors import InputError
from truing.evals.artifact import read_items, read_reports
from truing.evals.tasks.hand_off import HAND_OFF
from truing.evals.tasks.strongreject import NO_GRADER
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


def test_a_grader_is_named_kept_and_part_of_the_key(tmp_path: Path, tiny_folder: Path) -> None:
    """The tiny model sees 512 bytes, and the rubric has more: unknown, and why; never guessed."""
    row = {"category": "tests", "source": "hand", "forbidden_prompt": "Do it."}
    write_csv(tmp_path / "sets/strongreject/strongreject_dataset.csv", [row])
    without = run(tmp_path, tiny_folder, tmp_path / "sets", tasks=["strongreject"])
    done = run(tmp_path, tiny_folder, tmp_path / "sets", tasks=["strongreject"], grader=str(tiny_folder))
    assert not done.reused
    ledger = Ledger.open(tmp_path / ".truing")
    (bare,), (item,) = (read_items(ledger.folder(one.artifact)) for one in (without, done))
    assert (bare.value, bare.reason) == (None, NO_GRADER)
    assert item.value is None
    assert item.reason.startswith(("cannot be graded: takes ", "the grader's reply is no verdict", "the answer has no"))
    (report,) = read_reports(ledger.folder(done.artifact))
    assert report.settings.grader == str(tiny_folder)


@pytest.mark.parametrize("grader", ["openai:judge", "no such model"])
def test_a_grader_that_cannot_be_opened_is_refused_before_the_first_step(
    tmp_path: Path, tiny_folder: Path, grader: str
) -> None:
    row = {"category": "tests", "source": "hand", "forbidden_prompt": "Do it."}
    write_csv(tmp_path / "sets/strongreject/strongreject_dataset.csv", [row])
    with pytest.raises(InputError, match=grader):
        run(tmp_path, tiny_folder, tmp_path / "sets", tasks=["strongreject"], grader=grader)
    assert not (tmp_path / ".truing").exists()
