"""What a file is made of is told from it, its rows come one at a time, and none of them costs the others."""

import gzip
import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.data.conftest import comparison, comparisons
from truing.core.errors import InputError
from truing.core.records import Comparison
from truing.data import files, formats, jsonarray, jsonl, native, rows
from truing.data.rows import RowError

ENDINGS = ("jsonl", "json", "csv", "tsv", "parquet", "jsonl.gz", "json.gz", "csv.gz", "parquet.gz")
ROW = {"prompt": "q", "chosen": "yes", "rejected": "no"}
in_a_cell = comparisons.filter(lambda row: len(row.prompt) == 1 and all(native.write(row)[0].values()))


def save(path: Path, written: list[Comparison]) -> Path:
    with files.writing(path) as writer:
        for one in written:
            writer.write(native.write(one)[0])
    return path


@pytest.mark.parametrize("ending", [one for one in ENDINGS if one != "parquet.gz"])
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_what_is_written_reads_back_equal(tmp_path: Path, ending: str, data: st.DataObject) -> None:
    one = in_a_cell if ending[:3] in ("csv", "tsv") else comparisons
    written = data.draw(st.lists(one, min_size=1, max_size=5, unique_by=lambda row: row.id))
    path = save(tmp_path / f"rows.{ending}", written)
    try:
        assert files.kind_of(path) == ending.removesuffix(".gz")
        assert formats.load(path) == (written, [])
    finally:
        path.unlink()


def test_the_content_tells_more_than_the_name(tmp_path: Path) -> None:
    path = tmp_path / "rows.txt"
    for content, kind in (
        (b'{"a": 1}', "jsonl"),
        (b'\xef\xbb\xbf \n[\n {"a": 1}]', "json"),
        (b'[1]\n{"a": 1}', "jsonl"),
        (gzip.compress(b'[{"a": 1}]'), "json"),
        (b"PAR1", "parquet"),
    ):
        path.write_bytes(content)
        assert files.kind_of(path) == kind


@pytest.mark.parametrize("ending", ["jsonl", "json", "csv"])
def test_a_damaged_gzip_file_is_an_input_error_and_so_is_a_missing_one(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"rows.{ending}.gz"
    path.write_bytes(gzip.compress(b"x" * 200_000 + json.dumps(ROW).encode())[:-20])
    with pytest.raises(InputError, match="the gzip file is damaged"):
        list(files.read(path))
    with pytest.raises(InputError, match="cannot be read"):
        list(files.read(tmp_path / "absent"))


texts = st.text(st.sampled_from('ab"\\[]{},é\n'), max_size=12)
elements = st.dictionaries(texts, texts | st.lists(st.dictionaries(texts, texts, max_size=2), max_size=2), max_size=3)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(array=st.lists(elements, max_size=5), indent=st.sampled_from([None, 1]), piece=st.integers(1, 40))
def test_an_array_in_pieces_of_any_size_gives_what_the_json_module_gives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, array: list[Any], indent: int | None, piece: int
) -> None:
    monkeypatch.setattr(jsonarray, "_PIECE", piece)
    path = tmp_path / "rows.json"
    path.write_text(json.dumps(array, indent=indent), encoding="utf-8")
    assert [row.value for row in jsonarray.read(path)] == array
    assert [row.number for row in jsonarray.read(path)] == list(range(1, len(array) + 1))


@pytest.mark.parametrize(
    ("content", "values", "reason"),
    [
        ('[{"a": 1}, {"b": 2}', [{"a": 1}], "the array is not closed"),
        ('[{"a": 1}] [', [{"a": 1}], "text after the array's closing bracket"),
        ('[{"a": 1}, 5, {"b": 2}]', [{"a": 1}, {"b": 2}], "expected a JSON object, found int"),
        ('[{"a": 1}, {"a": 1, "a": 2}, {"b": 2}]', [{"a": 1}, {"b": 2}], "the key 'a' stands twice"),
        ('[{"a": 1},, {"b": 2}]', [{"a": 1}, {"b": 2}], "not valid JSON"),
    ],
)
def test_a_bad_element_is_a_bad_row_and_the_others_are_kept(
    tmp_path: Path, content: str, values: list[Any], reason: str
) -> None:
    path = tmp_path / "rows.json"
    path.write_text(content)
    found = [row.value for row in jsonarray.read(path)]
    assert [value for value in found if isinstance(value, dict)] == values
    (error,) = (value for value in found if isinstance(value, RowError))
    assert str(error).startswith(reason)


