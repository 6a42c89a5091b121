"""truing train reward and truing reward score, as a user types them, on a tiny model."""

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Truing

FAST = ("reward.batch_rows=4", "reward.adapter={rank = 2, upper_layers = 1}", "reward.head_scale=1.0")
SET = [word for setting in FAST for word in ("--set", setting)]


def rows(count: int, **more: object) -> str:
    made = [
        {"id": f"r{n}", "prompt": f"Q{n}?", "chosen": f"Yes, {n}.", "rejected": f"No {n}{'!' * (n % 3)}", **more}
        for n in range(count)
    ]
    return "".join(json.dumps(row) + "\n" for row in made)


@pytest.fixture
def trained(truing: Truing, tmp_path: Path, tiny_folder: Path) -> str:
    """What `truing train reward` prints."""
    (tmp_path / "rows.jsonl").write_text(rows(16))
    code, out, err = truing("train", "reward", "rows.jsonl", "--model", str(tiny_folder), "--held-out", "6", *SET)
    assert (code, err) == (0, "")
    return out


def test_training_prints_the_report_and_what_to_do_next(trained: str) -> None:
    assert "accuracy of length alone" in trained
    assert "temperature" in trained
    assert trained.splitlines()[-1] == "use it: truing reward score FILE --reward ledger:reward"


def test_comparisons_are_scored_with_accuracy_and_written(
    trained: str, truing: Truing, tmp_path: Path, tiny_folder: Path
) -> None:
    assert trained
    words = ("reward", "score", "rows.jsonl", "--reward", "ledger:reward", "--model", str(tiny_folder))
    code, out, err = truing(*words, "--out", "scores.jsonl")
    assert (code, err) == (0, "")
    assert "accuracy" in out
    written = [json.loads(line) for line in (tmp_path / "scores.jsonl").read_text().splitlines()]
    assert [row["id"] for row in written] == [f"r{n}" for n in range(16)]
    code, out, err = truing(*words, "--json")
    told = json.loads(out)
    assert told["rows"] == written
    assert told["report"]["pairs"] == 16
    right = sum(row["chosen"] > row["rejected"] for row in written)
    assert told["report"]["accuracy"]["mean"] == pytest.approx(right / 16)
    for row in written:
        assert row["margin"] == row["chosen"] - row["rejected"]
        assert "probability" not in row or (row["probability"] > 0.5) == (row["margin"] > 0)
    code, _, err = truing(*words, "--out", "scores.jsonl")
    assert code == 2
    assert "scores.jsonl exists already" in err


def test_prompts_with_answers_are_scored_one_a_line(
    trained: str, truing: Truing, tmp_path: Path, tiny_folder: Path
) -> None:
    assert trained
    (tmp_path / "answers.jsonl").write_text(
        '{"id": "x", "prompt": "Q1?", "answer": "Yes, 1."}\n{"prompt": "Q?", "answer": "No"}\n'
    )
    words = ("--reward", "ledger:reward", "--model", str(tiny_folder), "--json")
    _, out, _ = truing("reward", "score", "answers.jsonl", *words)
    told = json.loads(out)
    _, out, _ = truing("reward", "score", "rows.jsonl", *words)
    pair = json.loads(out)["rows"][1]
    assert told["report"] is None
    assert told["rows"][0] == {"id": "x", "reward": pytest.approx(pair["chosen"], abs=1e-5)}
    code, out, err = truing("reward", "score", "answers.jsonl", *words[:-1])
    assert (code, err) == (0, "")
    assert [line.split()[1] for line in out.splitlines()] == ["x", "answers-2"]


def test_what_is_no_reward_model_is_refused_before_a_model_is_loaded(truing: Truing, tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text(rows(3))
    code, _, err = truing("reward", "score", "rows.jsonl", "--reward", str(tmp_path))
    assert code == 2
    assert "reward.json is missing, so this is no reward model" in err
    (tmp_path / "data.toml").write_text('[d]\nverb = "dataset"\nsource = "rows.jsonl"\nprobes = ""\n')
    truing("run", "data.toml")
    code, _, err = truing("reward", "score", "rows.jsonl", "--reward", "ledger:d")
    assert code == 2
    assert "is of the kind 'dataset'; it must be a reward model" in err
    code, _, err = truing("reward", "score", "nothing.jsonl", "--reward", "ledger:d")
    assert (code, "nothing.jsonl" in err) == (2, True)
