"""An artifact's folder: the truth about it. What else is known of artifacts (the index) is made from these.

objects/ab/abcd…/        the files of the step; the folder's name is the sha256 of manifest.json
    manifest.json        what the artifact is: inputs, files with their sha256, metrics
    .ledger/made.json    when and by which code it was made, when last used; carries its own sha256
    .ledger/rows.jsonl   (id, sha256) of its rows, a line each; made.json holds the file's sha256
    .ledger/store.txt    the store's files that its step used; likewise
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from itertools import chain, islice
from pathlib import Path

from truing.core.digest import canonical_json, digest, digest_bytes, digest_file
from truing.core.errors import RunError
from truing.ledger.artifacts import Artifact, File, Made, Manifest
from truing.ledger.disk import sync_file, sync_folder, write_durably, write_pieces_durably

MANIFEST = "manifest.json"
OWN = ".ledger"
_LINES_AT_ONCE = 10_000
MADE, ROWS, STORE = f"{OWN}/made.json", f"{OWN}/rows.jsonl", f"{OWN}/store.txt"
UNKNOWN = "unknown"


class DamagedError(Exception):
    """A file of the ledger's own is missing or is not what it claims to be; says which and how."""


def all_folders(root: Path) -> Iterator[Path]:
    """Every artifact's folder of a ledger, in the order of their ids."""
    for above in sorted(path for path in (root / "objects").glob("*") if path.is_dir()):
        yield from sorted(path for path in above.iterdir() if path.is_dir())


def flush(folder: Path, name: str) -> tuple[File, ...]:
    """Hash every file that a step wrote, and flush it and its folders to the disk. `name` is the step's, for errors."""
    if (folder / MANIFEST).exists() or (folder / OWN).exists():
        raise RunError(f"{name}: a step may not write a file named {MANIFEST} or {OWN}; those are the ledger's own")
    files = []
    for path in sorted(folder.rglob("*")):
        if path.is_dir():
            sync_folder(path)
        elif path.is_file():
            sync_file(path)
            relative = path.relative_to(folder).as_posix()
            files.append(File(name=relative, sha256=digest_file(path), size=path.stat().st_size))
    return tuple(files)


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Say what the artifact is."""
    write_durably(folder / MANIFEST, canonical_json(manifest))


def read_manifest(folder: Path) -> Manifest:
    """What the artifact is. Raises `DamagedError` unless it is what the folder's name says."""
    try:
        written = (folder / MANIFEST).read_bytes()
        manifest = Manifest.model_validate_json(written)
    except (OSError, ValueError):
        raise DamagedError("its manifest is missing or cannot be read") from None
    # The bytes, not what they mean: 1e-05 and 1E-05 are the same number and not the same manifest.
    if digest_bytes(written) != folder.name:
        raise DamagedError("its manifest does not match its id")
    return manifest


def write_made(folder: Path, made: Made) -> None:
    """Record an artifact's circumstances, in place of those that are there."""
    _make_own(folder)
    write_durably(folder / MADE, canonical_json({"made": made, "sha256": digest(made)}))


def read_made(folder: Path) -> Made:
    """An artifact's circumstances. Raises `DamagedError` unless the file is there, byte for byte as it was written."""
    try:
        written = (folder / MADE).read_bytes()
        made = Made.model_validate(json.loads(written)["made"])
    except (OSError, ValueError, KeyError, TypeError):
        raise DamagedError("when and by which code it was made cannot be read (.ledger/made.json)") from None
    if canonical_json({"made": made, "sha256": digest(made)}) != written:
        raise DamagedError("when and by which code it was made was changed (.ledger/made.json)")
    return made


def write_rows(folder: Path, rows: Iterable[tuple[str, str]]) -> str | None:
    """Keep the list of an artifact's rows; returns its sha256, or None where there are no rows."""
    return _write_list(folder / ROWS, (json.dumps(row) for row in rows))


def read_rows(folder: Path, made: Made) -> Iterator[tuple[str, str]]:
    """(id, sha256) of an artifact's rows, in order. Raises `DamagedError`, at once, unless they are as they were
    written."""
    lines = read_list(folder / ROWS, made.rows)
    return ((row_id, sha) for row_id, sha in map(json.loads, lines))


def write_used(folder: Path, names: Iterable[str]) -> str | None:
    """Keep which files of the store an artifact's step used; returns the list's sha256, or None where it used none."""
    return _write_list(folder / STORE, sorted(names))


