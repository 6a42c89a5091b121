"""run, --dry-run, --set: a recipe is checked whole before anything happens, and the ledger is what it was before."""

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Truing
from truing.cli.ls import KINDS
from truing.ledger.ledger import Ledger
from truing.loops.validation import KIND as VALIDATION
from truing.loops.verbs.dataset import IMPORT
from truing.loops.verbs.table import VERBS

RECIPE = """
model = "smollm2-135m"

[data]
verb = "dataset"
source = "rows.jsonl"
probes = ""

[sft]
verb = "sft"
data = "data"

[dpo]
verb = "preference"
data = "data"
start_from = "sft"
"""


@pytest.fixture(autouse=True)
def files(tmp_path: Path) -> None:
    (tmp_path / "recipe.toml").write_text(RECIPE)
    (tmp_path / "rows.jsonl").write_text('{"id": "r", "prompt": "?", "chosen": "yes", "rejected": "no"}\n')
    (tmp_path / "data.toml").write_text(RECIPE.split("[sft]")[0])


def test_a_dry_run_lists_the_steps_one_a_line_and_makes_nothing(truing: Truing, tmp_path: Path) -> None:
    long = f"sft.adapter.alpha={'1' * 150}.5"
    code, out, err = truing("run", "recipe.toml", "--dry-run", "--set", long)
    assert (code, err) == (0, "")
    assert [line.split()[:2] for line in out.splitlines()] == [
        ["data", "dataset"],
        ["sft", "sft"],
        ["dpo", "preference"],
    ]
    code, out, err = truing("run", "recipe.toml", "--dry-run", "--json")
    steps = json.loads(out)["steps"]
    assert (code, err) == (0, "")
    assert steps[2] == {
        "name": "dpo",
        "verb": "preference",
        "roles": {"data": "data", "start_from": "sft"},
        "settings": {},
    }
    assert truing("demo", "--dry-run")[0] == 0
    assert not (tmp_path / ".truing").exists()


@pytest.mark.parametrize("dry", [["--dry-run"], []])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("dpo.betta=0.2", "[dpo]: unknown key 'betta'; did you mean 'beta'?"),
        ("dpo.adapter.rnak=2", "[dpo]: unknown key 'adapter.rnak'; did you mean 'rank'?"),
        ("dpo.beta=-1", "[dpo]: 'beta' is -1"),
        ("dpo.beta=much", "[dpo]: 'beta' is 'much'"),
        ("dpo.flip_rate=0.1", "[dpo]: flip_rate belongs to the losses cdpo and robust_dpo"),
        ("dpo.start_from=data", "[dpo] start_from = 'data' is of the kind 'dataset', expected the kind 'adapter'"),
        ("dpo.start_from=ledger:x", "[dpo] start_from = 'ledger:x': .truing: there is no ledger here"),
        ("data.source=absent.jsonl", '[data] source = "absent.jsonl": there is no such file'),
        ("data.probes=absent.jsonl", '[data] probes = "absent.jsonl": there is no such file'),
        ("modle=x", "unknown key 'modle'; did you mean 'model'?"),
        ("sfd.epochs=2", "[sfd] needs verb = one of"),
    ],
)
def test_a_wrong_setting_is_one_sentence_and_no_ledger_is_made(
    truing: Truing, tmp_path: Path, change: str, message: str, dry: list[str]
) -> None:
    code, out, err = truing("run", "recipe.toml", *dry, "--set", change)
    assert (code, out) == (2, "")
    assert err.startswith(f"truing: recipe.toml: {message}")
    assert err.count("\n") == 1
    assert not (tmp_path / ".truing").exists()


@pytest.mark.parametrize("change", ["epochs", "=2", "a..b=2"])
def test_a_set_without_key_and_value_is_refused(truing: Truing, change: str) -> None:
    code, _, err = truing("run", "recipe.toml", "--dry-run", "--set", change)
    assert code == 2
    assert err.startswith(f"truing: --set {change}: write it as KEY=VALUE")


def test_missing_recipe_and_benchmarks_are_named(truing: Truing) -> None:
    assert truing("run", "absent.toml") == (2, "", "truing: absent.toml: there is no such file\n")
    code, _, err = truing("run", "recipe.toml", "--dry-run", "--benchmarks", "absent")
    assert (code, err) == (2, "truing: --benchmarks absent: there is no such folder\n")


def test_a_second_run_reuses_and_json_says_so_with_seconds_and_memory(truing: Truing) -> None:
    code, out, err = truing("run", "data.toml", "--json")
    first = json.loads(out)
    assert (code, err, first["steps"]["data"]["reused"]) == (0, "", False)
    second = json.loads(truing("run", "data.toml", "--json")[1])
    assert second["steps"]["data"]["reused"]
    assert second["steps"]["data"]["artifact"] == first["steps"]["data"]["artifact"]
    assert second["steps"]["data"]["seconds"] >= 0
    assert 10 < first["peak_memory_mb"] < 100_000


def test_a_run_off_a_terminal_says_when_a_step_begins_and_ends(truing: Truing) -> None:
    lines = truing("run", "data.toml")[1].splitlines()
    assert [line.split()[:2] for line in lines] == [["data", "dataset"], ["data", "dataset"]]
    assert lines[0].endswith(" begins")
    assert lines[1].endswith(" s")
    (line,) = truing("run", "data.toml")[1].splitlines()
    assert line.endswith(" reused")


def test_ls_knows_every_kind_and_refuses_another_by_naming_them(truing: Truing) -> None:
    assert set(KINDS) == {verb.kind for verb in VERBS.values()} | {IMPORT, VALIDATION}
    truing("run", "data.toml")
    code, out, err = truing("ls", "--kind", "nonsense")
    assert (code, out) == (2, "")
    assert err == f"truing: --kind nonsense: there is no such kind; the kinds are {', '.join(KINDS)}\n"
    assert truing("ls", "--kind", "adapter", "--json") == (0, "[]\n", "")


def test_ls_shows_ids_whole_at_80_columns(truing: Truing, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    truing("run", "data.toml")
    monkeypatch.setenv("COLUMNS", "80")
    (artifact,) = Ledger.open(tmp_path / ".truing").list()
    assert artifact.short in truing("ls")[1]


def test_one_thing_is_not_called_many(truing: Truing) -> None:
    truing("run", "data.toml")
    assert truing("verify")[1] == "1 artifact checked, all well\n"
    assert "reached 1 artifact:" in truing("trace", "r")[1]
    assert truing("data", "validate", "rows.jsonl")[1] == "rows.jsonl: 1 good row, 0 bad\n"
