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
    assert err.splitlines()[-1].endswith(" or set them aside with --max-bad 3; they are kept whole in mixed.bad.jsonl")
    assert not (tmp_path / ".truing").exists()
    assert kept_whole(tmp_path / "mixed.bad.jsonl") == BAD


@pytest.mark.parametrize("allowed", ["3", "60%", "100%"])
def test_max_bad_imports_the_rest_and_keeps_what_was_set_aside(truing: Truing, tmp_path: Path, allowed: str) -> None:
    code, out, err = truing("data", "import", "mixed.jsonl", "--max-bad", allowed, "--name", "rest")
    assert code == 0
    assert err.count("mixed.jsonl, line") == 3
    assert out.splitlines()[0] == "set aside 3 bad rows, kept whole in mixed.bad.jsonl"
    ledger = Ledger.open(tmp_path / ".truing")
    artifact = ledger.get("rest")
    assert kept_whole(ledger.folder(artifact) / "bad.jsonl") == kept_whole(tmp_path / "mixed.bad.jsonl") == BAD
    assert (artifact.metrics["rows"], artifact.metrics["bad"]) == (2, 3)
    assert [row_id for row_id, _ in ledger.rows(artifact)] == ["a", "b"]


@pytest.mark.parametrize("allowed", ["0", "2", "59.9%"])
def test_more_bad_rows_than_allowed_are_refused(truing: Truing, allowed: str) -> None:
    code, out, err = truing("data", "import", "mixed.jsonl", "--max-bad", allowed)
    assert (code, out) == (2, "")
    assert "3 of 5 rows are bad; nothing was imported" in err
    assert truing("data", "validate", "mixed.jsonl", "--max-bad", allowed)[0] == 2
    assert truing("data", "stats", "mixed.jsonl", "--max-bad", allowed)[0] == 2
    assert truing("data", "validate", "mixed.jsonl", "--max-bad", "3")[0] == 0
    assert truing("data", "stats", "mixed.jsonl", "--max-bad", "3")[0] == 0


def test_max_bad_still_needs_one_good_row(truing: Truing) -> None:
    code, _, err = truing("data", "import", "bad.jsonl", "--max-bad", "100%")
    assert code == 2
    assert "1 of 1 row is bad; nothing was imported; no row can be used" in err


def kept_whole(path: Path) -> list[str]:
    """The bad rows as they stood in their file."""
    return [json.loads(line)["text"] for line in path.read_text(encoding="utf-8").splitlines()]


def test_import_to_a_file_makes_it_native_and_leaves_the_ledger_alone(truing: Truing, tmp_path: Path) -> None:
    rows = "question,better,worse\nWhy?,Because.,No.\nHow?,So.,\n"
    (tmp_path / "rows.csv").write_text(rows)
    columns = ("--columns", "prompt=question,chosen=better,rejected=worse")
    (tmp_path / "out").mkdir()
    code, out, _ = truing("data", "import", "rows.csv", "--to", "out/rows.jsonl", *columns, "--max-bad", "1")
    assert code == 0
    assert "wrote 1 comparison to out/rows.jsonl" in out
    assert [row.chosen for row in formats.load(tmp_path / "out" / "rows.jsonl")[0]] == ["Because."]
    assert kept_whole(tmp_path / "out" / "rows.bad.jsonl") == ["How?,So.,\n"]
    assert not (tmp_path / ".truing").exists()


def test_rows_left_over_are_listed_and_kept_but_are_not_bad(truing: Truing, tmp_path: Path) -> None:
    rows = [("q", "yes", True), ("q", "no", False), ("r", "yes", True)]
    text = "".join(json.dumps({"prompt": p, "completion": c, "label": label}) + "\n" for p, c, label in rows)
    (tmp_path / "judged.jsonl").write_text(text)
    code, out, err = truing("data", "import", "judged.jsonl", "--to", "pairs.jsonl")
    assert code == 0
    assert err == "judged.jsonl, line 3: a good completion that no bad one of the same prompt is left for\n"
    assert "left over 1 row without a counterpart, kept whole in judged.bad.jsonl" in out
    assert truing("data", "validate", "judged.jsonl")[:2] == (0, "judged.jsonl: 1 good row, 0 bad, 1 left over\n")