def read_used(folder: Path, made: Made) -> list[str] | None:
    """The store's files that an artifact's step used; None where that was not recorded. Raises `DamagedError` unless
    the list is as it was written."""
    return None if made.store == UNKNOWN else list(read_list(folder / STORE, made.store))


def read_artifact(folder: Path) -> tuple[Artifact, Made]:
    """An artifact, from its folder alone. Where its circumstances cannot be read, the time is that of its manifest's
    file and the code version is unknown (`verify` names the damage). Raises `DamagedError` for a damaged manifest."""
    manifest = read_manifest(folder)
    try:
        made = read_made(folder)
    except DamagedError:
        written = datetime.fromtimestamp((folder / MANIFEST).stat().st_mtime, UTC)
        made = Made(created=written, code_version=UNKNOWN, used=written)
    artifact = Artifact(**dict(manifest), id=folder.name, created=made.created, code_version=made.code_version)
    return artifact, made


def complete(folder: Path, files: Iterable[File]) -> bool:
    """Whether every file is there in its full size: cheap, asked before each reuse. `verify` reads the bytes."""
    return all((folder / file.name).is_file() and (folder / file.name).stat().st_size == file.size for file in files)


def intact(folder: Path) -> bool:
    """Whether the manifest and every file of a folder are what its name says."""
    try:
        manifest = read_manifest(folder)
    except DamagedError:
        return False
    files = manifest.files
    return complete(folder, files) and all(digest_file(folder / file.name) == file.sha256 for file in files)


def repair(folder: Path, whole: Path) -> None:
    """Move the files of a whole folder over those of a damaged one of the same id. File by file: what is stopped midway
    is no worse than before. The circumstances stay."""
    for path in sorted(whole.rglob("*")):
        target = folder / path.relative_to(whole)
        if OWN in target.relative_to(folder).parts:
            continue
        if path.is_dir():
            if not target.is_dir():
                target.unlink(missing_ok=True)
                target.mkdir()
            continue
        if target.is_dir():
            shutil.rmtree(target)
        path.replace(target)
    for path in (folder, *(path for path in folder.rglob("*") if path.is_dir())):
        sync_folder(path)


def renew(folder: Path, again: Path, made: Made) -> None:
    """The same content was made again: its time and code version are the new ones, its lists stay if they are whole."""
    for name in (ROWS, STORE):
        field = Path(name).stem
        new = getattr(made, field)
        try:
            before = read_made(folder)
            kept = getattr(before, field)
            if kept != UNKNOWN:
                read_list(folder / name, kept)
        except DamagedError:
            kept = None
        if kept is None and new is not None:
            write_durably(folder / name, (again / name).read_bytes())
            kept = new
        made = made.model_copy(update={field: kept})
    write_made(folder, made)


def _make_own(folder: Path) -> None:
    (folder / OWN).mkdir(exist_ok=True)
    sync_folder(folder)


def _write_list(path: Path, lines: Iterable[str]) -> str | None:
    pieces = _pieces(lines)
    first = next(pieces, None)
    if first is None:
        return None
    sha = hashlib.sha256()

    def noted() -> Iterator[bytes]:
        for piece in chain((first,), pieces):
            sha.update(piece)
            yield piece

    _make_own(path.parent.parent)
    write_pieces_durably(path, noted())
    return sha.hexdigest()


def _pieces(lines: Iterable[str]) -> Iterator[bytes]:
    """The lines, many at a time: a list may be longer than memory."""
    left = iter(lines)
    while some := list(islice(left, _LINES_AT_ONCE)):
        yield "".join(line + "\n" for line in some).encode()


def read_list(path: Path, sha256: str | None) -> Iterator[str]:
    """The lines of a list, one by one; none where `sha256` is None. Raises `DamagedError`, at once, unless the file has
    that hash."""
    if sha256 is None:
        return iter(())
    try:
        found = digest_file(path)
    except OSError:
        raise DamagedError(f"the list {OWN}/{path.name} is missing or cannot be read") from None
    if found != sha256:
        raise DamagedError(f"the list {OWN}/{path.name} was changed")
    return _lines(path)


def _lines(path: Path) -> Iterator[str]:
    with path.open(encoding="utf-8", newline="\n") as file:
        for line in file:
            yield line.removesuffix("\n")


def stamp(folder: Path) -> str | None:
    """Changes whenever an artifact's circumstances are written anew; None for a folder without a manifest."""
    for name in (MADE, MANIFEST):
        try:
            found = os.stat(folder / name)
        except OSError:
            continue
        return f"{name} {found.st_ino} {found.st_mtime_ns} {found.st_size}"
    return None
