"""data import, validate, stats, export: good rows go through, every bad one is named, exit codes say which."""

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Truing
from truing.data import formats
from truing.ledger.ledger import Ledger

GOOD = [
    {"id": "a", "prompt": "Why?", "chosen": "Because it is so.", "rejected": "No.", "group": "x", "annotator": "ann"},
    {"id": "b", "prompt": "How?", "chosen": "Like this.", "rejected": "Somehow, I would say.", "topic": "t"},
]
BAD = [
    '{"id": "c", "prompt": "Who?", "chosen": "She."}',
    "not json",
    '{"id": "a", "prompt": "Again?", "chosen": "Yes.", "rejected": "No."}',
]


@pytest.fixture(autouse=True)
def files(tmp_path: Path) -> None:
    good = "".join(json.dumps(row) + "\n" for row in GOOD)
    (tmp_path / "good.jsonl").write_text(good, encoding="utf-8")
    (tmp_path / "mixed.jsonl").write_text(good + "".join(line + "\n" for line in BAD), encoding="utf-8")
    (tmp_path / "bad.jsonl").write_text('{"prompt": "Why?", "chosen": "So.", "rejected": "So."}\n', encoding="utf-8")


def test_validate_is_0_for_good_rows_and_2_with_every_bad_line_named(truing: Truing) -> None:
    assert truing("data", "validate", "good.jsonl") == (0, "good.jsonl: 2 good rows, 0 bad\n", "")
    code, out, err = truing("data", "validate", "mixed.jsonl")
    assert (code, out) == (2, "mixed.jsonl: 2 good rows, 3 bad\n")
    assert [line.split(":")[0] for line in err.splitlines()] == [f"mixed.jsonl, line {line}" for line in (3, 4, 5)]
    code, out, err = truing("data", "validate", "mixed.jsonl", "--json")
    assert (code, err) == (2, "")
    found = json.loads(out)
    assert (found["good"], [row["line"] for row in found["bad"]]) == (2, [3, 4, 5])


def test_import_refuses_a_file_with_bad_rows_whole(truing: Truing, tmp_path: Path) -> None:
    code, out, err = truing("data", "import", "mixed.jsonl")
    assert (code, out) == (2, "")
    assert err.splitlines()[-1].startswith("truing: mixed.jsonl: 3 of 5 rows are bad; nothing was imported;")
    assert err.splitlines()[-1].endswith(" or import the rest with --skip-bad")
    assert not (tmp_path / ".truing").exists()


def test_skip_bad_imports_the_rest_and_keeps_what_was_left_out(truing: Truing, tmp_path: Path) -> None:
    code, out, err = truing("data", "import", "mixed.jsonl", "--skip-bad", "--name", "rest")
    assert code == 0
    assert err.count("mixed.jsonl, line") == 3
    assert out.splitlines()[0].startswith("left out 3 bad rows")
    artifact = Ledger.open(tmp_path / ".truing").get("rest")
    assert [row["line"] for row in artifact.config["skipped"]] == [3, 4, 5]
    assert [row_id for row_id, _ in Ledger.open(tmp_path / ".truing").rows(artifact)] == ["a", "b"]


def test_skip_bad_still_needs_one_good_row(truing: Truing) -> None:
    code, _, err = truing("data", "import", "bad.jsonl", "--skip-bad")
    assert code == 2
    assert "1 of 1 row is bad; nothing was imported; no row can be imported" in err


def test_an_import_says_how_to_train_on_it_and_a_recipe_takes_it(truing: Truing, tmp_path: Path) -> None:
    code, out, err = truing("data", "import", "good.jsonl", "--name", "two words")
    assert (code, err) == (0, "")
    assert "imported 2 comparisons as two words" in out
    assert out.splitlines()[-1] == "next: truing train preference ledger:'two words'"
    (tmp_path / "recipe.toml").write_text('[data]\nverb = "dataset"\nimported = "ledger:two words"\nprobes = ""\n')
    code, out, err = truing("run", "recipe.toml", "--json")
    assert (code, err) == (0, "")
    assert json.loads(out)["steps"]["data"]["metrics"]["rows"] == 2
    assert "reached 2 artifacts" in truing("trace", "b")[1]


def test_import_as_json_names_the_artifact(truing: Truing, tmp_path: Path) -> None:
    code, out, _ = truing("data", "import", "mixed.jsonl", "--skip-bad", "--json")
    found = json.loads(out)
    assert (code, found["rows"], len(found["skipped"])) == (0, 2, 3)
    assert Ledger.open(tmp_path / ".truing").get(found["artifact"]).kind == "import"


def test_stats_describes_the_good_and_refuses_the_bad(truing: Truing) -> None:
    code, out, _ = truing("data", "stats", "good.jsonl", "--json")
    assert code == 0
    assert (json.loads(out)["rows"], json.loads(out)["groups"]) == (2, {"(none)": 1, "x": 1})
    assert "multi turn" in truing("data", "stats", "good.jsonl")[1]
    code, _, err = truing("data", "stats", "bad.jsonl")
    assert code == 2
    assert err.startswith("truing: bad.jsonl: 1 bad row, the first in line 1: ")


def test_what_is_not_defined_is_not_called_none(truing: Truing, tmp_path: Path) -> None:
    (tmp_path / "equal.jsonl").write_text('{"prompt": "?", "chosen": "yes", "rejected": "no"}\n')
    out = truing("data", "stats", "equal.jsonl")[1]
    assert "not defined" in out
    assert "None" not in out


def test_export_writes_the_other_format_and_native_loses_nothing(truing: Truing, tmp_path: Path) -> None:
    code, out, err = truing("data", "export", "good.jsonl", "trl.jsonl", "--to", "trl")
    assert (code, out, err) == (0, "wrote 2 comparisons to trl.jsonl\n", "")
    assert formats.detect(tmp_path / "trl.jsonl") == "trl"
    assert truing("data", "export", "good.jsonl", "copy.jsonl", "--to", "native")[0] == 0
    assert formats.load(tmp_path / "copy.jsonl") == formats.load(tmp_path / "good.jsonl")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["export", "good.jsonl", "good.jsonl"], "good.jsonl exists already"),
        (["export", "good.jsonl", "x.jsonl", "--to", "csv"], "--to csv: not a known format; use one of native, trl"),
        (["export", "mixed.jsonl", "x.jsonl"], "mixed.jsonl: 3 bad rows, the first in line 3"),
        (["validate", "good.jsonl", "--format", "csv"], "the format 'csv' is not known; use one of native, trl"),
        (["validate", "absent.jsonl"], "absent.jsonl: cannot be read"),
        (["import", "absent.jsonl"], "absent.jsonl: cannot be read"),
        (["stats", "absent.jsonl"], "absent.jsonl: cannot be read"),
    ],
)
def test_a_wrong_input_is_one_sentence_and_changes_nothing(
    truing: Truing, tmp_path: Path, words: list[str], message: str
) -> None:
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    code, out, err = truing("data", *words)
    assert (code, out) == (2, "")
    assert err.splitlines()[-1].startswith(f"truing: {message}")
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