def test_rows_longer_than_the_models_context_are_bad(truing: Truing, tmp_path: Path, tiny_folder: Path) -> None:
    """The tiny model reads 512 bytes."""
    rows = [{"prompt": "q", "chosen": "yes", "rejected": "n" * length} for length in (300, 600)]
    (tmp_path / "long.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert truing("data", "validate", "long.jsonl")[0] == 0
    code, out, err = truing("data", "validate", "long.jsonl", "--model", str(tiny_folder))
    assert (code, out) == (2, "long.jsonl: 1 good row, 1 bad\n")
    assert "long.jsonl, line 2: prompt and answer" in err
    assert "more than the model's context of 512" in err


def test_an_import_is_a_source_like_a_file(truing: Truing, tmp_path: Path) -> None:
    truing("data", "import", "good.jsonl", "--name", "mine")
    assert truing("data", "export", "ledger:mine", "again.jsonl", "--to", "native")[0] == 0
    assert formats.load(tmp_path / "again.jsonl") == formats.load(tmp_path / "good.jsonl")
    assert truing("data", "stats", "ledger:absent")[0] == 2


def test_export_counts_what_the_form_has_no_place_for_and_refuses_what_it_would_change(
    truing: Truing, tmp_path: Path
) -> None:
    code, out, _ = truing("data", "export", "good.jsonl", "rows.parquet", "--to", "trl", "--json")
    assert code == 0
    assert json.loads(out)["not_carried"] == {"id": 2, "group": 1, "annotator": 1, "topic": 1}
    (tmp_path / "tie.jsonl").write_text(json.dumps({**GOOD[0], "tie": True}) + "\n" + json.dumps(GOOD[1]) + "\n")
    code, out, err = truing("data", "export", "tie.jsonl", "no.jsonl", "--to", "hh")
    assert (code, out) == (2, "")
    assert "tie.jsonl, row 1: a: no answer won, and this form has only winners" in err
    assert not (tmp_path / "no.jsonl").exists()
    code, out, _ = truing("data", "export", "tie.jsonl", "yes.jsonl", "--to", "hh", "--max-bad", "1")
    assert code == 0
    assert "wrote 1 comparison to yes.jsonl" in out
    assert json.loads(kept_whole(tmp_path / "tie.bad.jsonl")[0])["tie"] is True


def test_duplicates_and_leaks_are_listed(truing: Truing, tmp_path: Path) -> None:
    rows = [*GOOD, {**GOOD[0], "id": "c"}]
    (tmp_path / "twice.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    code, out, _ = truing("data", "duplicates", "twice.jsonl")
    assert code == 0
    assert out.splitlines() == [
        "exact 1.00  a, c  'Why?'",
        "twice.jsonl: 1 row more than needed, in 1 group",
    ]
    probe = {"id": "p", "group": "g", "topic": "t", "prompt": "How?"}
    (tmp_path / "probes.jsonl").write_text(json.dumps(probe) + "\n")
    code, out, _ = truing("data", "duplicates", "good.jsonl", "--against", "probes.jsonl", "--json")
    assert code == 0
    assert json.loads(out)["leaks"] == [{"held_out": "p", "training": "b", "similarity": 1.0, "text": "How?"}]
    assert (
        "1 held-out item that twice.jsonl"
        in truing("data", "duplicates", "twice.jsonl", "--against", "probes.jsonl")[1]
    )


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
    code, out, _ = truing("data", "import", "mixed.jsonl", "--max-bad", "3", "--json")
    found = json.loads(out)
    assert (code, found["rows"], found["bad"]) == (0, 2, 3)
    assert found["bad_rows"] == str(tmp_path / "mixed.bad.jsonl")
    assert Ledger.open(tmp_path / ".truing").get(found["artifact"]).kind == "import"


def test_stats_describes_the_good_and_refuses_the_bad(truing: Truing) -> None:
    code, out, _ = truing("data", "stats", "good.jsonl", "--json")
    assert code == 0
    assert (json.loads(out)["rows"], json.loads(out)["groups"]) == (2, {"(none)": 1, "x": 1})
    assert "multi turn" in truing("data", "stats", "good.jsonl")[1]
    code, _, err = truing("data", "stats", "bad.jsonl")
    assert code == 2
    assert err.startswith("truing: bad.jsonl: 1 of 1 row is bad, the first in line 1: ")


def test_what_is_not_defined_is_not_called_none(truing: Truing, tmp_path: Path) -> None:
    (tmp_path / "equal.jsonl").write_text('{"prompt": "?", "chosen": "yes", "rejected": "no"}\n')
    out = truing("data", "stats", "equal.jsonl")[1]
    assert "not defined" in out
    assert "None" not in out


def test_export_writes_the_other_format_and_native_loses_nothing(truing: Truing, tmp_path: Path) -> None:
    code, out, err = truing("data", "export", "good.jsonl", "trl.jsonl", "--to", "trl")
    assert (code, err) == (0, "")
    assert out.splitlines()[0] == "wrote 2 comparisons to trl.jsonl"
    assert formats.detect(tmp_path / "trl.jsonl") == "trl"
    assert truing("data", "export", "good.jsonl", "copy.jsonl", "--to", "native")[0] == 0
    assert formats.load(tmp_path / "copy.jsonl") == formats.load(tmp_path / "good.jsonl")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["export", "good.jsonl", "good.jsonl"], "good.jsonl exists already"),
        (["export", "good.jsonl", "x.jsonl", "--to", "csv"], "--to csv: not a known format; use one of native, trl"),
        (["stats", "mixed.jsonl"], "mixed.jsonl: 3 of 5 rows are bad, the first in line 3"),
        (["export", "good.jsonl", "x.txt"], "x.txt: the name's ending says what to write"),
        (["export", "good.jsonl", "x.csv"], "x.csv: cells hold the native form only"),
        (["import", "good.jsonl", "--to", "good.jsonl"], "good.jsonl exists already"),
        (["import", "good.jsonl", "--max-bad", "some"], "--max-bad some: write a number of rows"),
        (["import", "good.jsonl", "--max-bad", "101%"], "--max-bad 101%: write a number of rows"),
        (["validate", "good.jsonl", "--columns", "prompt"], "--columns prompt: write it as prompt=question"),
        (["validate", "hf:me"], "hf:me: write a data set of the hub as hf:OWNER/NAME"),
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
