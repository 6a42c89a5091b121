"""The table of formats. A new one is a file beside these with `NAME`, `recognises` and `parse`, and `write` if it can.

`parse` gives the comparisons of a row. Where a row alone is not enough, `join` makes comparisons of parsed rows.
"""

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from truing.core.errors import InputError
from truing.core.records import Comparison
from truing.data import argilla, delimited, files, hh, labelstudio, native, scores, trl, unpaired
from truing.data.rows import AS_IT_IS, Ask, BadRow, RowError
from truing.data.validate import Check, Join, read_comparisons


@dataclass(frozen=True)
class Format:
    """How one format's rows are told, read and written. `carries`: the keys of a comparison that writing keeps."""

    recognises: Callable[[dict[str, Any]], bool]
    parse: Callable[[dict[str, Any], str, Ask], Sequence[Any]]
    join: Join | None
    write: Callable[[Comparison], list[dict[str, Any]]] | None
    carries: tuple[str, ...]
    nested: bool


def _format(module: ModuleType) -> Format:
    return Format(
        module.recognises,
        module.parse,
        getattr(module, "join", None),
        getattr(module, "write", None),
        getattr(module, "CARRIES", tuple(Comparison.model_fields)),
        getattr(module, "NESTED", False),
    )


FORMATS: dict[str, Format] = {
    module.NAME: _format(module) for module in (native, trl, hh, unpaired, scores, argilla, labelstudio)
}
WRITABLE: tuple[str, ...] = tuple(name for name, one in FORMATS.items() if one.write)


def detect(path: Path, ask: Ask = AS_IT_IS) -> str:
    """The format of a file, told by the first row that one of them recognises. Raises `InputError` if there is none."""
    first = None
    for row in files.read(path):
        if isinstance(row.value, dict):
            for name, candidate in FORMATS.items():
                if candidate.recognises(row.value if candidate.nested else _renamed(row.value, ask, partial=True)):
                    return name
        found = str(row.value) if isinstance(row.value, RowError) else f"keys {', '.join(row.value)}"
        first = first or f"{row.unit} {row.number}: {found:.300}"
    if first is None:
        raise InputError(f"{path}: the file is empty")
    raise InputError(
        f"{path}: no row looks like a known format ({first}); name it with --format {'|'.join(FORMATS)}, or say what "
        "its columns are with --columns prompt=…,chosen=…,rejected=…"
    )


def stream(
    paths: Sequence[Path], format_name: str | None = None, ask: Ask = AS_IT_IS, also: Check | None = None
) -> Iterator[Comparison | BadRow]:
    """Every comparison and every bad row of some files, one by one: nothing is held. Raises `InputError` as it is
    called if the format is not known or cannot be told."""
    name = format_name or detect(paths[0], ask)
    if name not in FORMATS:
        raise InputError(f"the format {name!r} is not known; use one of {', '.join(FORMATS)}")
    return _not_empty(
        paths, read_comparisons(paths, functools.partial(_parse, FORMATS[name], ask), FORMATS[name].join, also)
    )


def load(path: Path, format_name: str | None = None, ask: Ask = AS_IT_IS) -> tuple[list[Comparison], list[BadRow]]:
    """All rows of a file: the good ones and the bad ones."""
    good: list[Comparison] = []
    bad: list[BadRow] = []
    for item in stream([path], format_name, ask):
        (good if isinstance(item, Comparison) else bad).append(item)  # type: ignore[arg-type]
    return good, bad


def _parse(chosen: Format, ask: Ask, row: dict[str, Any], fallback_id: str) -> Sequence[Any]:
    return chosen.parse(row if chosen.nested else _renamed(row, ask), fallback_id, ask)


def _renamed(row: dict[str, Any], ask: Ask, partial: bool = False) -> dict[str, Any]:
    """The columns that the caller named, under the names that truing gives them; without names, the row as it is.

    Raises `RowError` for a column that the row lacks, unless `partial`.
    """
    if ask.columns:
        missing = [theirs for theirs in ask.columns.values() if theirs not in row]
        if missing and not partial:
            raise RowError(f"the column {missing[0]!r} is missing; the row has {', '.join(row)}")
        row = {ours: row[theirs] for ours, theirs in ask.columns.items() if theirs in row}
    return delimited.typed(row)


def _not_empty(paths: Sequence[Path], items: Iterator[Comparison | BadRow]) -> Iterator[Comparison | BadRow]:
    empty = True
    for item in items:
        empty = False
        yield item
    if empty:
        raise InputError(f"{paths[0]}: the file is empty")
