"""Rows of a published set: good ones come as they stand, bad ones are listed, and a set that is none is refused."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from truing.core.errors import InputError
from truing.core.records import Record
from truing.data.published import read_published, text_of
from truing.data.rows import RowError


class Item(Record):
    """A row with an id and a text."""

    id: str
    text: str


def parse(row: dict[str, Any], place: int) -> Item:
    return Item(id=row.get("id", str(place)), text=text_of(row, "text"))


def read(path: Path, content: str) -> Any:
    path.write_text(content, encoding="utf-8")
    return read_published(path, ("text",), parse)


@given(rows=st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["some", ""])), min_size=1, max_size=8))
def test_every_row_is_good_or_listed_and_no_id_comes_twice(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]]
) -> None:
    folder = tmp_path_factory.mktemp("rows")
    lines = "".join(f'{{"id": "{one}", "text": "{text}"}}\n' for one, text in rows)
    good, bad = read(folder / "rows.jsonl", lines)
    assert len(good) + len(bad) == len(rows)
    assert [item.id for item in good] == list(dict.fromkeys(one for one, text in rows if text))
    assert {row.line for row in bad} <= set(range(1, len(rows) + 1))


def test_a_place_stands_for_an_id_that_is_not_there_whatever_was_bad_before(tmp_path: Path) -> None:
    good, bad = read(tmp_path / "rows.csv", "text,note\nfirst,\n,x\nthird,y\n")
    assert [(item.id, item.text) for item in good] == [("0", "first"), ("2", "third")]
    assert [(row.line, row.reason) for row in bad] == [(3, "'text' is missing or empty")]


def test_a_line_that_is_no_row_is_listed_as_well(tmp_path: Path) -> None:
    good, bad = read(tmp_path / "rows.jsonl", '{"text": "a"}\nnot json\n["text"]\n')
    assert len(good) == 1
    assert [row.line for row in bad] == [2, 3]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", "the file is empty; fetch it again"),
        ('{"txt": "a", "id": "1"}\n', "there is no column 'text'; the columns are txt, id"),
    ],
)
def test_a_set_that_is_none_is_refused(tmp_path: Path, content: str, told: str) -> None:
    with pytest.raises(InputError, match=told):
        read(tmp_path / "rows.jsonl", content)


@pytest.mark.parametrize("value", [None, 3, "", "  ", ["a"]])
def test_a_text_is_a_string_with_something_in_it(value: object) -> None:
    with pytest.raises(RowError, match="a text is expected"):
        text_of({"text": value}, "text")
