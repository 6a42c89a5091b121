"""Rows of a prompt and an answer: told from comparisons, and a bad one is named."""

import json
from pathlib import Path

import pytest

from truing.core.errors import InputError
from truing.data.answers import PromptAnswer, read_answers, recognises


def write(path: Path, *rows: object) -> Path:
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


def test_prompts_and_answers_are_read_with_or_without_ids(tmp_path: Path) -> None:
    turns = [{"role": "user", "content": "A?"}]
    path = write(
        tmp_path / "rows.jsonl", {"id": 7, "prompt": "A?", "answer": "a", "more": 1}, {"prompt": turns, "answer": "b"}
    )
    assert recognises(path)
    first, second = read_answers(path)
    assert (first.id, second.id) == ("7", "rows-2")
    assert first.prompt == second.prompt
    assert first == PromptAnswer(id="7", prompt=second.prompt, answer="a")


def test_comparisons_are_not_taken_for_answers(tmp_path: Path) -> None:
    assert not recognises(write(tmp_path / "rows.jsonl", {"prompt": "A?", "chosen": "a", "rejected": "b"}))
    assert not recognises(write(tmp_path / "empty.jsonl"))


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("{", "not valid JSON"),
        ({"answer": "a"}, "the key 'prompt' is missing"),
        ({"prompt": "A?"}, "the key 'answer' is missing"),
        ({"prompt": "A?", "answer": 3}, "'answer' must be a string"),
        ({"prompt": "A?", "answer": " "}, "'answer' is empty"),
        ({"prompt": [], "answer": "a"}, "non-empty list"),
        ({"id": "x", "prompt": "A?", "answer": "a"}, "stands in line 1 already"),
    ],
)
def test_a_bad_row_is_named_with_its_line(tmp_path: Path, row: object, reason: str) -> None:
    path = write(tmp_path / "rows.jsonl", {"id": "x", "prompt": "A?", "answer": "a"}, row)
    with pytest.raises(InputError, match=rf"rows\.jsonl, line 2: .*{reason}"):
        read_answers(path)


def test_an_empty_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the file is empty"):
        read_answers(write(tmp_path / "rows.jsonl"))
