"""Content-keyed bytes in files: what stages keep between runs. Each file carries its own hash: damage is noticed.

It is a cache: whatever is missing is computed again.
"""

import hashlib
from pathlib import Path

from truing.core.errors import RunError
from truing.ledger.disk import write_durably

_HASH_BYTES = 32


class FileStore:
    """A `Store` in a folder. A value appears whole or not at all. `used` are the names of the files that were asked for
    or kept since it was last cleared: an artifact remembers those of its step."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.used: set[str] = set()

    def get(self, key: str) -> bytes | None:
        """The bytes of a key, or None. Raises `RunError` naming a file that was damaged."""
        path = self._path(key)
        try:
            framed = path.read_bytes()
        except FileNotFoundError:
            return None
        self.used.add(path.name)
        content = framed[_HASH_BYTES:]
        if hashlib.sha256(content).digest() != framed[:_HASH_BYTES]:
            raise RunError(f"{path}: the file is damaged; delete it and run again, it will be computed anew")
        return content

    def put(self, key: str, content: bytes) -> None:
        """Keep bytes under a key, durably."""
        path = self._path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_durably(path, hashlib.sha256(content).digest(), content)
        self.used.add(path.name)

    def _path(self, key: str) -> Path:
        name = hashlib.sha256(key.encode()).hexdigest()
        return self._root / name[:2] / name


def whole(path: Path) -> bool:
    """Whether a file of a store holds what was put into it."""
    sha = hashlib.sha256()
    with path.open("rb") as file:
        claimed = file.read(_HASH_BYTES)
        while chunk := file.read(1 << 20):
            sha.update(chunk)
    return sha.digest() == claimed
