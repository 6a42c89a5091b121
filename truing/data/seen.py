"""Which keys were met, and in which line first: exact, and in bounded memory, for files of any length.

A private SQLite database holds them; it moves to the disk by itself once it outgrows its cache of 16 MB.
"""

import sqlite3


class Seen:
    """Keys with the line that each first stood in."""

    def __init__(self) -> None:
        self._database = sqlite3.connect("", isolation_level=None)
        for statement in (
            "PRAGMA journal_mode = OFF",
            "PRAGMA cache_size = -16000",
            "CREATE TABLE seen (key TEXT PRIMARY KEY, line INTEGER) WITHOUT ROWID",
            "BEGIN",
        ):
            self._database.execute(statement)

    def first(self, key: str, line: int) -> int | None:
        """The earlier line of a key, or None, and then this line is noted."""
        added = self._database.execute("INSERT OR IGNORE INTO seen VALUES (?, ?)", (key, line)).rowcount
        if added:
            return None
        earlier: int = self._database.execute("SELECT line FROM seen WHERE key = ?", (key,)).fetchone()[0]
        return earlier

    def __len__(self) -> int:
        return int(self._database.execute("SELECT count(*) FROM seen").fetchone()[0])

    def close(self) -> None:
        """Forget all of it."""
        self._database.close()
