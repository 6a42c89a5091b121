"""A disk that fails at one point: fault_table.py runs the ledger on it.

A point is one call that creates, writes, flushes, renames or removes, or one statement that changes the index. They
are those of Python's `os`, through which pathlib, shutil and the ledger go; SQLite's own writes are not seen, and its
statements stand for them.
"""

import errno
import os
import random
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

KINDS = {
    "open": "create a file", "write": "write", "ftruncate": "write", "fsync": "flush", "mkdir": "make a folder",
    "rename": "rename", "replace": "rename", "unlink": "remove", "remove": "remove", "rmdir": "remove",
    "sql": "database",
}  # fmt: skip
STOPS = ("stopped before", "stopped after", "power lost, all unflushed gone", "power lost, some unflushed gone")
ERRORS = {"no space from here on": errno.ENOSPC, "input/output error": errno.EIO, "permission denied": errno.EACCES}
WRITES = ("stopped halfway through the write", "the write is cut short")
real = {name: getattr(os, name) for name in KINDS if name != "sql"}


class Disk:
    """The points as they come. At number `at` the fault happens; a negative number: none does, they are counted."""

    def __init__(self, top: Path, lost: Path, at: int = -1, fault: str = "", seed: int = 0) -> None:
        self.top, self.lost, self.at, self.fault, self.chance = top, lost, at, fault, random.Random(seed)
        self.seen: list[str] = []
        self.kept: list[int] = []  # handles that keep the numbers of removed files from being used again
        self.flushed = {found.stat().st_ino: _state(found) for found in (top, *top.rglob("*"))}

    @contextmanager
    def watched(self) -> Iterator[None]:
        """With every call that changes the disk, and every statement that changes the index, made a point."""
        disk, connect = self, sqlite3.connect

        class Connection(sqlite3.Connection):
            def execute(self, statement: str, *values: Any) -> Any:
                call = super().execute
                if statement.lstrip().startswith(("SELECT", "PRAGMA")):
                    return call(statement, *values)
                return disk.point("sql", lambda: call(statement, *values))

        for name in real:
            setattr(os, name, self._hook(name))
        sqlite3.connect = lambda path, **b: connect(
            path, **b, **({} if path == ":memory:" else {"factory": Connection})
        )  # type: ignore[assignment,misc]
        try:
            yield
        finally:
            for name, call in real.items():
                setattr(os, name, call)
            sqlite3.connect = connect

    def _hook(self, name: str) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            def really() -> Any:
                if name in ("unlink", "remove", "rmdir") and "dir_fd" not in named:
                    self._keep(arguments[0])
                if name in ("rename", "replace"):
                    self._keep(arguments[1])
                result = real[name](*arguments, **named)
                if name == "fsync":
                    self.flushed[os.fstat(arguments[0]).st_ino] = _state(Path(f"/proc/self/fd/{arguments[0]}"))
                return result

            if name == "open" and not arguments[1] & os.O_CREAT:
                return really()
            half = (
                (lambda: real["write"](arguments[0], arguments[1][: len(arguments[1]) // 2]))
                if name == "write"
                else None
            )
            return self.point(name, really, half)

        return call

    def point(self, name: str, really: Callable[[], Any], half: Callable[[], int] | None = None) -> Any:
        """One call: done, or prevented by the fault."""
        here = len(self.seen) == self.at
        after = len(self.seen) > self.at >= 0
        self.seen.append(name)
        full = self.fault == "no space from here on" and name in ("open", "write", "mkdir", "sql")
        if not (here or (after and full)):
            return really()
        if self.fault in ERRORS:
            if half:
                half()
            if name == "sql":
                raise sqlite3.OperationalError("the disk says no")
            raise OSError(ERRORS[self.fault], os.strerror(ERRORS[self.fault]))
        if half and self.fault in WRITES:
            written = half()
            if self.fault == "the write is cut short" and written:
                return written
            os._exit(9)
        if self.fault != "stopped before":
            really()
        if self.fault.startswith("power lost"):
            self._lose(some="some" in self.fault)
        os._exit(9)

    def _keep(self, path: Any) -> None:
        with suppress(OSError):  # it may not be there
            self.kept.append(real["open"](path, os.O_RDONLY))

    def _lose(self, some: bool) -> None:
        """Write what a power cut leaves of `top` into `lost`."""
        now = {found.stat().st_ino: _state(found) for found in (self.top, *self.top.rglob("*"))}

        def build(number: int, target: Path, folder: bool) -> None:
            old, new = self.flushed.get(number), now.get(number)
            if not folder:
                if (
                    isinstance(new, bytes) and b"VARCHAR" in new
                ):  # the index of format 1, which SQLite itself has flushed
                    target.write_bytes(new)
                    return
                choices = [old or b"", *([new, new[: len(new) // 2]] if some and isinstance(new, bytes) else [])]
                target.write_bytes(self.chance.choice(choices) if old != new else (old or b""))  # type: ignore[arg-type]
                return
            target.mkdir()
            before, after = old or {}, new or {}
            assert isinstance(before, dict)
            assert isinstance(after, dict)
            for name in sorted({*before, *after}):
                side = self.chance.choice([before, after]) if some else before
                if name in side:
                    build(side[name][0], target / name, side[name][1])

        build(self.top.stat().st_ino, self.lost, True)


def _state(path: Path) -> bytes | dict[str, tuple[int, bool]]:
    """A file's content, or a folder's names: each with the number of what it names, and whether that is a folder."""
    if path.is_dir():
        return {entry.name: (entry.inode(), entry.is_dir()) for entry in os.scandir(path)}
    return path.read_bytes()
