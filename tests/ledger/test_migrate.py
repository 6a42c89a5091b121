"""A ledger of an older format is brought to this one with nothing lost; one of a newer truing is refused."""

import json
import shutil
import sqlite3
import tarfile
from pathlib import Path
from typing import Any

import pytest

from truing.core.errors import InputError, RunError
from truing.ledger import locks, migrate
from truing.ledger.artifacts import Artifact
from truing.ledger.garbage import collect
from truing.ledger.integrity import verify
from truing.ledger.ledger import Ledger


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A ledger as truing wrote it when times and rows were in its index alone; expected.json is what it held."""
    with tarfile.open(Path(__file__).with_name("format-1.tar.gz")) as tar:
        tar.extractall(tmp_path, filter="data")
    return tmp_path / ".truing"


@pytest.fixture
def expected(old: Path) -> Any:
    return json.loads((old.parent / "expected.json").read_text())


def held(ledger: Ledger) -> Any:
    artifacts = ledger.list()
    return {
        "artifacts": [artifact.model_dump(mode="json") for artifact in artifacts],
        "rows": {one.id: [list(row) for row in ledger.rows(one)] for one in artifacts if ledger.rows(one)},
    }


def test_everything_is_there_as_it_was_in_the_same_order_of_use(old: Path, expected: Any) -> None:
    ledger = Ledger.open(old, create=False)
    assert held(ledger) == expected
    assert verify(ledger) == []
    assert migrate.format_of(old) == migrate.FORMAT == 1 + len(migrate.MIGRATIONS)
    assert ledger.store.get("answers") == b"kept"
    assert (ledger.workspace("k" * 64) / "checkpoint").read_text() == "half"
    # And from now on nothing is lost with the index.
    ledger.index.remove()
    assert held(Ledger.open(old)) == expected


def test_it_is_migrated_once_and_the_old_index_stays(old: Path, expected: Any) -> None:
    Ledger.open(old).index.close()
    before = {path: path.read_bytes() for path in old.rglob("*.json*")}
    (old / migrate.FILE).unlink()  # as if stopped before the number was written
    assert held(Ledger.open(old)) == expected
    assert {path: path.read_bytes() for path in old.rglob("*.json*")} == before
    assert sqlite3.connect(old / migrate.OLD_INDEX).execute("SELECT count(*) FROM artifacts").fetchone() == (5,)


def test_what_an_old_artifact_used_of_the_store_is_not_known_so_the_store_stays(old: Path) -> None:
    plan = collect(Ledger.open(old), unfinished=True)
    assert "is not known" in plan.left[0]
    assert Ledger.open(old).store.get("answers") == b"kept"


def test_rows_that_a_log_still_held_are_read(old: Path, expected: Any) -> None:
    """A process that was killed leaves its last entries in ledger.sqlite-wal."""
    connection = sqlite3.connect(old / "ledger.sqlite", isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("UPDATE rows SET row_id = 'late' WHERE place = 0")
    copy = old.parent / "copy" / ".truing"
    shutil.copytree(old, copy)
    connection.close()
    assert (copy / "ledger.sqlite-wal").stat().st_size > 0
    ledger = Ledger.open(copy)
    (rows,) = held(ledger)["rows"].values()
    assert rows[0][0] == "late"
    assert rows[1:] == next(iter(expected["rows"].values()))[1:]


def test_a_damaged_old_index_is_no_reason_to_forget_in_silence(old: Path) -> None:
    (old / "ledger.sqlite").write_bytes(b"this is no database" * 100)
    with pytest.raises(RunError, match="restore it from a copy, or delete it to go on without"):
        Ledger.open(old)
    (old / "ledger.sqlite").unlink()
    ledger = Ledger.open(old)
    assert {artifact.code_version for artifact in ledger.list()} == {"unknown"}
    assert len(verify(ledger)) == 5  # and it says so


def test_a_newer_ledger_is_refused_and_a_damaged_number_is_named(tmp_path: Path) -> None:
    ledger = Ledger.open(tmp_path / "l")
    path = ledger.root / migrate.FILE
    for create in (True, False):
        path.write_text("99\n")
        with pytest.raises(RunError, match=r"made by a newer truing \(format 99, known 2\); update truing"):
            Ledger.open(ledger.root, create=create)
    path.write_text("?\n")
    with pytest.raises(RunError, match="format: the file is damaged; delete it"):
        Ledger.open(ledger.root)
    path.unlink()
    assert verify(Ledger.open(ledger.root)) == []


def test_where_nothing_can_be_written_an_old_ledger_is_refused_in_a_sentence(
    old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> int:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(locks, "_take", refuse)
    with pytest.raises(InputError, match=r"cannot be brought to this version's format here \(Read-only file system\)"):
        Ledger.open(old, create=False)


def test_an_older_truing_refuses_the_new_index(tmp_path: Path) -> None:
    """It reads the version from the same table, and stops at one that it does not know."""
    ledger = Ledger.open(tmp_path / "l")
    (found,) = sqlite3.connect(ledger.root / "ledger.sqlite").execute("SELECT value FROM meta WHERE name = 'schema'")
    assert int(found[0]) > 1


def test_an_artifact_is_what_it_was(old: Path, expected: Any) -> None:
    ledger = Ledger.open(old)
    for record in expected["artifacts"]:
        assert ledger.get(record["id"]) == Artifact.model_validate(record)
