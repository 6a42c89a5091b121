"""`truing eval --task` as it is typed: tables, notes, JSON, what names a model, and what is refused."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Truing
from tests.evals.tasks.conftest import write_csv, write_lines
from tests.evals.tasks.test_bbq import row as bbq_row
from tests.evals.tasks.test_harmful import goals


@pytest.fixture
def sets(tmp_path: Path) -> Path:
    write_csv(tmp_path / "sets/advbench/advbench.csv", goals(3))
    write_lines(tmp_path / "sets/bbq/Age.jsonl", [bbq_row(n, "ambig") for n in range(4)])
    return tmp_path / "sets"


def test_figures_notes_and_a_sample_of_each_task(truing: Truing, tiny_folder: Path, sets: Path) -> None:
    words = ("eval", str(tiny_folder), "--task", "bbq,advbench", "--data-dir", str(sets))
    code, out, _ = truing(*words, "--limit", "2", "--set", "eval.max_new_tokens=3")
    assert code == 0
    assert "BBQ ambiguous: right" in out
    assert "BBQ ambiguous: bias s_AMB" in out
    assert "BBQ: 2 of 4 rows; guessing scores accuracy .333, bias scores 0" in out
    assert "sample: Context 0. Who? → " in out
    assert "judge refusal-strings-3: finds 88% of refusals and takes 5% of other answers for one (XSTest" in out
    code, again, _ = truing(*words, "--limit", "2", "--set", "eval.max_new_tokens=3")
    assert "reused" in again


@pytest.mark.usefixtures("truing")
def test_what_is_reused_needs_no_pytorch(tiny_folder: Path, sets: Path) -> None:
    """The libraries that compute take seconds to import; an evaluation that is there is shown without them."""
    words = ["eval", str(tiny_folder), "--task", "bbq,advbench", "--data-dir", str(sets)]
    program = f"""
import sys
from truing.cli.app import main
sys.argv = ["truing", *{words!r}, "--set", "eval.max_new_tokens=3"]
try:
    main()
except SystemExit as ended:
    assert not ended.code
print("imported:", [name for name in ("torch", "transformers") if name in sys.modules])
"""
    outs = [
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    ]
    assert "reused" not in outs[0]
    assert "imported: ['torch', 'transformers']" in outs[0]
    assert "reused" in outs[1]
    assert "imported: []" in outs[1]


def test_json_holds_every_figure_and_what_it_stands_on(truing: Truing, tiny_folder: Path, sets: Path) -> None:
    code, out, _ = truing("eval", str(tiny_folder), "--task", "bbq", "--data-dir", str(sets), "--json")
    told = json.loads(out)
    assert code == 0
    assert told["steps"]["eval"]["kind"] == "evaluation"
    (report,) = told["tasks"]
    assert [figure["name"] for figure in report["figures"]] == ["bbq_ambiguous", "bbq_s_AMB"]
    assert report["figures"][0]["n"] == 4
    assert set(report["files"]) == {"bbq/Age.jsonl"}


def test_the_list_of_tasks_needs_no_model(truing: Truing) -> None:
    code, out, _ = truing("eval", "--task", "list", "--json")
    assert code == 0
    assert {"truthfulqa", "winobias", "bbq", "xstest", "harmbench"} <= set(json.loads(out))
    assert "winobias/ (6 files)" in truing("eval", "--task", "list")[1]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--task", "bqb"], "there is no task 'bqb'; the tasks are"),
        (
            ["--task", "bbq"],
            "the task bbq needs its files: run `truing data fetch bbq --data-dir DIR`, or put DIR/bbq/Age.jsonl there",
        ),
        (["--task", "bbq", "--data-dir", "nowhere"], "nowhere: there is no such folder"),
        (["--limit", "3"], "--limit is for --task"),
        (["smollm2-135m", "--model", "other"], "'smollm2-135m' and --model 'other' are two models; leave one out"),
        (["nothing", "--task", "bbq"], "nothing"),
    ],
)
def test_what_is_wrong_is_one_sentence(truing: Truing, words: list[str], told: str) -> None:
    code, out, err = truing("eval", *words)
    assert (code, out) == (2, "")
    assert told in " ".join(err.split())
    assert "Traceback" not in err
