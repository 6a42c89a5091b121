"""Parquet, read and written a batch of rows at a time, through pyarrow (the extra `parquet`).

Parquet has no missing keys, only nulls: a null at the top of a row counts as a key that is not there.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from truing.core.errors import InputError
from truing.core.records import Comparison
from truing.data.rows import Row, RowError

MAGIC = b"PAR1"
BATCH = 1000
GROUP = 5000  # rows of a written row group: each costs the reader some memory for the whole file's sake


def _pyarrow() -> Any:
    try:
        import pyarrow.parquet
    except ModuleNotFoundError:
        raise InputError("Parquet needs pyarrow; run `pip install 'truing[parquet]'`") from None
    return pyarrow


def read(path: Path) -> Iterator[Row]:
    """Every row, numbered from 1. Raises `InputError` if the file cannot be read at all."""
    pyarrow = _pyarrow()
    number = 0
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            for batch in _batches(file):
                for row in _rows(pyarrow, batch):
                    number += 1
                    value, raw = row if isinstance(row, tuple) else (row, b"")
                    yield Row(number, value, raw, unit="row")
    except (pyarrow.ArrowException, OSError) as error:
        raise InputError(f"{path}: cannot be read as Parquet ({str(error).splitlines()[0]})") from None


def _batches(file: Any) -> Iterator[Any]:
    """Row group by row group: asked for all of them at once, pyarrow keeps something of each to the end."""
    for group in range(file.num_row_groups):
        yield from file.iter_batches(batch_size=BATCH, row_groups=[group])


def _rows(pyarrow: Any, batch: Any) -> Iterator[dict[str, Any] | tuple[RowError, bytes]]:
    """The batch's rows; one whose texts are not UTF-8 (pyarrow does not look before they are asked for) comes as what
    is wrong with it and its content, and does not cost the others."""
    try:
        for row in batch.to_pylist():
            yield _present(row)
        return
    except UnicodeDecodeError:
        pass
    kinds = pyarrow.schema([(one.name, _as_bytes(pyarrow, one.type)) for one in batch.schema])
    for place in range(batch.num_rows):
        one = batch.slice(place, 1)
        try:
            yield _present(one.to_pylist()[0])
        except UnicodeDecodeError as error:
            content = _as_text(one.cast(kinds).to_pylist()[0])
            yield RowError(f"not valid UTF-8 ({error.reason})"), json.dumps(content, default=str).encode()


def _present(row: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in row.items() if value is not None}


def _as_bytes(pyarrow: Any, kind: Any) -> Any:
    """The type with bytes in the place of texts."""
    if pyarrow.types.is_string(kind) or pyarrow.types.is_large_string(kind):
        return pyarrow.binary()
    if pyarrow.types.is_list(kind):
        return pyarrow.list_(_as_bytes(pyarrow, kind.value_type))
    if pyarrow.types.is_struct(kind):
        return pyarrow.struct([(one.name, _as_bytes(pyarrow, one.type)) for one in kind])
    return kind


def _as_text(value: Any) -> Any:
    """Bytes as texts in which what is not UTF-8 stands as half surrogates, so that nothing is lost."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    if isinstance(value, list):
        return [_as_text(one) for one in value]
    return {key: _as_text(one) for key, one in value.items()} if isinstance(value, dict) else value


class Writer:
    """Writes rows of one form; the columns are those that the form may have."""

    def __init__(self, _path: Path, file: IO[bytes]) -> None:
        self._pyarrow = _pyarrow()
        self._file = file
        self._batch: list[dict[str, Any]] = []
        self._writer: Any = None

    def write(self, row: dict[str, Any]) -> None:
        """Add one row."""
        self._batch.append(row)
        if len(self._batch) == GROUP:
            self._flush()

    def close(self) -> None:
        """Write what is left, and the file's footer."""
        self._flush()
        self._writer.close()

    def _flush(self) -> None:
        if self._writer is None:
            self._schema = self._pyarrow.schema(_columns(self._pyarrow, self._batch[0]))
            self._writer = self._pyarrow.parquet.ParquetWriter(self._file, self._schema)
        self._writer.write_batch(self._pyarrow.RecordBatch.from_pylist(self._batch, schema=self._schema))
        self._batch = []


def _columns(pyarrow: Any, first: dict[str, Any]) -> list[tuple[str, Any]]:
    """(name, type) of each column, told by the first row; a native row leaves unset keys out, a column may not."""
    turns = pyarrow.list_(pyarrow.struct([("role", pyarrow.string()), ("content", pyarrow.string())]))
    kinds = {"strength": pyarrow.int8(), "tie": pyarrow.bool_(), "both_bad": pyarrow.bool_(), "label": pyarrow.bool_()}
    native = "id" in first
    names = Comparison.model_fields if native else first
    return [(name, turns if isinstance(first.get(name), list) else kinds.get(name, pyarrow.string())) for name in names]
