"""JSON Lines: one object a line, UTF-8. A line that is too long is set aside on the disk, never held in memory."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from truing.data.rows import LONGEST, Row, RowError, object_of, opened

_PIECE = 1 << 20


def read(path: Path) -> Iterator[Row]:
    """Every line but blank ones at the end. Raises `InputError` if the file cannot be read at all."""
    blank: list[int] = []
    with opened(path) as file:
        for number, (raw, size) in enumerate(lines(file), start=1):
            if isinstance(raw, bytes) and not raw.strip():
                blank.append(number)
                continue
            yield from (Row(before, RowError("the line is blank")) for before in blank)
            blank.clear()
            yield Row(number, object_of(raw, size), raw)


def lines(file: IO[bytes], ends: bool = False) -> Iterator[tuple[bytes | IO[bytes], int]]:
    """(line, its size in bytes), without its end unless `ends`; one longer than `LONGEST` comes as a temporary file."""
    while piece := file.readline(LONGEST + 2):
        line = piece.rstrip(b"\r\n")
        if len(line) <= LONGEST:
            yield (piece if ends else line), len(line)
            continue
        with tempfile.TemporaryFile() as spool:
            while True:
                spool.write(piece)
                if piece.endswith(b"\n") or not (piece := file.readline(_PIECE)):
                    break
            size = spool.tell()
            spool.seek(0)
            yield spool, size
