"""CSV and TSV: every record is a row or a named bad one, and what a cell cannot hold is not written."""

from pathlib import Path

import pytest

from tests.data.conftest import assistant, comparison, user
from truing.core.errors import InputError
from truing.core.records import Comparison
from truing.data import delimited, files, formats, native
from truing.data.rows import Ask, BadRow, RowError

HEAD = b"prompt,chosen,rejected\n"


def load(path: Path, content: bytes, ask: Ask = Ask()) -> tuple[list[Comparison], list[BadRow]]:  # noqa: B008
    path.write_bytes(content)
    return formats.load(path, ask=ask)


def test_quotes_line_breaks_and_columns_by_any_name(tmp_path: Path) -> None:
    content = b'number,question,better,worse\r\n1,"a ""b"",\nc",yes,no\r\n2,q,"yes\r\n",no\r\n'
    ask = Ask(columns={"prompt": "question", "chosen": "better", "rejected": "worse"})
    assert load(tmp_path / "rows.csv", content, ask) == (
        [
            comparison(id="rows-2", prompt=(user('a "b",\nc'),)),
            comparison(id="rows-4", chosen="yes\r\n"),
        ],
        [],
    )
    assert load(tmp_path / "rows.tsv", content.replace(b",", b"\t"), ask)[1] == []


def test_numbers_and_truths_are_read_from_their_text(tmp_path: Path) -> None:
    content = b"prompt,chosen,rejected,strength,tie,both_bad,group\nq,yes,no,3,TRUE,0,\n"
    (row,), _ = load(tmp_path / "rows.csv", content)
    assert (row.strength, row.tie, row.both_bad, row.group) == (3, True, False, "")
    good, bad = load(tmp_path / "rows.csv", b"prompt,completion,label\nq,yes,true\nq,no,false\nq,so,maybe\n")
    assert [(row.chosen, row.rejected) for row in good] == [("yes", "no")]
    assert bad == [BadRow(4, "'label' must be true or false, found 'maybe'")]


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (b"q,yes", "has 2 cells, and there are 3 columns"),
        (b"q,yes,no,", "has 4 cells, and there are 3 columns"),
        (b"q,,no", "'chosen' is empty"),
        (b"q,yes,n\xff", "'rejected' is not valid UTF-8"),
        (b"q,yes,n\x00", "'rejected' holds a NUL byte"),
        (b'q,"yes"s,no', "not readable as csv"),
        (b"q,yes,yes", "'chosen' and 'rejected' are the same text"),
    ],
)
def test_a_bad_record_is_named_with_its_line_and_kept_whole(tmp_path: Path, record: bytes, reason: str) -> None:
    good, (bad,) = load(tmp_path / "rows.csv", HEAD + b"q,yes,no\n" + record + b"\nq,yes,no\n")
    assert [row.id for row in good] == ["rows-2", "rows-4"]
    assert bad.line == 3
    assert bad.reason.startswith(reason)
    assert bad.raw == record + b"\n"


def test_an_open_quote_is_one_bad_record(tmp_path: Path) -> None:
    good, (bad,) = load(tmp_path / "rows.csv", HEAD + b'q,yes,no\nq,"yes,no\nq,yes,no\n')
    assert (len(good), bad.line) == (1, 3)


def test_a_header_that_is_none_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the column 'chosen' stands twice"):
        load(tmp_path / "rows.csv", b"prompt,chosen,chosen\nq,yes,no\n")
    with pytest.raises(InputError, match="the file is empty"):
        load(tmp_path / "rows.csv", b"")


def test_a_missing_column_names_those_that_there_are(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes(HEAD + b"q,yes,no\n")
    _, (bad,) = formats.load(path, "native", Ask(columns={"prompt": "question"}))
    assert bad.reason == "the column 'question' is missing; the row has prompt, chosen, rejected"
    with pytest.raises(InputError, match=r"keys question, better, worse.*--columns"):
        load(path, b"question,better,worse\nq,yes,no\n")


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (comparison(prompt=(user("q"), assistant("a"), user("r"))), "the prompt has several turns"),
        (comparison(pair=""), "'pair' is an empty text"),
        (comparison(id=""), "'id' is an empty text"),
    ],
)
def test_what_a_cell_cannot_hold_is_refused(tmp_path: Path, row: Comparison, reason: str) -> None:
    with files.writing(tmp_path / "rows.csv") as writer, pytest.raises(RowError, match=reason):
        writer.write(native.write(row)[0])
    assert (tmp_path / "rows.csv").read_text() == ",".join(delimited.COLUMNS) + "\n"


def test_a_file_without_a_header_is_told_its_columns(tmp_path: Path) -> None:
    """Its first line is a row like any other."""
    path = tmp_path / "rows.csv"
    path.write_bytes(b'"one, two",A\nthree,B\nfour\n')
    rows = list(delimited.read(path, columns=("question", "answer")))
    assert [(row.number, row.value) for row in rows[:2]] == [
        (1, {"question": "one, two", "answer": "A"}),
        (2, {"question": "three", "answer": "B"}),
    ]
    assert isinstance(rows[2].value, RowError)
