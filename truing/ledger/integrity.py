"""Is everything in the ledger what it claims to be? Every file is read and hashed; the folders are the truth.

It cannot miss what nothing in the ledger speaks of: an artifact that no other was made from, lost with the index.
"""

from collections.abc import Iterator
from pathlib import Path

from truing.core.digest import digest_file
from truing.core.records import Record
from truing.ledger import folders, index
from truing.ledger.artifacts import Made, Manifest
from truing.ledger.disk import WRITING
from truing.ledger.folders import DamagedError
from truing.ledger.ledger import Ledger
from truing.ledger.store import whole


class Problem(Record):
    """Something in the ledger that is not what it claims to be. `artifact` is empty where it is none's."""

    artifact: str
    what: str


def verify(ledger: Ledger) -> list[Problem]:
    """Hash every manifest and file again, those of the store too, and hold the index against the folders. An empty
    list: all is well."""
    ledger.index.refresh()
    there = {folder.name: folder for folder in folders.all_folders(ledger.root)}
    problems = []
    for identity, folder in there.items():
        problems += [Problem(artifact=identity, what=what) for what in _check(folder, there)]
    problems += _check_index(ledger, there)
    problems += [Problem(artifact="", what=what) for what in _check_store(ledger.root / "store")]
    return problems


def _check(folder: Path, there: dict[str, Path]) -> Iterator[str]:
    if folder.parent.name != folder.name[:2]:
        yield f"its folder is in objects/{folder.parent.name}, where it is not looked for"
    try:
        manifest = folders.read_manifest(folder)
    except DamagedError as damage:
        yield str(damage)
        return
    for parent in manifest.parents:
        if parent.artifact not in there:
            yield f"its parent {parent.artifact[:12]} ({parent.role}) is missing"
    yield from _check_files(folder, manifest)
    try:
        made = folders.read_made(folder)
    except DamagedError as damage:
        yield str(damage)
        return
    for read in (folders.read_rows, folders.read_used):
        try:
            for _ in read(folder, made) or ():
                pass
        except (DamagedError, ValueError) as damage:
            yield str(damage)


def _check_files(folder: Path, manifest: Manifest) -> Iterator[str]:
    for file in manifest.files:
        path = folder / file.name
        if not path.is_file():
            yield f"the file {file.name} is missing"
        elif digest_file(path) != file.sha256:
            yield f"the file {file.name} was changed"
    own = {file.name for file in manifest.files} | {folders.MANIFEST, folders.MADE, folders.ROWS, folders.STORE}
    found = {path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(WRITING)}
    yield from (
        f"the file {name} does not belong to it"
        for name in sorted({p.relative_to(folder).as_posix() for p in found} - own)
    )


def _check_index(ledger: Ledger, there: dict[str, Path]) -> Iterator[Problem]:
    """Where the index says something else than the folders."""
    advice = f"delete {index.NAME}, it is made anew"
    for line in ledger.index.ask(index.check):
        yield Problem(artifact="", what=f"the index is damaged ({line}); {advice}")
    entries = ledger.index.ask(index.entries)
    for identity in sorted(set(entries) - set(there)):
        yield Problem(artifact=identity, what="the index names it, but its folder is missing")
    for identity, folder in there.items():
        try:
            artifact, made = folders.read_artifact(folder)
            same = _same_rows(ledger, artifact.id, folder, made)
        except (DamagedError, ValueError):
            continue  # named already
        if entries.get(identity) != index.entry(artifact, made):
            yield Problem(artifact=identity, what=f"the index's record of it is not what its folder says; {advice}")
        elif not same:
            yield Problem(artifact=identity, what=f"the index's rows of it are not what its folder says; {advice}")


def _same_rows(ledger: Ledger, identity: str, folder: Path, made: Made) -> bool:
    """Whether the index has an artifact's rows. Raises `DamagedError` where the folder's own list is damaged."""
    return ledger.index.ask(lambda connection: index.holds(connection, identity, folders.read_rows(folder, made)))


def _check_store(store: Path) -> Iterator[str]:
    for path in sorted(store.glob("*/*")):
        if path.is_file() and not path.name.startswith(WRITING) and not whole(path):
            yield f"store/{path.parent.name}/{path.name} is damaged; delete it, it is computed anew where it is needed"
