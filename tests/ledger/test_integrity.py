"""Verify finds one flipped byte anywhere, names each kind of damage, and cries no wolf."""

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.ledger.conftest import Make, of, weights
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
    path = ledger.root / "ledger.sqlite"
    content = bytearray(path.read_bytes())
    content[8192 : 8192 + 4096 * 4] = b"\xff" * (4096 * 4)
    path.write_bytes(content)
    assert verify(ledger) == []
    assert ledger.list() == made


def test_verify_asks_the_database_for_its_own_integrity(ledger: Ledger, make: Make) -> None:
    """An index entry that contradicts its table reads without any error: only the integrity check notices."""
    make(name="zebra")
    path = ledger.root / "ledger.sqlite"
    content = path.read_bytes()
    pages = [content[start : start + 4096] for start in range(0, len(content), 4096)]
    (index,) = (number for number, page in enumerate(pages) if b"zebra" in page and b'"name":"zebra"' not in page)
    pages[index] = pages[index].replace(b"zebra", b"zebrb")
    path.write_bytes(b"".join(pages))
    assert any("the index is damaged" in problem.what for problem in verify(ledger))
