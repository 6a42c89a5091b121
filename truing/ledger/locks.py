"""Kernel locks (flock): between processes on one machine, and gone with the process that held them, however it ends.

Over network file systems they are only as good as the server's; who mounts one there runs one process at a time.
"""

import contextlib
import fcntl
import os
import socket
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path


@contextlib.contextmanager
def shared(path: Path) -> Iterator[None]:
    """Hold a file's lock together with others; waits while one holds it alone."""
    handle = _take(path, fcntl.LOCK_SH)
    try:
        yield
    finally:
        os.close(handle)


@contextlib.contextmanager
def alone(path: Path, wait: bool = True, remove: bool = False) -> Iterator[None]:
    """Hold a file's lock alone, and say in the file who does. `remove` takes the file away in the end.

    Raises `BlockingIOError` where others hold it and `wait` is False.
    """
    handle = _take(path, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    try:
        os.ftruncate(handle, 0)
        since = datetime.now().astimezone().strftime("%Y-%m-%d %H:%M:%S %z")
        os.write(handle, f"process {os.getpid()} on {socket.gethostname()} since {since}\n".encode())
        yield
    finally:
        try:
            if remove:  # while it is still held: who waits for it finds the file gone, and makes a new one
                path.unlink(missing_ok=True)
        finally:
            os.close(handle)


def holder(path: Path) -> str | None:
    """Who holds a file's lock alone; None where nobody does."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return os.read(handle, 500).decode(errors="replace").strip() or "another process"
    finally:
        os.close(handle)
    return None


def _take(path: Path, how: int) -> int:
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(handle, how)
            if os.fstat(handle).st_ino == path.stat().st_ino:
                return handle
        except FileNotFoundError:
            pass  # its holder removed the file while we waited
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)
