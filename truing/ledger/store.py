"""Content-keyed bytes in files: what stages keep between runs. Each file carries its own hash: damage is noticed."""

import hashlib
import os
import tempfile
from pathlib import Path

from truing.core.errors import RunError

_HASH_BYTES = 32


class FileStore:
    """A `Store` in a folder. A value appears whole or not at all."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def get(self, key: str) -> bytes | None:
        """The bytes of a key, or None. Raises `RunError` naming a file that was damaged."""
        path = self._path(key)
        try:
            framed = path.read_bytes()
        except FileNotFoundError:
            return None
        content = framed[_HASH_BYTES:]
        if hashlib.sha256(content).digest() != framed[:_HASH_BYTES]:
            raise RunError(f"{path}: the file is damaged; delete it and run again, it will be computed anew")
        return content

    def put(self, key: str, content: bytes) -> None:
        """Keep bytes under a key, durably."""
        path = self._path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_durably(path, hashlib.sha256(content).digest() + content)

    def _path(self, key: str) -> Path:
        name = hashlib.sha256(key.encode()).hexdigest()
        return self._root / name[:2] / name


def write_durably(path: Path, content: bytes) -> None:
    """Write beside the target, flush to the disk, and rename: readers see the old file or the new one."""
    handle, staging = tempfile.mkstemp(prefix=".writing-", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(staging, path)
    except BaseException:
        Path(staging).unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Flush a folder's entries, so that a rename survives a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
