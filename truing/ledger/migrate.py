"""The ledger's format: a number in the file `format`, and how a ledger of an older format is brought to this one.

Migrations are only ever added, at the end. Each may be stopped anywhere and begun again; its number is written last.
"""

import contextlib
import re
import sqlite3
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from truing.core.errors import InputError, RunError
from truing.ledger import folders, locks
from truing.ledger.artifacts import Artifact, Made
from truing.ledger.disk import sync_folder, write_durably
from truing.ledger.index import NAME

FILE = "format"
LOCK = "lock"
OLD_INDEX = "ledger-format-1.sqlite"


def _facts_beside_the_manifest(root: Path) -> None:
    """Format 1 kept times, code versions and rows in the index alone. They go beside each manifest; the old index stays
    as ledger-format-1.sqlite, and a new one is made from the folders."""
    old = root / OLD_INDEX
    if (root / NAME).is_file() and not old.exists():
        _set_aside(root / NAME, old)
    known = _read_format_1(old) if old.is_file() else {}
    for folder in folders.all_folders(root):
        if folder.name not in known or (folder / folders.MADE).exists():
            continue
        made, rows = known[folder.name]
        folders.write_made(folder, made.model_copy(update={"rows": folders.write_rows(folder, rows)}))


MIGRATIONS: tuple[Callable[[Path], None], ...] = (_facts_beside_the_manifest,)
FORMAT = 1 + len(MIGRATIONS)


def format_of(root: Path) -> int:
    """The format of the ledger in a folder; without the file it is 1, whose ledgers had none. Raises `RunError` for a
    damaged file."""
    path = root / FILE
    try:
        written = path.read_bytes()
    except FileNotFoundError:
        return 1
    if not re.fullmatch(rb"[1-9][0-9]*\n", written):
        raise RunError(f"{path}: the file is damaged; delete it, and the ledger is read again from its folders")
    return int(written)


def bring_to_date(root: Path) -> None:
    """Migrate a ledger of an older format. Raises `RunError` if a newer truing made it, and `InputError` if it would
    have to be migrated and cannot be written."""
    if format_of(root) == FORMAT:
        return
    if format_of(root) < FORMAT:
        try:
            with locks.alone(root / LOCK):
                while (number := format_of(root)) < FORMAT:
                    MIGRATIONS[number - 1](root)
                    write_durably(root / FILE, f"{number + 1}\n".encode())
        except OSError as error:
            raise InputError(
                f"{root}: an older truing made this ledger, and it cannot be brought to this version's format here "
                f"({error.strerror}); copy it to where it can be written"
            ) from None
    if (found := format_of(root)) > FORMAT:
        raise RunError(f"{root}: made by a newer truing (format {found}, known {FORMAT}); update truing")


def _set_aside(index: Path, old: Path) -> None:
    """Rename a format 1 index, with its log written into it: the log goes by the file's name."""
    try:
        with contextlib.closing(sqlite3.connect(index, timeout=30)) as connection:
            if connection.execute("SELECT value FROM meta WHERE name = 'schema'").fetchone() != ("1",):
                return  # an index of this format: only the file `format` was lost
            connection.execute("PRAGMA journal_mode=DELETE")
    except sqlite3.DatabaseError as error:
        raise RunError(
            f"{index}: the database of this ledger of format 1 is damaged ({error}); restore it from a copy, or delete "
            "it to go on without the times and rows that only it knew"
        ) from None
    index.rename(old)
    sync_folder(index.parent)


def _read_format_1(path: Path) -> dict[str, tuple[Made, list[tuple[str, str]]]]:
    """Circumstances and rows by artifact. Format 1 knew an order of use, but no times: each is put after the one
    before it."""
    found: dict[str, tuple[Made, list[tuple[str, str]]]] = {}
    latest = None
    with contextlib.closing(sqlite3.connect(path)) as connection:
        for (record,) in connection.execute("SELECT record FROM artifacts ORDER BY number").fetchall():
            artifact = Artifact.model_validate_json(record)
            used = artifact.created
            if latest is not None and used <= latest:
                used = latest + timedelta(microseconds=1)
            latest = used
            query = "SELECT row_id, row_sha256 FROM rows WHERE artifact = ? ORDER BY place"
            rows = connection.execute(query, (artifact.id,)).fetchall()
            made = Made(created=artifact.created, code_version=artifact.code_version, used=used, store=folders.UNKNOWN)
            found[artifact.id] = (made, rows)
    return found
