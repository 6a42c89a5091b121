"""`truing diff` as it is typed: a chain in which one setting was changed, and the command that measures what is
missing."""

import json
import shlex
from pathlib import Path

import pytest

from tests.cli.conftest import Truing
from tests.cli.evaluations import commit, share
from tests.report.test_page import Page
from truing.ledger.ledger import Ledger

ROWS = "".join(
    json.dumps({"id": f"r{n}", "prompt": f"Tea {n}?", "chosen": "Green.", "rejected": "Black.", "topic": f"{n}"}) + "\n"
    for n in range(4)
)
RECIPE = """
[model]
name = "{model}"

[data]
verb = "dataset"
source = "rows.jsonl"
probes = ""
held_out = 0

[sft]
verb = "sft"
data = "data"
epochs = 1
adapter = {{rank = 2, upper_layers = 1}}
"""
SUITE = """
name = "tea"

[[metric]]
name = "green"
judge = "contains"
expect = "e"
whole_words = false

[[item]]
prompt = "Which tea?"

[[item]]
prompt = "Which leaf?"
"""


def test_one_changed_setting_of_a_run_is_named_alone_and_the_printed_command_measures_its_effect(
    truing: Truing, tiny_folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "rows.jsonl").write_text(ROWS)
    (tmp_path / "recipe.toml").write_text(RECIPE.format(model=tiny_folder))
    (tmp_path / "tea.toml").write_text(SUITE)
    made = []
    for rate in ("1e-3", "1"):
        code, out, err = truing("run", "recipe.toml", "--json", "--set", f"sft.optimiser.learning_rate={rate}")
        assert (code, err) == (0, "")
        made.append(json.loads(out)["steps"]["sft"]["artifact"][:12])
    one, other = made
    words = ("--model", str(tiny_folder), "--task", "tea.toml", "--set", "eval.max_new_tokens=3", "--json")
    assert truing("eval", one, *words)[0] == 0
    code, out, err = truing("diff", one, other)
    assert (code, err) == (0, "")
    assert "outcomes: not measured on common items; this does it:" in out
    (command,) = (line.strip() for line in out.splitlines() if line.startswith("  truing "))
    assert truing(*shlex.split(command)[1:], "--json")[0] == 0
    code, out, err = truing("diff", one, other, "--json", "--html", "diff.html")
    found = json.loads(out)
    assert (code, err) == (0, "")
    assert found["inputs"] == [{"where": "config.optimiser.learning_rate", "a": "0.001", "b": "1"}]
    assert [one["task"] for one in found["outcomes"]["comparisons"]] == ["tea_green"]
    assert (found["rows"], found["same_files"], found["commands"]) == ([], [], [])
    assert "config.optimiser.learning_rate" in Page((tmp_path / "diff.html").read_text(encoding="utf-8")).words


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    made = Ledger.open(tmp_path / ".truing")
    commit(made, "base", {"refusal": share(90), "over_refusal": share(5)})
    commit(made, "worse", {"refusal": share(60), "over_refusal": share(5)}, seed=1)
    return made


@pytest.mark.usefixtures("ledger")
def test_outcomes_stand_below_inputs_with_interval_verdict_and_what_moved(truing: Truing) -> None:
    code, out, err = truing("diff", "base", "worse")
    assert (code, err) == (0, "")
    places = [out.index(what) for what in ("what differs going in", "seed", "what differs coming out")]
    assert places == sorted(places)
    for expected in (
        "-30.0",
        "30 of 200 common items moved",
        "the 10 items that moved most",
        "refusal refusal 60, worse",
    ):
        assert expected in out
    assert "results that differ" not in out  # the metrics stand in the table


@pytest.mark.usefixtures("ledger")
def test_two_names_of_one_system_do_not_differ_and_that_is_no_failure(truing: Truing, ledger: Ledger) -> None:
    identity = ledger.get("base").short
    assert truing("diff", "base", identity) == (0, f"base and {identity} do not differ\n", "")
    code, out, _ = truing("diff", "base", identity, "--json")
    found = json.loads(out)
    assert (code, found["inputs"], found["rows"], found["results"], found["outcomes"]["changed"]) == (0, [], [], [], {})


def test_rows_are_shown_as_many_as_were_asked_for(truing: Truing, tmp_path: Path) -> None:
    row = {"id": "a", "prompt": "Why?", "chosen": "So.", "rejected": "No."}
    (tmp_path / "one.jsonl").write_text(json.dumps(row) + "\n")
    rows = [{**row, "chosen": "Thus."}, {**row, "id": "b", "prompt": "How?"}, {**row, "id": "c", "prompt": "Who?"}]
    (tmp_path / "two.jsonl").write_text("".join(json.dumps(each) + "\n" for each in rows))
    for name in ("one", "two"):
        assert truing("data", "import", f"{name}.jsonl", "--name", name)[0] == 0
    code, out, _ = truing("diff", "one", "two", "--rows", "1")
    assert code == 0
    assert "rows: 2 rows added: b, c; 1 row changed: a" in out
    assert "  ~ a chosen: So. → Thus." in out
    assert "  + b prompt: How?" in out
    assert "+ c" not in out


def test_a_page_that_cannot_be_written_is_one_sentence(truing: Truing, ledger: Ledger) -> None:
    assert ledger.list()
    code, out, err = truing("diff", "base", "worse", "--html", "absent/diff.html")
    assert (code, out) == (2, "")
    assert err.startswith("truing: absent/diff.html: cannot be written")
