"""Rows as they stand in a file: numbered, whole, and either an object or what is wrong with it. Formats come later."""

import codecs
import gzip
import json
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Literal, cast

from truing.core.errors import InputError
from truing.core.records import Record

LONGEST = 8 << 20  # bytes of one row: more than the text of any model's context, and little enough to hold a few of
GZIP = b"\x1f\x8b"


class RowError(ValueError):
    """A row that cannot be read; the message says why and what would be right."""


class LeftOverError(RowError):
    """A row that is sound, and of which no comparison can be made."""


@dataclass(frozen=True)
class Row:
    """One row: its number from 1 (a line of text, or a row where the file has no lines), its object, and its bytes.

    `raw` is a file, at its beginning, where the row is longer than `LONGEST`: it is never held in memory.
    """

    number: int
    value: dict[str, Any] | RowError
    raw: bytes | IO[bytes] = b""
    unit: Literal["line", "row", "item"] = "line"


@dataclass(frozen=True)
class BadRow:
    """A row that cannot be used, and why. `left_over` marks one that is sound but found no counterpart."""

    line: int
    reason: str
    left_over: bool = field(default=False, compare=False)
    unit: str = field(default="line", compare=False)
    file: Path | None = field(default=None, compare=False)
    raw: bytes | IO[bytes] = field(default=b"", compare=False, repr=False)


class Ask(Record):
    """What the caller says of a file that its rows do not say themselves.

    `columns` maps what truing calls a value to what the file calls it. `pairs`: of several scored answers to one
    prompt, the best against the worst, or every pair.
    """

    columns: Mapping[str, str] = {}
    pairs: Literal["best-worst", "all"] = "best-worst"


AS_IT_IS = Ask()


@contextmanager
def opened(path: Path) -> Iterator[IO[bytes]]:
    """A file's bytes, out of gzip, without a byte-order mark. Raises `InputError` if it cannot be read."""
    try:
        with path.open("rb") as plain:
            packed = plain.read(2) == GZIP
            plain.seek(0)
            file = cast(IO[bytes], gzip.GzipFile(fileobj=plain)) if packed else plain
            if file.read(3) != codecs.BOM_UTF8:
                file.seek(0)
            yield file
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise InputError(f"{path}: the gzip file is damaged ({error}); fetch it again") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check the path") from None


def object_of(raw: bytes | IO[bytes], size: int) -> dict[str, Any] | RowError:
    """A row's JSON object, or what is wrong with its `size` bytes."""
    if not isinstance(raw, bytes):
        return RowError(f"takes {size / 1e6:.1f} MB, more than the {LONGEST / 1e6:.1f} MB that a row may have")
    try:
        row = json.loads(raw.decode("utf-8"), object_pairs_hook=_without_repeated_keys)
    except UnicodeDecodeError as error:
        return RowError(f"not valid UTF-8 at byte {error.start + 1} of the line")
    except json.JSONDecodeError as error:
        return RowError(f"not valid JSON ({error.msg} at column {error.colno})")
    except RowError as error:
        return error
    except (ValueError, RecursionError) as error:  # a number of thousands of digits; thousands of brackets
        return RowError(f"JSON that cannot be read ({error})")
    return row if isinstance(row, dict) else RowError(f"expected a JSON object, found {type(row).__name__}")


def _without_repeated_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    row = dict(pairs)
    if len(row) < len(pairs):
        repeated = Counter(key for key, _ in pairs).most_common(1)[0][0]
        raise RowError(f"the key {repeated!r} stands twice in one object; keep one")
    return row
