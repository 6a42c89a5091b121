"""The index: artifacts by id, key, name and row, in SQLite. A cache of the folders, made from them and never asked what
is true: where it is missing, damaged or cannot be written, it is made again, in memory if need be.

It also remembers artifacts whose folder has gone, so that `verify` can tell of the loss.
"""

import contextlib
import os
import sqlite3
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from itertools import zip_longest
from pathlib import Path
from typing import TypeVar

from truing.ledger import locks
from truing.ledger.artifacts import Artifact, Made
from truing.ledger.disk import sync_folder
from truing.ledger.folders import DamagedError, all_folders, read_artifact, read_rows, stamp

NAME = "ledger.sqlite"
_VERSION = "2"  # of these tables; an index of another version is made anew. Version 1 belonged to ledgers of format 1.
_BUSY_SECONDS = 30.0
_TABLES = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS artifacts (
    id TEXT PRIMARY KEY, stamp TEXT NOT NULL, used TEXT NOT NULL,
    key TEXT, kind TEXT NOT NULL, name TEXT NOT NULL, record TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS by_key ON artifacts (key);
CREATE INDEX IF NOT EXISTS by_name ON artifacts (name);
CREATE TABLE IF NOT EXISTS rows (
    artifact TEXT, place INTEGER, row_id TEXT NOT NULL, row_sha256 TEXT NOT NULL, PRIMARY KEY (artifact, place)
);
CREATE INDEX IF NOT EXISTS by_row ON rows (row_id);
CREATE INDEX IF NOT EXISTS by_row_sha256 ON rows (row_sha256);
"""
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR}  # the last: a table is missing
_FAILED = (sqlite3.DatabaseError, UnicodeDecodeError)  # the latter where SQLite's message quotes bytes that are no text

Answer = TypeVar("Answer")


class Index:
    """The index of the ledger in `root`; `on_disk` is False where the folder cannot be written."""

    def __init__(self, root: Path, on_disk: bool = True) -> None:
        self._root = root
        self._kept: tuple[tuple[int, int], sqlite3.Connection] | None = None
        self._memory: sqlite3.Connection | None = None if on_disk else self._in_memory()
        self.refresh()

    def ask(self, question: Callable[[sqlite3.Connection], Answer]) -> Answer:
        """Answer from the index as it stands."""
        for attempt in (1, 2):
            if self._memory is not None:
                break
            try:
                with self._connection() as connection:
                    return question(connection)
            except _FAILED as error:
                self.close()
                code = getattr(error, "sqlite_errorcode", None) or 0
                damaged = isinstance(error, UnicodeDecodeError) or code & 0xFF in _DAMAGED
                if damaged and attempt == 1:
                    self._discard()
                else:  # the disk is full, cannot be written, or another process keeps it locked
                    self._memory = self._in_memory()
        assert self._memory is not None
        return question(self._memory)

    def refresh(self) -> None:
        """Read every folder that is new, or whose circumstances were written since, into the index."""
        self.ask(lambda connection: _refresh(connection, self._root))

    def remove(self) -> None:
        """Remove the file, and flush that: what it remembers of artifacts that are about to go is gone before them."""
        self.close()
        self._memory = None
        # The log first: SQLite would read it into a new file.
        for name in (f"{NAME}-wal", f"{NAME}-shm", NAME):
            (self._root / name).unlink(missing_ok=True)
        sync_folder(self._root)

    def close(self) -> None:
        """Close the file; the next question opens it again."""
        if self._kept is not None:
            (process, _), connection = self._kept
            self._kept = None
            _close(connection, process)

    @contextlib.contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        """One connection is kept, for the process and thread that opened it; others have one for each question."""
        here = (os.getpid(), threading.get_ident())
        if self._kept is None:
            connection = _open(self._root / NAME)
            self._kept = (here, connection)
            weakref.finalize(self, _close, connection, os.getpid())
        owner, connection = self._kept
        if owner == here:
            yield connection
        else:
            with contextlib.closing(_open(self._root / NAME)) as connection:
                yield connection

    def _in_memory(self) -> sqlite3.Connection:
        connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        weakref.finalize(self, connection.close)
        connection.executescript(_TABLES)
        _refresh(connection, self._root)
        return connection

    def _discard(self) -> None:
        """Remove a damaged index, and make it anew."""
        try:
            with locks.alone(self._root / f"{NAME}.lock", remove=True):
                try:
                    with contextlib.closing(_open(self._root / NAME)) as connection:
                        if check(connection) == []:
                            return  # another process was faster
                except _FAILED:
                    pass
                self.remove()
            with contextlib.closing(_open(self._root / NAME)) as connection:
                _refresh(connection, self._root)
        except (OSError, *_FAILED):
            self._memory = self._in_memory()


def by_key(connection: sqlite3.Connection, key: str) -> list[Artifact]:
    """Artifacts made from these inputs, newest first."""
    return _read(connection, "WHERE key = ?", key)


def by_reference(connection: sqlite3.Connection, reference: str) -> list[Artifact]:
    """Artifacts whose id begins so, or whose name it is; newest first."""
    return _read(connection, "WHERE (id >= ? AND id < ? || 'g') OR name = ?", reference, reference, reference)


def all_artifacts(connection: sqlite3.Connection, kind: str | None = None, limit: int | None = None) -> list[Artifact]:
    """All artifacts (of a kind), or the newest `limit` of them; newest first."""
    found = _read(connection, "") if kind is None else _read(connection, "WHERE kind = ?", kind)
    return found[:limit]


def rows_of(connection: sqlite3.Connection, artifact: str) -> list[tuple[str, str]]:
    """(id, sha256) of an artifact's rows, in order."""
    query = "SELECT row_id, row_sha256 FROM rows WHERE artifact = ? ORDER BY place"
    return [(row_id, sha) for row_id, sha in connection.execute(query, (artifact,))]


def holds(connection: sqlite3.Connection, artifact: str, rows: Iterable[tuple[str, str]]) -> bool:
    """Whether these are the rows that the index has of an artifact, in this order."""
    query = "SELECT row_id, row_sha256 FROM rows WHERE artifact = ? ORDER BY place"
    return all(one == other for one, other in zip_longest(connection.execute(query, (artifact,)), rows))


def artifacts_with_row(connection: sqlite3.Connection, reference: str) -> list[str]:
    """Ids of artifacts that hold a row of this id, or whose sha256 begins so."""
    begins = "(row_sha256 >= ? AND row_sha256 < ? || 'g')"  # a digit of a sha256 sorts before g
    query = f"SELECT DISTINCT artifact FROM rows WHERE row_id = ? OR {begins}"
    return [found for (found,) in connection.execute(query, (reference,) * 3)]


def newest_use(connection: sqlite3.Connection) -> datetime | None:
    """When an artifact was last made or used."""
    (found,) = connection.execute("SELECT max(used) FROM artifacts").fetchone()
    return None if found is None else datetime.fromisoformat(found)


def entries(connection: sqlite3.Connection) -> dict[str, tuple[str, ...]]:
    """All that the index says of artifacts, by id: (used, key, kind, name, record)."""
    query = "SELECT id, used, key, kind, name, record FROM artifacts"
    return {identity: tuple(rest) for identity, *rest in connection.execute(query)}


def entry(artifact: Artifact, made: Made) -> tuple[str | None, ...]:
    """What the index should say of an artifact."""
    used = made.used.astimezone(UTC).isoformat(timespec="microseconds")
    return used, artifact.key, artifact.kind, artifact.name, artifact.model_dump_json()


def check(connection: sqlite3.Connection) -> list[str]:
    """What SQLite itself finds damaged in the file."""
    try:
        lines = [line for (line,) in connection.execute("PRAGMA integrity_check")]
    except _FAILED as error:
        return [str(error)]
    return [line for line in lines if line != "ok"]


def _open(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")  # a power cut may take the last entries: the folders have them
        version = _version(connection)
        if version != _VERSION:
            _write(connection, lambda: _create(connection))
    except BaseException:
        connection.close()
        raise
    return connection


def _close(connection: sqlite3.Connection, process: int) -> None:
    if os.getpid() == process:  # a forked child leaves its parent's files alone
        connection.close()


def _version(connection: sqlite3.Connection) -> str | None:
    if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'meta'").fetchone() is None:
        return None
    found = connection.execute("SELECT value FROM meta WHERE name = 'schema'").fetchone()
    return None if found is None else str(found[0])


def _create(connection: sqlite3.Connection) -> None:
    """Make the tables, in place of another version's. Two processes may come here at once."""
    if _version(connection) == _VERSION:
        return
    for table in ("rows", "artifacts", "meta"):
        connection.execute(f"DROP TABLE IF EXISTS {table}")
    for statement in _TABLES.split(";"):
        connection.execute(statement)
    # An older truing finds its own table with a version that it does not know, and refuses.
    connection.execute("INSERT INTO meta VALUES ('schema', ?)", (_VERSION,))


def _refresh(connection: sqlite3.Connection, root: Path) -> None:
    known = dict(connection.execute("SELECT id, stamp FROM artifacts"))
    changed = {}
    for folder in all_folders(root):
        now = stamp(folder)
        if now is not None and known.get(folder.name) != now:
            changed[folder] = now

    def enter_all() -> None:
        for folder, now in changed.items():
            _enter(connection, folder, now)

    if changed:
        _write(connection, enter_all)


def _enter(connection: sqlite3.Connection, folder: Path, now: str) -> None:
    try:
        artifact, made = read_artifact(folder)
    except DamagedError:
        return  # not to be found under any name; `verify` reads the folders and says why
    try:
        rows = read_rows(folder, made)
    except DamagedError:
        rows = iter(())
    _forget(connection, artifact.id)
    connection.execute("INSERT INTO artifacts VALUES (?, ?, ?, ?, ?, ?, ?)", (artifact.id, now, *entry(artifact, made)))
    values = ((artifact.id, place, row_id, sha) for place, (row_id, sha) in enumerate(rows))
    connection.executemany("INSERT INTO rows VALUES (?, ?, ?, ?)", values)


def _forget(connection: sqlite3.Connection, identity: str) -> None:
    connection.execute("DELETE FROM artifacts WHERE id = ?", (identity,))
    connection.execute("DELETE FROM rows WHERE artifact = ?", (identity,))


def _write(connection: sqlite3.Connection, change: Callable[[], object]) -> None:
    """One transaction. It takes the lock at once: a reader's lock could not always be turned into a writer's."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        change()
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _read(connection: sqlite3.Connection, condition: str, *values: object) -> list[Artifact]:
    query = f"SELECT record FROM artifacts {condition} ORDER BY used DESC, id"
    try:
        return [Artifact.model_validate_json(record) for (record,) in connection.execute(query, values)]
    except ValueError as error:
        damaged = sqlite3.DatabaseError(f"a record cannot be read: {error}")
        damaged.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
        raise damaged from None
