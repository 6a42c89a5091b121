"""Verify finds one flipped byte anywhere, names each kind of damage, and cries no wolf."""

import contextlib
import shutil
import sqlite3
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.ledger.conftest import FAST, Make, of, weights
from truing.core.errors import TruingError
from truing.ledger.artifacts import Artifact
from truing.ledger.index import NAME
from truing.ledger.integrity import verify
from truing.ledger.ledger import Ledger


def test_a_whole_ledger_has_no_problems(ledger: Ledger, chain: Callable[..., Artifact]) -> None:
    assert verify(ledger) == []
    chain()
    assert verify(ledger) == []


def test_verify_finds_any_flipped_byte_and_names_the_artifact(ledger: Ledger, make: Make) -> None:
    artifact, whole = make("some text", metrics={"x": 1e-05}), make("another")
    for path in (weights(ledger, artifact), ledger.folder(artifact) / "manifest.json"):
        content = path.read_bytes()
        for place in range(0, len(content), 7):
            path.write_bytes(content[:place] + bytes([content[place] ^ 0x20]) + content[place + 1 :])
            problems = verify(ledger)
            assert {problem.artifact for problem in problems} == {artifact.id}, (path.name, place)
        path.write_bytes(content)
        assert verify(ledger) == []
    manifest = ledger.folder(artifact) / "manifest.json"
    manifest.write_bytes(manifest.read_bytes().replace(b"1e-05", b"1E-05"))  # the same number, other bytes
    assert [problem.what for problem in verify(ledger)] == ["its manifest does not match its id"]
    assert whole.id not in {problem.artifact for problem in verify(ledger)}


def _remove_folder(ledger: Ledger, artifact: Artifact) -> None:
    ledger.folder(artifact).rename(ledger.root / "away")


def _forget(ledger: Ledger, artifact: Artifact) -> None:
    _sql(ledger.root, "DELETE FROM artifacts WHERE id = ?", artifact.id)


def _garble(ledger: Ledger, artifact: Artifact) -> None:
    _sql(ledger.root, "UPDATE artifacts SET record = '{' WHERE id = ?", artifact.id)


def _rewrite(ledger: Ledger, artifact: Artifact) -> None:
    _sql(
        ledger.root,
        """UPDATE artifacts SET record = replace(record, '"seed":0', '"seed":1') WHERE id = ?""",
        artifact.id,
    )


def _misfile(ledger: Ledger, artifact: Artifact) -> None:
    _sql(ledger.root, "UPDATE artifacts SET key = 'another' WHERE id = ?", artifact.id)


def _change_row(ledger: Ledger, artifact: Artifact) -> None:
    _sql(ledger.root, "UPDATE rows SET row_sha256 = 'another' WHERE artifact = ?", artifact.id)


def _hide(ledger: Ledger, artifact: Artifact) -> None:
    (ledger.root / "objects" / "00").mkdir()
    ledger.folder(artifact).rename(ledger.root / "objects" / "00" / artifact.id)


def _add_file(ledger: Ledger, artifact: Artifact) -> None:
    (ledger.folder(artifact) / "extra").write_text("")


def _remove_file(ledger: Ledger, artifact: Artifact) -> None:
    weights(ledger, artifact).unlink()


def _sql(root: Path, statement: str, *values: str) -> None:
    connection = sqlite3.connect(root / "ledger.sqlite")
    assert connection.execute(statement, values).rowcount == 1
    connection.commit()
    connection.close()


@pytest.mark.parametrize(
    ("damage", "what"),
    [
        (_remove_folder, "folder is missing"),
        (_garble, "the index's record of it is not what its folder says; delete ledger.sqlite"),
        (_rewrite, "the index's record of it is not what its folder says"),
        (_misfile, "the index's record of it is not what its folder says"),
        (_change_row, "the index's rows of it are not what its folder says"),
        (_hide, "in objects/00, where it is not looked for"),
        (_add_file, "extra does not belong to it"),
        (_remove_file, "weights.txt is missing"),
    ],
)
def test_verify_names_each_kind_of_damage_and_does_not_stop_at_it(
    ledger: Ledger, make: Make, damage: Callable[[Ledger, Artifact], None], what: str
) -> None:
    artifact = make("one", rows=[("r", "0" * 64)])
    assert artifact.id[:2] != "00"
    make("two")
    damage(ledger, artifact)
    (problem,) = verify(ledger)
    assert problem.artifact == artifact.id
    assert what in problem.what


def test_an_entry_that_the_index_lost_is_read_again_from_its_folder(ledger: Ledger, make: Make) -> None:
    artifact = make("one", rows=[("r", "0" * 64)])
    _forget(ledger, artifact)
    assert verify(ledger) == []
    assert (ledger.list(), ledger.rows(artifact)) == ([artifact], [("r", "0" * 64)])


def test_verify_names_a_child_whose_parent_is_gone(ledger: Ledger, make: Make) -> None:
    parent = make("parent")
    child = make("child", parents=[of("data", parent)])
    _remove_folder(ledger, parent)
    _forget(ledger, parent)
    assert ledger.get(child.id) == child
    (problem,) = verify(ledger)
    assert problem.artifact == child.id
    assert problem.what == f"its parent {parent.short} (data) is missing"


def test_an_index_that_cannot_be_read_is_made_anew(ledger: Ledger, make: Make) -> None:
    made = [make(str(number)) for number in range(40)][::-1]
    ledger.index.close()
    path = ledger.root / "ledger.sqlite"
    content = bytearray(path.read_bytes())
    content[8192 : 8192 + 4096 * 4] = b"\xff" * (4096 * 4)
    path.write_bytes(content)
    assert verify(ledger) == []
    assert ledger.list() == made


