"""Comma- and tab-separated values (RFC 4180) with a header line. A cell is text; an empty optional cell is no value.

Cells of `strength`, `tie`, `both_bad` and `label` are read as the number or truth that they name. What a cell cannot
say (a dialogue of several turns, an optional text that is empty) is refused when writing.
"""

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from truing.core.errors import InputError
from truing.core.records import Comparison
from truing.data.jsonl import lines
from truing.data.rows import LONGEST, Row, RowError, opened

COLUMNS = tuple(Comparison.model_fields)
_TRUTHS = {"true": True, "1": True, "false": False, "0": False}
_KEPT_EMPTY = ("prompt", "chosen", "rejected", "completion")


def delimiter(path: Path) -> str:
    """A tab for .tsv, a comma for .csv."""
    return "\t" if path.name.removesuffix(".gz").endswith(".tsv") else ","


def read(path: Path, columns: Sequence[str] | None = None) -> Iterator[Row]:
    """Every record below the header, numbered by its first line; `columns` names those of a file without a header.
    Raises `InputError` for a header that is no header."""
    csv.field_size_limit(LONGEST)  # Python's own limit, 128 KB, is less than an answer may have
    with opened(path) as file:
        taken = _Taken(file)
        cells = csv.reader(taken, delimiter=delimiter(path), strict=True)
        header = _header(path, cells) if columns is None else list(columns)
        while True:
            taken.raw.clear()
            try:
                record = next(cells)
            except StopIteration:
                return
            except csv.Error as error:
                yield Row(taken.first, RowError(f"not readable as {path.suffix[1:]} ({error})"), taken.whole())
                continue
            except RowError as error:
                yield Row(taken.first, error, taken.whole())
                continue
            if record:
                yield Row(taken.first, _row(header, record), taken.whole())


class _Taken:
    """Decoded lines for the csv module, with the bytes of those that the record at hand took."""

    def __init__(self, file: IO[bytes]) -> None:
        self._lines = lines(file, ends=True)
        self._number = 0
        self.raw: list[bytes] = []
        self.first = 1

    def __iter__(self) -> "_Taken":
        return self

    def __next__(self) -> str:
        line, size = next(self._lines)
        self._number += 1
        if not self.raw:
            self.first = self._number
        if not isinstance(line, bytes):
            self.raw.append(line.read(LONGEST))
            raise RowError(f"takes {size / 1e6:.1f} MB, more than the {LONGEST / 1e6:.1f} MB that a row may have")
        self.raw.append(line)
        return line.decode("utf-8", "surrogateescape")

    def whole(self) -> bytes:
        return b"".join(self.raw)


def _header(path: Path, cells: Iterator[list[str]]) -> list[str]:
    try:
        header = next(cells, [])
    except (csv.Error, RowError) as error:
        raise InputError(f"{path}: the first line is no header of columns ({error})") from None
    repeated = sorted({name for name in header if header.count(name) > 1})
    if repeated:
        raise InputError(f"{path}: the column {repeated[0]!r} stands twice in the header; rename one")
    return header


def _row(header: list[str], record: list[str]) -> dict[str, Any] | RowError:
    if len(record) != len(header):
        return RowError(
            f"has {len(record)} cells, and there are {len(header)} columns; put texts with commas into quotes"
        )
    row: dict[str, Any] = {}
    for name, cell in zip(header, record, strict=True):
        if any("\udc80" <= character <= "\udcff" for character in cell):
            return RowError(f"{name!r} is not valid UTF-8")
        if cell or name in _KEPT_EMPTY:
            row[name] = cell
    return row


def typed(row: dict[str, Any]) -> dict[str, Any]:
    """The row with its numbers and truths read from their text, once columns have the names that truing gives them."""
    row = dict(row)
    if str(row.get("strength", "")).isdigit():
        row["strength"] = int(row["strength"])
    for key in ("tie", "both_bad", "label"):
        if isinstance(row.get(key), str) and row[key].lower() in _TRUTHS:
            row[key] = _TRUTHS[row[key].lower()]
    return row


class Writer:
    """Writes native rows with one column for each of a comparison's values."""

    def __init__(self, path: Path, file: IO[bytes]) -> None:
        self._text = io.TextIOWrapper(file, encoding="utf-8", newline="", write_through=True)
        self._cells = csv.DictWriter(self._text, COLUMNS, delimiter=delimiter(path))
        self._cells.writeheader()

    def write(self, row: dict[str, Any]) -> None:
        """Add one row. Raises `RowError` if cells cannot hold it."""
        self._cells.writerow({key: _cell(key, value) for key, value in row.items()})

    def close(self) -> None:
        """Flush what is buffered; the file itself is the caller's."""
        self._text.flush()
        self._text.detach()


def _cell(key: str, value: object) -> object:
    if key == "prompt" and isinstance(value, list):
        if len(value) != 1:
            raise RowError("the prompt has several turns, and a cell holds one user turn; write .jsonl or .parquet")
        return value[0]["content"]
    if value == "":
        raise RowError(f"{key!r} is an empty text, which a cell cannot tell from no value; write .jsonl or .parquet")
    return str(value).lower() if isinstance(value, bool) else value
