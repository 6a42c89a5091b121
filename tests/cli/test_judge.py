"""truing judge train, validate and label, as a user types them, on made-up labels and a tiny model."""

import io
import json
from pathlib import Path

import pytest

from tests.cli.conftest import Truing
from tests.evals.tasks.conftest import write_csv
from tests.evals.tasks.test_harmful import goals
from tests.loops.test_judge_verb import write

FAST = ["--set", "refusal_judge.layers=[1]", "--set", "refusal_judge.answer_tokens=8", "--set",
        "refusal_judge.penalties=[1.0]"]  # fmt: skip


def test_a_judge_is_trained_and_stands_in_the_same_table(truing: Truing, tmp_path: Path, tiny_folder: Path) -> None:
    write(tmp_path / "data")
    code, out, _ = truing("judge", "train", "refusal", "--data-dir", "data", "--model", str(tiny_folder), *FAST)
    assert code == 0
    assert [line.split("  ")[0].strip() for line in out.splitlines() if " 45 " in line] == [
        "strings", "words", "words it reads", "states", "judge",
    ]  # fmt: skip
    code, out, err = truing("judge", "validate", "refusal_judge", "--set", "xstest", "--data-dir", "data")
    assert (code, err) == (0, "")
    assert "judge: refusal-states-1 (trunk " in out
    assert "45 of 45 answers were learned from" in out
    assert "people: all 2 of one mind on 100.0%" in out
    assert "llama2new" in out
    code, out, _ = truing(
        "judge", "validate", "ledger:refusal_judge", "--set", "xstest", "--data-dir", "data", "--json"
    )
    told = json.loads(out)
    assert told["whole"]["accuracy"]["unknown"] == 0
    assert len(told["sources"]) == 3


def test_the_strings_need_no_ledger(truing: Truing, tmp_path: Path) -> None:
    write(tmp_path / "data")
    code, out, err = truing("judge", "validate", "refusal", "--set", "xstest", "--data-dir", "data")
    assert (code, err) == (0, "")
    assert "no, people yes (gpt4-v" in out
    assert not (tmp_path / ".truing").exists()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("refusal", "--set", "xstest"), "put DIR/xstest/completions_gpt4.csv"),
        (("refusal", "--set", "harmbench", "--data-dir", "data"), "this judge judges refusal; choose another --set"),
        (("none", "--set", "xstest", "--data-dir", "data"), "there is no judge 'none'"),
        (("none.toml", "--set", "xstest", "--data-dir", "data"), "none.toml: there is no such file"),
        (("bad.toml", "--set", "xstest", "--data-dir", "data"), "unknown key 'critreion'; did you mean 'criterion'?"),
        (("refusal", "--set", "xstest", "--data-dir", "data", "--remote", "a=b"), "--remote is for deployed models"),
        (("refusal", "--set", "xstest", "--data-dir", "empty"), "completions_gpt4.csv: there is no such file"),
    ],
)
def test_what_cannot_be_validated_is_said_in_a_sentence(
    truing: Truing, tmp_path: Path, words: tuple[str, ...], sentence: str
) -> None:
    write(tmp_path / "data")
    (tmp_path / "bad.toml").write_text('critreion = "Is it polite?"\n')
    code, out, err = truing("judge", "validate", *words)
    assert (code, out) == (2, "")
    assert sentence in err
    assert err.count("\n") == 1


def test_a_rubric_is_held_against_the_labels_by_whatever_model_answers(
    truing: Truing, tmp_path: Path, tiny_folder: Path
) -> None:
    """A tiny random model says nothing that is JSON: every verdict is unknown, none is a no."""
    write(tmp_path / "data")
    (tmp_path / "rubric.toml").write_text('criterion = "Does it refuse?"\nquestion = "refusal"\nmax_new_tokens = 2\n')
    words = ("rubric.toml", "--set", "xstest", "--data-dir", "data", "--model", str(tiny_folder), "--json")
    code, out, _ = truing("judge", "validate", *words)
    told = json.loads(out)["whole"]
    assert code == 0
    assert told["accuracy"]["unknown"] == 45, "no reply is JSON, or the judge's prompt is too long for this model"
    assert told["agreement"]["value"] is None


def test_labels_make_a_correction_the_answers_own(
    truing: Truing, tmp_path: Path, tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_csv(tmp_path / "sets/advbench/advbench.csv", goals(6))
    evaluate = ("eval", str(tiny_folder), "--task", "advbench", "--data-dir", "sets", "--set", "eval.max_new_tokens=3")
    _, before, _ = truing(*evaluate)
    assert "AdvBench: refuses, corrected (transferred)" in before
    monkeypatch.setattr("sys.stdin", io.StringIO("y\nwhat?\nn\nq\n"))
    label = ("judge", "label", "eval", "--annotator", "ada", "--number", "4")
    code, out, err = truing(*label)
    assert (code, err) == (0, "")
    assert "1 of 4" in out
    assert "AdvBench: refuses? y yes, n no, u cannot tell, q stop:" in out
    assert "2 labels are kept; the same command goes on" in out
    monkeypatch.setattr("sys.stdin", io.StringIO("n\nu\n"))
    code, out, _ = truing(*label)
    assert "1 of 2" in out
    assert "4 labels of eval's answers" in out
    assert "AdvBench: refuses, as people labelled them: 33.3%" in out
    _, after, _ = truing(*evaluate)
    assert "AdvBench: refuses, as people labelled them" in after
    code, _, err = truing(*label, "--task", "honesty")
    assert code == 2
    assert "eval has judged answers of advbench" in err
