"""The table of formats. A new format is one file beside these, with `NAME`, `recognises`, `parse` and `write`."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from truing.core.errors import InputError
from truing.core.records import Comparison
from truing.data import native, trl
from truing.data.validate import BadRow, RowError, read_comparisons, read_rows


@dataclass(frozen=True)
class Format:
    """How one format's rows are told, read and written."""

    recognises: Callable[[dict[str, Any]], bool]
    parse: Callable[[dict[str, Any], str], Comparison]
    write: Callable[[Comparison], str]


FORMATS: dict[str, Format] = {
    module.NAME: Format(module.recognises, module.parse, module.write) for module in (native, trl)
}


def detect(path: Path) -> str:
    """The format of a file, told by the first row that one of them recognises. Raises `InputError` if there is none."""
    first = None
    for line, row in read_rows(path):
        if isinstance(row, dict):
            for name, candidate in FORMATS.items():
                if candidate.recognises(row):
                    return name
        first = first or f"line {line}: " + (str(row) if isinstance(row, RowError) else f"keys {', '.join(row)}")
    if first is None:
        raise InputError(f"{path}: the file is empty")
    raise InputError(f"{path}: no row looks like a known format ({first}); name it with --format {'|'.join(FORMATS)}")


def load(path: Path, format_name: str | None = None) -> tuple[list[Comparison], list[BadRow]]:
    """All rows of a file: the good ones and the bad ones."""
    name = format_name or detect(path)
    if name not in FORMATS:
        raise InputError(f"the format {name!r} is not known; use one of {', '.join(FORMATS)}")
    good: list[Comparison] = []
    bad: list[BadRow] = []
    for item in read_comparisons(path, FORMATS[name].parse):
        (good if isinstance(item, Comparison) else bad).append(item)  # type: ignore[arg-type]
    if not good and not bad:
        raise InputError(f"{path}: the file is empty")
    return good, bad
