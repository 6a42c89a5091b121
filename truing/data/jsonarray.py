"""A JSON array of objects, read one element at a time: the brackets are followed, the elements parsed as rows are.

An array that is cut short, or followed by more, gives its good elements and then one bad row that says so.
"""

import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from truing.data.rows import LONGEST, Row, RowError, object_of, opened

_MARK = re.compile(rb'[\\"\[\]{},]')
_PIECE = 1 << 18


def read(path: Path) -> Iterator[Row]:
    """Every element as a row, numbered from 1. Raises `InputError` if the file cannot be read at all."""
    with opened(path) as file:
        for number, (raw, size) in enumerate(_elements(file), start=1):
            value = RowError(size) if isinstance(size, str) else object_of(raw, size)
            yield Row(number, value, raw, unit="row")


def _elements(file: IO[bytes]) -> Iterator[tuple[bytes | IO[bytes], int | str]]:
    """(text, its size) of each element; in the place of the size, what is wrong with the array as a whole."""
    depth, in_string, escaped, offset = 0, False, -1, 0
    element = _Element()
    for piece in iter(lambda: file.read(_PIECE), b""):
        start = 0
        for found in _MARK.finditer(piece):
            place, mark = found.start(), found[0]
            if offset + place == escaped:
                continue
            if in_string:
                escaped = offset + place + 1 if mark == b"\\" else escaped
                in_string = mark != b'"'
            elif mark == b'"':
                in_string = True
            elif mark in b"[{":
                depth += 1
                start = place + 1 if depth == 1 else start
            elif mark in b"]}":
                depth -= 1
            if not in_string and ((depth == 1 and mark == b",") or (depth == 0 and mark == b"]")):
                element.add(piece[start:place])
                start = place + 1
                yield from element.taken(last=mark == b"]")
                if depth == 0:
                    rest = piece[start:] + file.read(_PIECE)
                    if rest.strip():
                        yield rest, "text after the array's closing bracket"
                    return
        element.add(piece[start:])
        offset += len(piece)
    for text, _ in element.taken():
        yield text, "the array is not closed: the file is cut short"


class _Element:
    """The bytes of one element; what is longer than `LONGEST` goes to a temporary file."""

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._spool: IO[bytes] | None = None

    def add(self, piece: bytes) -> None:
        self._bytes += piece
        if len(self._bytes) > LONGEST:
            self._spool = self._spool or tempfile.TemporaryFile()  # noqa: SIM115 (closed in `taken`)
            self._spool.write(self._bytes)
            self._bytes.clear()

    def taken(self, last: bool = False) -> Iterator[tuple[bytes | IO[bytes], int]]:
        """The element and its size, and begin the next; nothing where the array ends without one."""
        text, spool = bytes(self._bytes), self._spool
        self._bytes.clear()
        self._spool = None
        if spool is None:
            if text.strip() or not last:
                yield text.strip(), len(text)
            return
        with spool:
            spool.write(text)
            size = spool.tell()
            spool.seek(0)
            yield spool, size