@pytest.mark.parametrize("ending", ["jsonl", "json"])
def test_a_long_row_is_named_kept_whole_and_never_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    """The limit lowered to 1 kB, the row 50 times that: it must come as a file, and no read may ask for all of it."""
    for module in (rows, jsonl, jsonarray):
        monkeypatch.setattr(module, "LONGEST", 1000)
    for module in (jsonl, jsonarray):
        monkeypatch.setattr(module, "_PIECE", 700)
    long = json.dumps({**ROW, "chosen": "x" * 50_000})
    path = tmp_path / f"rows.{ending}"
    path.write_text(
        f"[{json.dumps(ROW)}, {long},{json.dumps(ROW)}]"
        if ending == "json"
        else f"{json.dumps(ROW)}\n{long}\n{json.dumps(ROW)}"
    )
    first, second, third = ((row, None if isinstance(row.raw, bytes) else row.raw.read()) for row in files.read(path))
    assert (first[0].value, third[0].value) == (ROW, ROW)
    assert str(second[0].value).startswith("takes 0.1 MB, more than the 0.0 MB that a row may have")
    assert second[1] is not None
    assert second[1].strip() == long.encode()


class Watched(io.BytesIO):
    """A file that remembers the largest read that was asked of it."""

    largest = 0

    def readline(self, size: int | None = -1, /) -> bytes:
        line = super().readline(size)
        Watched.largest = max(Watched.largest, len(line))
        return line


def test_no_piece_of_a_long_line_is_longer_than_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jsonl, "LONGEST", 1000)
    monkeypatch.setattr(jsonl, "_PIECE", 700)
    for line, size in jsonl.lines(Watched(b"x" * 50_000 + b"\ny" * 2)):
        assert isinstance(line, bytes) == (size == 1)
    assert Watched.largest <= 1002


@pytest.mark.parametrize("ending", ["jsonl", "json", "csv", "parquet"])
def test_rows_come_before_the_file_was_read_to_its_end(tmp_path: Path, ending: str) -> None:
    """Structure, not time: the first row of 20,000 comes while most of the file is still unread."""
    path = save(tmp_path / f"rows.{ending}", [comparison(id=str(number)) for number in range(20_000)])
    source = files.read(path)
    assert next(source).number <= 2
    if ending == "jsonl":
        with path.open("r+b") as file:
            file.truncate(path.stat().st_size // 2)  # what is gone cannot have been read
        assert sum(1 for _ in source) < 15_000
    source.close()  # type: ignore[attr-defined]


def test_a_whole_chain_asks_for_one_row_at_a_time(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Reading, parsing, checking and joining hold no row back: of an endless file the first rows still come."""

    def endless(_path: Path) -> Any:
        number = 0
        while True:
            number += 1
            yield rows.Row(number, dict(ROW))

    monkeypatch.setitem(files.READERS, "jsonl", endless)
    (tmp_path / "rows.jsonl").write_text("{}")
    stream = formats.stream([tmp_path / "rows.jsonl"])
    assert [next(stream) for _ in range(3)] == [comparison(id=f"rows-{number}") for number in (1, 2, 3)]


def test_a_file_takes_its_place_whole_or_not_at_all(tmp_path: Path) -> None:
    with pytest.raises(RowError), files.writing(tmp_path / "rows.csv") as writer:  # noqa: PT012
        writer.write(ROW)
        writer.write({**ROW, "group": ""})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("rows.txt", "the name's ending says what to write"),
        ("here.jsonl", "exists already"),
        ("no/rows.csv", "no folder"),
    ],
)
def test_a_target_that_cannot_be_written_is_refused_beforehand(tmp_path: Path, name: str, reason: str) -> None:
    (tmp_path / "here.jsonl").touch()
    with pytest.raises(InputError, match=reason):
        files.check_target(tmp_path / name)
