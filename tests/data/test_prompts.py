"""Prompts from any file that holds some: each once, in its place, and a bad row is named."""

import json
from pathlib import Path

import pytest

from truing.core.errors import InputError
from truing.core.records import Message
from truing.data.prompts import read_prompts

TURNS = [
    {"role": "user", "content": "Hello"},
    {"role": "assistant", "content": "Yes?"},
    {"role": "user", "content": "Why?"},
]


def file(folder: Path, *rows: object, name: str = "rows.jsonl") -> Path:
    path = folder / name
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_probes_comparisons_and_bare_prompts_are_read_and_a_prompt_that_comes_again_is_one(tmp_path: Path) -> None:
    path = file(
        tmp_path,
        {"id": "p", "group": "g", "topic": "t", "prompt": "One?"},
        {"prompt": TURNS},
        {"prompt": "One?", "chosen": "a", "rejected": "b"},
        {"prompt": "Two?"},
    )
    assert read_prompts(path) == [
        (Message(role="user", content="One?"),),
        tuple(Message.model_validate(turn) for turn in TURNS),
        (Message(role="user", content="Two?"),),
    ]


def test_a_format_without_prompts_of_its_own_is_read_as_comparisons(tmp_path: Path) -> None:
    start = "\n\nHuman: Why?\n\nAssistant:"
    path = file(tmp_path, *({"chosen": f"{start} {n}", "rejected": f"{start} No"} for n in range(2)))
    assert read_prompts(path) == [(Message(role="user", content="Why?"),)]


def test_a_table_of_prompts(tmp_path: Path) -> None:
    (tmp_path / "prompts.csv").write_text("prompt\nOne?\nTwo?\n")
    assert [prompt[0].content for prompt in read_prompts(tmp_path / "prompts.csv")] == ["One?", "Two?"]


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ([{"prompt": "a"}, {"prompt": ""}], "line 2: not a prompt: 'prompt' is empty"),
        ([{"prompt": "a"}, {"prmopt": "b"}], "line 2: not a prompt: the key 'prompt' is missing"),
        ([{"prompt": "a"}, {"prompt": TURNS[:2]}], "line 2: not a prompt: the prompt must end with a user turn"),
        ([{"prompt": "a"}, 7], "line 2: not a prompt: expected a JSON object"),
        ([{"prompt": 7}], "line 1: not a prompt: "),
        ([{"text": "a"}], "no row looks like a known format"),
    ],
)
def test_a_bad_row_is_named(tmp_path: Path, rows: list[object], sentence: str) -> None:
    with pytest.raises(InputError) as raised:
        read_prompts(file(tmp_path, *rows))
    assert str(raised.value).startswith(str(tmp_path / "rows.jsonl"))
    assert sentence in str(raised.value)


def test_a_file_that_is_empty_or_absent_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the file is empty"):
        read_prompts(file(tmp_path))
    with pytest.raises(InputError, match="cannot be read"):
        read_prompts(tmp_path / "absent.jsonl")