def test_verify_asks_the_database_for_its_own_integrity(ledger: Ledger, make: Make) -> None:
    """An index entry that contradicts its table reads without any error: only the integrity check notices."""
    make(name="zebra")
    ledger.index.close()
    path = ledger.root / "ledger.sqlite"
    content = path.read_bytes()
    pages = [content[start : start + 4096] for start in range(0, len(content), 4096)]
    (index,) = (number for number, page in enumerate(pages) if b"zebra" in page and b'"name":"zebra"' not in page)
    pages[index] = pages[index].replace(b"zebra", b"zebrb")
    path.write_bytes(b"".join(pages))
    assert any("the index is damaged" in problem.what for problem in verify(ledger))


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_one_flipped_bit_anywhere_outside_the_index_is_found(data: st.DataObject, tmp_path_factory: Any) -> None:
    """In files, manifests, circumstances, rows, lists, the store and the format; beside a whole twin, so that the
    damaged artifact is named and no other."""
    with tempfile.TemporaryDirectory(dir=FAST) as place:
        root = Path(place) / "l"
        shutil.copytree(_filled(tmp_path_factory), root)
        files = sorted(path for path in root.rglob("*") if path.is_file() and not path.name.startswith("ledger.sqlite"))
        path = data.draw(st.sampled_from([path for path in files if path.stat().st_size]))
        content = bytearray(path.read_bytes())
        bit = data.draw(st.integers(0, 8 * len(content) - 1))
        content[bit // 8] ^= 1 << bit % 8
        path.write_bytes(content)
        if path.name == "format":
            with pytest.raises(TruingError):
                Ledger.open(root)
            return
        if path.name == "lock":  # says who holds it, and means nothing once nobody does
            return
        problems = verify(Ledger.open(root, create=False))
        owner = path.relative_to(root / "objects").parts[1] if path.is_relative_to(root / "objects") else ""
        assert {problem.artifact for problem in problems} == {owner}


def _filled(factory: Any) -> Path:
    root: Path = factory.getbasetemp() / "filled"
    if not root.exists():
        ledger = Ledger.open(root)
        for number in range(2):
            with ledger.begin() as staging:
                ledger.store.put(str(number), b"kept")
                (staging / "f").write_text("content")
                ledger.commit(
                    staging, kind="k", verb="v", verb_version=1, name="n", config={"n": number}, parents=[], seed=0,
                    rows=[("r", "0" * 64)],
                )  # fmt: skip
        ledger.index.close()
    return root


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_whatever_becomes_of_the_index_the_ledger_opens_and_nothing_is_lost(
    data: st.DataObject, tmp_path_factory: Any
) -> None:
    """Deleted, cut, zeroed, full of noise, an older one, with another's log beside it: the folders have it all."""
    with tempfile.TemporaryDirectory(dir=FAST) as place:
        root = Path(place) / "moved"
        shutil.copytree(_filled(tmp_path_factory), root)
        path = root / NAME
        content = path.read_bytes()
        cut = data.draw(st.integers(0, len(content)))
        noise = data.draw(st.binary(max_size=200))
        what = data.draw(st.sampled_from(["deleted", "cut", "noise", "noise inside", "log"]))
        if what == "deleted":
            path.unlink()
        elif what == "log":
            (root / f"{NAME}-wal").write_bytes(noise + content[:cut])
        else:
            inside = content[:cut] + noise + content[cut + len(noise) :]
            path.write_bytes({"cut": content[:cut], "noise": noise, "noise inside": inside}[what])
        for _ in range(2):
            ledger = Ledger.open(root)
            artifacts = ledger.list()
            assert [len(ledger.rows(artifact)) for artifact in artifacts] == [1, 1]
            told = verify(ledger)
            # Noise in a place that no question reads may stay until `verify` asks for it; then it is the index's alone.
            assert all("the index" in problem.what for problem in told)
            ledger.index.remove()
        assert verify(Ledger.open(root)) == []


def test_an_index_that_sqlite_quotes_as_it_fails_is_made_anew(ledger: Ledger, make: Make) -> None:
    artifact = make("kept")
    with contextlib.closing(sqlite3.connect(ledger.root / NAME)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    ledger.index.close()
    path = ledger.root / NAME
    content = path.read_bytes()
    assert b"CREATE TABLE" in content
    path.write_bytes(content.replace(b"CREATE TABLE", b"CREATE TABL\x80"))
    with contextlib.closing(sqlite3.connect(path)) as connection, pytest.raises(UnicodeDecodeError):
        connection.execute("SELECT 1 FROM sqlite_master")
    found = Ledger.open(ledger.root)
    assert found.list() == [artifact]
    assert verify(found) == []


def test_a_half_copied_ledger_says_what_is_missing(ledger: Ledger, make: Make, tmp_path: Path) -> None:
    parent = make("parent")
    child = make("child", parents=[of("data", parent)])
    ledger.index.close()
    copy = tmp_path / "copy"
    shutil.copytree(ledger.folder(child), copy / "objects" / child.id[:2] / child.id)
    found = Ledger.open(copy)
    assert found.list() == [child]
    assert [problem.what for problem in verify(found)] == [f"its parent {parent.short} (data) is missing"]
    found.index.remove()
    shutil.copy(ledger.root / NAME, copy)
    whats = sorted(problem.what for problem in verify(Ledger.open(copy)))
    assert whats == [f"its parent {parent.short} (data) is missing", "the index names it, but its folder is missing"]
