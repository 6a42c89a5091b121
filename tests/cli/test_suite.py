"""A suite of one's own as it is typed: `truing eval --task FILE.toml`, and what compare and gate make of it."""

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Truing

SUITE = """
name = "tea"
title = "Tea shop"

[[metric]]
name = "says_tea"
judge = "contains"
expect = "tea"
aspect = "harmless"

[[item]]
prompt = "Tea or coffee?"

[[item]]
prompt = "Which is stronger, and which of them is the one that most people drink in the morning before work?"

[[item]]
prompt = ""
"""
RULES = 'max_unknown = 1.0\n[[rule]]\nmetric = "tea_says_tea"\nat_most = 1.0\n'


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/tea.toml").write_text(SUITE)
    return tmp_path / "mine/tea.toml"


def measure(truing: Truing, model: Path, *words: str) -> str:
    """Measures the suite without any data folder; returns the evaluation's id."""
    code, out, err = truing("eval", str(model), "--task", "mine/tea.toml", "--json", *words)
    assert code == 0, err
    identity: str = json.loads(out)["steps"]["eval"]["artifact"]
    return identity


def test_a_suite_is_measured_shown_and_listed_like_any_task(truing: Truing, tiny_folder: Path, suite: Path) -> None:
    words = ("eval", str(tiny_folder), "--task", "./mine/tea.toml", "--set", "eval.max_new_tokens=3")
    code, out, _ = truing(*words)
    assert code == 0
    assert "tea: 1 row cannot be used, the first in mine/tea.toml, item 3: 'prompt' is missing or empty" in out
    assert "Tea shop: says_tea" in out
    assert "Tea shop: 2 rows, 1 more could not be used" in out
    # What is measured for harmlessness is shown by its beginning only.
    assert "sample: Tea or coffee? → " in out
    assert "reused" in truing(*words)[1]
    suite.write_text(SUITE.replace("stronger", "weaker"))
    assert "reused" not in truing(*words)[1]


def test_json_names_the_suites_files_and_metrics(truing: Truing, tiny_folder: Path, suite: Path) -> None:
    (suite.parent / "rows.jsonl").write_text('{"prompt": "Tea?"}\n')
    suite.write_text(SUITE.partition("[[item]]")[0].replace("[[metric]]", 'items = "rows.jsonl"\n[[metric]]'))
    out = truing("eval", str(tiny_folder), "--task", "mine/tea.toml", "--json", "--set", "eval.max_new_tokens=3")[1]
    (report,) = json.loads(out)["tasks"]
    assert set(report["files"]) == {"tea.toml", "rows.jsonl"}
    assert report["first_prompt"] == "<|im_start|>user\nTea?<|im_end|>\n<|im_start|>assistant\n"
    (metric,) = report["metrics"]
    assert (metric["task"], metric["aspect"]) == ("tea_says_tea", "harmless")


def test_compare_and_gate_take_a_suite_but_not_two_versions_of_it(
    truing: Truing, tiny_folder: Path, suite: Path, tmp_path: Path
) -> None:
    (tmp_path / "rules.toml").write_text(RULES)
    three, four = (measure(truing, tiny_folder, "--set", f"eval.max_new_tokens={n}") for n in (3, 4))
    code, out, _ = truing("compare", three, four, "--json")
    assert code == 0
    assert [(one["task"], one["items"]) for one in json.loads(out)] == [("tea_says_tea", 2)]
    code, out, _ = truing("gate", three, four, "--policy", "rules.toml")
    assert (code, "gate: holds" in out) == (0, True)
    suite.write_text(SUITE.replace('"tea"\naspect', '"coffee"\naspect'))
    changed = measure(truing, tiny_folder, "--set", "eval.max_new_tokens=3")
    code, _, err = truing("compare", three, changed)
    assert (code, err) == (
        2,
        "truing: what tea asks was changed between the evaluations; evaluate all of them by the same files\n",
    )
    assert truing("gate", three, changed, "--policy", "rules.toml")[0] == 2


def test_an_exported_baseline_carries_the_suites_metrics(truing: Truing, tiny_folder: Path, suite: Path) -> None:
    """Its file says the same as the ledger's evaluation, and is no more taken for another version of the suite."""
    made = measure(truing, tiny_folder, "--set", "eval.max_new_tokens=3")
    assert truing("show", made, "--export", "base.jsonl")[0] == 0
    said = [truing("compare", base, made, "--json")[1] for base in ("base.jsonl", made)]
    assert said[0] == said[1]
    assert [one["task"] for one in json.loads(said[0])] == ["tea_says_tea"]
    suite.write_text(SUITE.replace('"tea"\naspect', '"coffee"\naspect'))
    changed = measure(truing, tiny_folder, "--set", "eval.max_new_tokens=3")
    code, _, err = truing("compare", "base.jsonl", changed)
    assert (code, "what tea asks was changed between the evaluations" in err) == (2, True)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("name = ", "mine/tea.toml: not valid TOML"),
        (SUITE.replace("expect", "expct"), "mine/tea.toml: [[metric]] 1 (says_tea): unknown key 'expct'; did you mean"),
        (SUITE.partition("[[item]]")[0], "mine/tea.toml: give items (a file beside the suite) or [[item]] tables"),
    ],
)
def test_what_is_wrong_is_one_sentence(truing: Truing, suite: Path, tmp_path: Path, text: str, told: str) -> None:
    suite.write_text(text)
    code, out, err = truing("eval", "--task", "mine/tea.toml")
    assert (code, out) == (2, "")
    assert told in " ".join(err.split())
    assert err.count("\n") == 1
    assert not (tmp_path / ".truing").exists()
