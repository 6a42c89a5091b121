"""What a file is made of, told by its content and name: JSON Lines, a JSON array, CSV, TSV, Parquet; and gzip."""

import gzip
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Protocol, cast

from truing.core.errors import InputError
from truing.data import delimited, jsonarray, jsonl, parquet
from truing.data.rows import Row, opened

READERS: dict[str, Callable[[Path], Iterator[Row]]] = {
    "jsonl": jsonl.read,
    "json": jsonarray.read,
    "csv": delimited.read,
    "tsv": delimited.read,
    "parquet": parquet.read,
}
_LOOK = 1 << 16


class Writer(Protocol):
    """Takes rows one by one. `write` raises `RowError` for a row that this kind of file cannot hold."""

    def write(self, row: dict[str, Any], /) -> None: ...

    def close(self) -> None: ...


def kind_of(path: Path) -> str:
    """One of `READERS`. Raises `InputError` if the file cannot be read."""
    with opened(path) as file:
        first = file.read(_LOOK)
    if first.startswith(parquet.MAGIC):
        return "parquet"
    name = ending(path)
    if name in ("csv", "tsv"):
        return name
    text = first.lstrip()
    # A line of a JSON Lines file may begin with a bracket, too: then it is one bad row.
    opens = text.startswith(b"[") and (name == "json" or text[1:].lstrip().startswith(b"{"))
    return "json" if opens else "jsonl"


def read(path: Path) -> Iterator[Row]:
    """Every row of a file, as it is asked for. Raises `InputError` if the file cannot be read at all."""
    yield from READERS[kind_of(path)](path)


def ending(path: Path) -> str:
    """What the name of a file ends in, without a dot, and without gzip's own."""
    return Path(path.name.removesuffix(".gz")).suffix[1:].lower()


class _Lines:
    def __init__(self, _path: Path, file: IO[bytes]) -> None:
        self._file = file

    def write(self, row: dict[str, Any]) -> None:
        self._file.write(json.dumps(row, ensure_ascii=False).encode() + b"\n")

    def close(self) -> None:
        pass


class _Array:
    def __init__(self, _path: Path, file: IO[bytes]) -> None:
        self._file, self._before = file, b"[\n"

    def write(self, row: dict[str, Any]) -> None:
        self._file.write(self._before + json.dumps(row, ensure_ascii=False).encode())
        self._before = b",\n"

    def close(self) -> None:
        self._file.write(b"\n]\n" if self._before == b",\n" else b"[]\n")


WRITERS: dict[str, Callable[[Path, IO[bytes]], Writer]] = {
    "jsonl": _Lines,
    "json": _Array,
    "csv": delimited.Writer,
    "tsv": delimited.Writer,
    "parquet": parquet.Writer,
}


def check_target(path: Path) -> None:
    """Raise `InputError` if a file of this name exists, or its ending names no kind of file that can be written."""
    if ending(path) not in WRITERS:
        endings = ", ".join(f".{name}" for name in WRITERS)
        raise InputError(f"{path}: the name's ending says what to write; use one of {endings} (and .gz behind it)")
    if path.exists():
        raise InputError(f"{path} exists already; choose another name or move it away")
    if not path.absolute().parent.is_dir():
        raise InputError(f"{path}: there is no folder {path.parent}; make it first")


@contextmanager
def writing(target: Path) -> Iterator[Writer]:
    """A writer of the kind that the target's ending names. The file takes its place whole at the end, or not at all."""
    staging = target.with_name(target.name + ".writing")
    try:
        with staging.open("wb") as plain:
            packed = target.name.endswith(".gz")
            file = cast(IO[bytes], gzip.GzipFile("", "wb", fileobj=plain, mtime=0)) if packed else plain
            writer = WRITERS[ending(target)](target, file)
            yield writer
            writer.close()
            if packed:
                file.close()
        staging.replace(target)
    finally:
        staging.unlink(missing_ok=True)
