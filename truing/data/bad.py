"""Bad rows kept whole in a file of their own, one JSON object each: file, line, reason, and the row as it stood.

A row that is UTF-8 stands in `text` (so `jq -r .text` gives the lines back), any other in `base64`, however long it is.
"""

import base64
import json
from pathlib import Path
from typing import IO, Any

from truing.core.errors import InputError
from truing.data.rows import BadRow

_PIECE = 3 << 18  # bytes, a multiple of 3: base64 of the pieces is base64 of the whole


class BadFile:
    """Where bad rows go; there is no file before the first. It takes its place when closed, whole.

    Raises `InputError` if a file of that name holds anything but bad rows of an earlier run.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._staging = path.with_name(path.name + ".writing")
        self._file: IO[str] | None = None
        if path.exists() and not _ours(path):
            raise InputError(f"{path} exists and holds no bad rows; move it away: bad rows would be written there")

    def add(self, bad: BadRow) -> None:
        """Write one row."""
        if self._file is None:
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self._file = self._staging.open("w", encoding="utf-8")
            except OSError as error:
                raise InputError(f"{self.path}: bad rows cannot be written there ({error.strerror})") from None
        head = {"file": str(bad.file), "line": bad.line, "reason": bad.reason}
        if isinstance(bad.raw, bytes):
            self._file.write(json.dumps({**head, **_content(bad.raw)}, ensure_ascii=True) + "\n")
            return
        self._file.write(json.dumps(head)[:-1] + ', "base64": "')
        while piece := bad.raw.read(_PIECE):
            self._file.write(base64.b64encode(piece).decode())
        self._file.write('"}\n')

    def close(self) -> None:
        """Put the file in its place; a file of an earlier run makes room, even where there is no bad row now."""
        if self._file is None:
            if self.path.exists():
                self.path.unlink()
            return
        self._file.close()
        self._staging.replace(self.path)

    def discard(self) -> None:
        """Leave no trace of a run that broke off."""
        if self._file is not None:
            self._file.close()
            self._staging.unlink(missing_ok=True)


def _content(raw: bytes) -> dict[str, Any]:
    try:
        return {"text": raw.decode()}
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(raw).decode()}


def _ours(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            # A row's beginning is enough: it may be long.
            return file.read(64).startswith(b'{"file": "')
    except OSError:
        return False
