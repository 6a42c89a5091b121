"""`truing data fetch` as it is typed. No network is reached: what is asked for is there already, or refused."""

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Truing
from truing.data.sets import SETS
from truing.evals.tasks.table import TASKS


def test_the_list_names_every_set_with_its_home_and_licence(truing: Truing) -> None:
    code, out, _ = truing("data", "fetch", "list")
    assert code == 0
    for name, one in SETS.items():
        assert name in out
        assert one.licence in out
    listed = json.loads(truing("data", "fetch", "list", "--json")[1])
    assert listed["bbq"]["home"] == f"github.com/nyu-mll/BBQ@{SETS['bbq'].revision}"
    assert len(listed["bbq"]["files"]) == 11


def test_what_is_there_already_needs_no_network(truing: Truing, shared_data: Path) -> None:
    words = ("data", "fetch", "winobias,advbench", "--data-dir", str(shared_data))
    code, out, err = truing(*words)
    assert (code, err) == (0, "")
    assert f"winobias: 6 files of {SETS['winobias'].home} (MIT) in {shared_data}" in out
    assert set(json.loads(truing(*words, "--json")[1])["sets"]) == {"winobias", "advbench"}


def test_every_task_is_fetched_or_says_why_not(truing: Truing) -> None:
    """A task's files below the data folder are what its set puts there."""
    for name, task in TASKS.items():
        if name in SETS:
            assert {str(path) for path in task.files(Path())} <= {file.name for file in SETS[name].files}
        else:
            code, _, err = truing("data", "fetch", name, "--data-dir", "sets")
            assert code == 2
            assert f"{name} has no pinned home: put DIR/" in err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["bqb", "--data-dir", "sets"], "there is no set 'bqb'; the sets are truthfulqa, "),
        (["bbq,bqb", "--data-dir", "sets"], "there is no set 'bqb'"),
        (["bbq"], "name the folder of public sets with --data-dir"),
    ],
)
def test_what_is_wrong_is_one_sentence(truing: Truing, tmp_path: Path, words: list[str], told: str) -> None:
    code, out, err = truing("data", "fetch", *words)
    assert (code, out) == (2, "")
    assert told in err
    assert list(tmp_path.iterdir()) == []
