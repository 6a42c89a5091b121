"""Writing to the disk so that a crash or a power cut leaves the old or the new and never half of it.

What a file system promises (POSIX, as ext4, XFS, btrfs and APFS keep it): a rename is whole or not at all; content is
there after a power cut once the file was flushed, and a name once its folder was. Whether the disk itself obeys a flush
is not known here.
"""

import os
import secrets
from collections.abc import Iterable
from pathlib import Path

WRITING = ".writing-"  # how the name of an unfinished file begins


def write_durably(path: Path, *parts: bytes) -> None:
    """Write beside the target, flush to the disk, and rename: readers see the old file or the new one."""
    write_pieces_durably(path, parts)


def write_pieces_durably(path: Path, parts: Iterable[bytes]) -> None:
    """As `write_durably`, for what is made piece by piece while it is written."""
    staging = path.with_name(WRITING + secrets.token_hex(8))
    try:
        handle = os.open(staging, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        try:
            for part in parts:
                _write(handle, part)
            os.fsync(handle)
        finally:
            os.close(handle)
        os.replace(staging, path)
    except BaseException:
        staging.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def _write(handle: int, content: bytes) -> None:
    left = memoryview(content)
    while left:  # the system may write less than it was given
        left = left[os.write(handle, left) :]


def sync_file(path: Path) -> None:
    """Flush a file's content."""
    _sync(path)


def sync_folder(folder: Path) -> None:
    """Flush a folder's entries, so that a new name in it, or a rename, survives a power cut."""
    _sync(folder)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
