"""Rows of a published set: required columns, ids that stand once; a row that cannot be used is listed, not guessed."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

from truing.core.errors import InputError
from truing.data import files
from truing.data.rows import BadRow, Row, RowError


class Identified(Protocol):
    """Anything with an id."""

    @property
    def id(self) -> str: ...


T = TypeVar("T", bound=Identified)


def read_published(
    path: Path,
    columns: Sequence[str],
    parse: Callable[[dict[str, Any], int], T],
    read: Callable[[Path], Iterator[Row]] = files.read,
) -> tuple[list[T], list[BadRow]]:
    """Every row of a file: the good ones as `parse` (row, place from 0) makes them, and the bad ones. `read` gives the
    rows as they stand; by itself, the kind of file is told by its content and name.

    Raises `InputError` where the file cannot be read, is empty, or no row has one of the `columns`.
    """
    return sort_rows(path, read(path), columns, parse)


def sort_rows(
    path: Path, rows: Iterable[Row], columns: Sequence[str], parse: Callable[[dict[str, Any], int], T]
) -> tuple[list[T], list[BadRow]]:
    """As `read_published`, for rows of a file that were read already."""
    good: list[T] = []
    bad: list[BadRow] = []
    found: dict[str, None] = {}
    first: dict[str, int] = {}
    for place, row in enumerate(rows):
        try:
            if isinstance(row.value, RowError):
                raise row.value
            found.update(dict.fromkeys(row.value))
            for column in columns:
                if row.value.get(column) in (None, ""):
                    raise RowError(f"{column!r} is missing or empty")
            made = parse(row.value, place)
            if made.id in first:
                raise RowError(f"the id {made.id!r} stands twice, first in {row.unit} {first[made.id]}")
            first[made.id] = row.number
            good.append(made)
        except RowError as error:
            bad.append(BadRow(row.number, str(error), unit=row.unit, file=path))
    if not good and not bad:
        raise InputError(f"{path}: the file is empty; fetch it again")
    absent = [column for column in columns if found and column not in found]
    if absent:
        raise InputError(f"{path}: there is no column {absent[0]!r}; the columns are {', '.join(found)}")
    return good, bad


def text_of(row: dict[str, Any], key: str) -> str:
    """A value that must be a text with something in it. Raises `RowError`."""
    value = row.get(key)
    if not isinstance(value, str) or not value.strip():
        raise RowError(f"{key!r} is {value!r}; a text is expected")
    return value
