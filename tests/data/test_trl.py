"""The conversational form of TRL: both kinds of prompt mean the same, and what it can say survives a round trip."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from tests.data.conftest import comparison, comparisons, lines
from truing.core.records import Comparison
from truing.data import formats, trl
from truing.data.rows import BadRow, RowError
from truing.data.validate import read_comparisons

USER = {"role": "user", "content": "q"}
YES, NO = ({"role": "assistant", "content": text} for text in ("yes", "no"))


def read(tmp_path: Path, *rows: Any) -> list[Comparison | BadRow]:
    return list(read_comparisons(lines(tmp_path, *map(json.dumps, rows)), trl.parse))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(row=comparisons.filter(lambda row: not (row.tie or row.both_bad)))
def test_prompt_and_answers_survive_and_the_rest_cannot(tmp_path: Path, row: Comparison) -> None:
    path = lines(tmp_path, *map(json.dumps, trl.write(row)))
    (again,) = read_comparisons(path, trl.parse)
    assert again == Comparison(id="rows-1", prompt=row.prompt, chosen=row.chosen, rejected=row.rejected)
    assert formats.detect(path) == trl.NAME


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(row=comparisons.filter(lambda row: not (row.tie or row.both_bad)))
def test_an_implicit_prompt_means_the_same_as_an_explicit_one(tmp_path: Path, row: Comparison) -> None:
    (explicit,) = trl.write(row)
    written = dict(explicit)
    context = written.pop("prompt")
    implicit = {key: [*context, *answer] for key, answer in written.items()}
    assert read(tmp_path, implicit) == read(tmp_path, explicit)


@pytest.mark.parametrize("mark", ["tie", "both_bad"])
def test_a_tie_does_not_become_a_preference(mark: str) -> None:
    with pytest.raises(RowError, match="no answer won"):
        trl.write(comparison(**{mark: True}))


def test_a_prompt_that_is_a_text_must_be_one_of_the_shared_turns(tmp_path: Path) -> None:
    row = {"prompt": "q", "chosen": [USER, YES], "rejected": [USER, NO]}
    good, bad = read(tmp_path, row, {**row, "prompt": "another"})
    assert good == comparison(id="rows-1")
    assert isinstance(bad, BadRow)
    assert bad.reason == "'prompt' is none of the user's turns in 'chosen'"


def test_an_id_is_kept_as_text(tmp_path: Path) -> None:
    row = {"prompt": [USER], "chosen": [YES], "rejected": [NO]}
    assert read(tmp_path, {**row, "id": "a"}, {**row, "id": 7}, row) == [
        comparison(id="a"),
        comparison(id="7"),
        comparison(id="rows-3"),
    ]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"prompt": [USER], "chosen": [YES]}, "the key 'rejected' is missing"),
        ({"prompt": [USER], "rejected": [NO]}, "the key 'chosen' is missing"),
        (
            {"prompt": [USER], "chosen": [YES], "rejected": [NO], "score": 1},
            "unknown keys 'score'; this form has prompt",
        ),
        (
            {"prompt": [USER], "chosen": "yes", "rejected": [NO]},
            "'chosen' must be a non-empty list of messages, found str",
        ),
        (
            {"prompt": "q", "chosen": [YES], "rejected": [NO]},
            "'prompt' must be a non-empty list of messages, found str",
        ),
        ({"prompt": [USER], "chosen": [], "rejected": [NO]}, "'chosen' must be a non-empty list of messages"),
        ({"prompt": [USER], "chosen": [USER, YES], "rejected": [NO]}, "beside an explicit prompt, 'chosen' and"),
        ({"prompt": [USER], "chosen": [USER], "rejected": [NO]}, "the last turn of 'chosen' is by 'user'"),
        ({"chosen": [YES], "rejected": [NO]}, "there is no prompt: neither a key 'prompt' nor turns"),
        (
            {"chosen": [USER, YES], "rejected": [{"role": "user", "content": "Q"}, NO]},
            "'chosen' and 'rejected' do not share their context",
        ),
        (
            {"prompt": [{"role": "bot", "content": "q"}], "chosen": [YES], "rejected": [NO]},
            "'prompt', message 1: the role",
        ),
        ({"prompt": [{"role": "user"}], "chosen": [YES], "rejected": [NO]}, "'prompt', message 1: expected an object"),
        ({"prompt": [{**USER, "name": "x"}], "chosen": [YES], "rejected": [NO]}, "'prompt', message 1: expected an"),
        (
            {"prompt": [USER], "chosen": [{"role": "assistant", "content": None}], "rejected": [NO]},
            "'chosen', message 1",
        ),
        ({"prompt": [USER], "chosen": [YES], "rejected": [NO], "id": None}, "'id' must be a string or a whole number"),
        (
            {"prompt": [USER], "chosen": [YES], "rejected": [NO], "id": {"a": 1}},
            "'id' must be a string or a whole number",
        ),
    ],
)
def test_a_bad_row_says_what_was_expected(tmp_path: Path, row: dict[str, Any], reason: str) -> None:
    (bad,) = read(tmp_path, row)
    assert isinstance(bad, BadRow)
    assert bad.reason.startswith(reason)
