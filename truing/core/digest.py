"""Content addresses: sha256 over canonical JSON and over files.

Canonical JSON here means sorted keys, no spaces, UTF-8, and no NaN: two equal values always give the same digest.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel

_CHUNK_BYTES = 1 << 20


def canonical_json(value: Any) -> bytes:
    """Encode a JSON-like value (pydantic records included) so that equal values give equal bytes.

    Raises `ValueError` on NaN or infinity and `TypeError` on anything that JSON cannot say.
    """

    def encode(item: Any) -> Any:
        if isinstance(item, BaseModel):
            return item.model_dump(mode="json")
        if isinstance(item, Path):
            return str(item)
        raise TypeError(f"{type(item).__name__} has no canonical JSON form")

    text = json.dumps(value, default=encode, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode()


def digest(value: Any) -> str:
    """sha256 (hex) of a value's canonical JSON."""
    return hashlib.sha256(canonical_json(value)).hexdigest()


def digest_bytes(content: bytes) -> str:
    """sha256 (hex) of bytes."""
    return hashlib.sha256(content).hexdigest()


def digest_file(path: Path) -> str:
    """sha256 (hex) of a file, read in chunks."""
    sha = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            sha.update(chunk)
    return sha.hexdigest()
