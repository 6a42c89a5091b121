"""The ledger: artifacts with parents, in content-addressed folders, and an index to find them by.

Layout of its root (`.truing` unless said otherwise):

    format                 the number of this layout
    objects/ab/abcd…/      an artifact: its files, what it is, when it was made (truing/ledger/folders.py)
    ledger.sqlite          the index: a cache, made from the folders whenever it is missing or damaged
    staging/               artifacts being written: a crash leaves its remains here and nothing half-made elsewhere
    work/                  checkpoints of unfinished steps, each with a lock: one process runs a step
    store/                 what stages keep by content (reference log-probabilities, activations, answers)
    lock                   held by whoever writes, together with others; alone by `truing gc` and migrations
"""

import builtins
import contextlib
import difflib
import errno
import functools
import math
import os
import secrets
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import truing
from truing.core.digest import digest
from truing.core.errors import InputError, RunError
from truing.ledger import folders, index, locks, migrate
from truing.ledger.artifacts import Artifact, Cost, Made, Manifest, Parent, artifact_id, folder_of
from truing.ledger.disk import sync_folder, write_durably
from truing.ledger.folders import MANIFEST, DamagedError
from truing.ledger.store import FileStore

__all__ = ["MANIFEST", "Artifact", "Ledger", "Parent", "code_version", "listed"]

_SHORTEST_PREFIX = 4
_REFUSALS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.EMFILE, errno.ENOLCK}


class Ledger:
    """An open ledger. Make one with `Ledger.open`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.store = FileStore(root / "store")
        self.index = index.Index(root, on_disk=os.access(root, os.W_OK))

    @classmethod
    def open(cls, root: Path | str, create: bool = True) -> "Ledger":
        """Open the ledger in a folder: to write, making it if there is none, or to read alone (`create` is False).

        Raises `InputError` where there is none to read, or where it cannot be written; `RunError` if a newer truing
        made it.
        """
        root = Path(root)
        found = any((root / name).exists() for name in (migrate.FILE, index.NAME, "objects"))
        if not create and not found:
            raise InputError(f"{root}: there is no ledger here; run `truing demo`, or name another with --ledger")
        try:
            if create:
                _make(root)
            migrate.bring_to_date(root)
            if create:
                with locks.shared(root / migrate.LOCK):
                    pass  # it can be written
        except OSError as error:
            what = "written" if found else "made"
            raise InputError(
                f"{root}: the ledger cannot be {what} here ({error.strerror}); name another with --ledger"
            ) from None
        return cls(root.resolve())

    def key(
        self, *, verb: str, verb_version: int, config: Mapping[str, Any], parents: Sequence[Parent], seed: int | None
    ) -> str:
        """The digest of a step's inputs. Code version and time are no part of it."""
        return digest({"verb": verb, "version": verb_version, "config": config, "parents": list(parents), "seed": seed})

    def find(self, key: str) -> Artifact | None:
        """The newest artifact made from these inputs, by whatever process, whose files are all there."""
        self.index.refresh()
        found = self.index.ask(lambda connection: index.by_key(connection, key))
        return next((artifact for artifact in found if folders.complete(self.folder(artifact), artifact.files)), None)

    def touch(self, artifact: Artifact) -> None:
        """Make an artifact that a run used again the newest of its name; when it was made stays as it was."""
        with self.writing():
            folder = self.folder(artifact)
            try:
                made = folders.read_made(folder)
            except DamagedError:
                made = Made(created=artifact.created, code_version=artifact.code_version, used=artifact.created)
            folders.write_made(folder, made.model_copy(update={"used": self._now()}))
        self.index.refresh()

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """What is here stays here: `truing gc` removes nothing meanwhile. What the disk refuses is said in one sentence
        (`RunError`)."""
        try:
            with locks.shared(self.root / migrate.LOCK):
                yield
        except OSError as error:
            if error.errno not in _REFUSALS:
                raise
            where = error.filename or self.root
            raise RunError(
                f"{where}: {error.strerror}; what was finished is kept, and the same command goes on from there"
            ) from error

    @contextlib.contextmanager
    def step(self, key: str) -> Iterator[None]:
        """Run a step alone: another process that wants the same one waits here, and then finds what this one made."""
        with self.writing(), locks.alone(self._lock(key), remove=True):
            yield

    def running(self, key: str) -> str | None:
        """Who runs a step just now: process, machine and since when; None where nobody does."""
        return locks.holder(self._lock(key))

    @contextlib.contextmanager
    def begin(self) -> Iterator[Path]:
        """A folder to write an artifact's files into; removed afterwards unless `commit` took it."""
        with self.writing():
            self.store.used.clear()
            folder = self.root / "staging" / secrets.token_hex(8)
            folder.mkdir()
            try:
                yield folder
            finally:
                shutil.rmtree(folder, ignore_errors=True)

    def commit(
        self,
        staging: Path,
        *,
        kind: str,
        verb: str,
        verb_version: int,
        name: str,
        config: Mapping[str, Any],
        parents: Sequence[Parent],
        seed: int | None,
        metrics: Mapping[str, float | str | None] | None = None,
        observation: bool = False,
        rows: Iterable[tuple[str, str]] = (),
        cost: Cost | None = None,
    ) -> Artifact:
        """Make the files in `staging` an artifact: hash, flush, rename, then index, in this order.

        A crash at any point leaves the whole artifact or none of it. The same content twice is one artifact, with the
        new time and code version; where it was damaged since, the new files repair it. Raises `RunError` on a metric
        that is NaN or infinite (say None where a value is unknown) and on a file that would hide the ledger's.
        """
        for metric, value in (metrics or {}).items():
            if isinstance(value, float) and not math.isfinite(value):
                raise RunError(f"{name}: the metric {metric!r} is {value}; an unknown metric is recorded as None")
        inputs: dict[str, Any] = {
            "verb": verb,
            "verb_version": verb_version,
            "config": dict(config),
            "parents": tuple(parents),
            "seed": seed,
        }
        key = None if observation else self.key(**inputs)
        files = folders.flush(staging, name)
        manifest = Manifest(kind=kind, name=name, files=files, metrics=dict(metrics or {}), key=key, **inputs)
        folders.write_manifest(staging, manifest)
        now = self._now()
        made = Made(
            created=now,
            code_version=code_version(),
            used=now,
            rows=folders.write_rows(staging, rows),
            store=folders.write_used(staging, self.store.used),
            cost=cost,
        )
        folders.write_made(staging, made)
        self._place(staging, artifact_id(manifest), made)
        self.index.refresh()
        return Artifact(
            **dict(manifest), id=artifact_id(manifest), created=made.created, code_version=made.code_version
        )

    def get(self, reference: str) -> Artifact:
        """By full id, by a prefix of at least 4 digits, or by name (the newest). Raises `InputError` otherwise."""
        found = self.index.ask(lambda connection: index.by_reference(connection, reference))
        named = [artifact for artifact in found if artifact.name == reference]
        if named:
            return named[0]
        if len(found) == 1 and len(reference) >= _SHORTEST_PREFIX:
            return found[0]
        if found:
            matches = ", ".join(f"{artifact.short} ({artifact.name})" for artifact in found[:5])
            raise InputError(f"{reference!r} could be {matches}; give more digits of the id")
        names = sorted({artifact.name for artifact in self.list()})
        near = difflib.get_close_matches(reference, names, n=3, cutoff=0.5)
        hint = f"did you mean {', '.join(near)}?" if near else f"names it knows: {listed(names)}"
        raise InputError(f"the ledger has no artifact {reference!r}; {hint}")

    def folder(self, artifact: Artifact) -> Path:
        """The folder with the artifact's files."""
        return folder_of(self.root, artifact.id)

    def cost(self, artifact: Artifact) -> Cost | None:
        """What making an artifact took; None where that is not known."""
        try:
            return folders.read_made(self.folder(artifact)).cost
        except DamagedError:
            return None

    def list(self, kind: str | None = None, limit: int | None = None) -> builtins.list[Artifact]:
        """Artifacts (of a kind), or the newest `limit` of them; newest first."""
        return self.index.ask(lambda connection: index.all_artifacts(connection, kind, limit))

    def rows(self, artifact: Artifact) -> builtins.list[tuple[str, str]]:
        """(id, sha256) of the rows that an artifact holds."""
        return self.index.ask(lambda connection: index.rows_of(connection, artifact.id))

    def artifacts_with_row(self, reference: str) -> builtins.list[Artifact]:
        """Artifacts that hold a row, named by its id or the beginning of its sha256."""
        wanted = set(self.index.ask(lambda connection: index.artifacts_with_row(connection, reference)))
        return [artifact for artifact in self.list() if artifact.id in wanted]

    def workspace(self, key: str) -> Path:
        """A folder for the checkpoints of an unfinished step."""
        folder = self.root / "work" / key[:32]
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def unfinished(self, key: str) -> bool:
        """Whether a step was begun before, and left something to go on from."""
        return (self.root / "work" / key[:32]).exists()

    def discard_workspace(self, key: str) -> None:
        """Remove it once the step's artifact exists. What cannot be removed is left to `truing gc`."""
        shutil.rmtree(self.root / "work" / key[:32], ignore_errors=True)

    def _lock(self, key: str) -> Path:
        return self.root / "work" / f"{key[:32]}.lock"

    def _now(self) -> datetime:
        """The time, but always after the last use that is known: what is newest must not depend on a clock set back."""
        newest, now = self.index.ask(index.newest_use), datetime.now(UTC)
        return now if newest is None else max(now, newest + timedelta(microseconds=1))

    def _place(self, staging: Path, identity: str, made: Made) -> None:
        """Move the staged folder to its place. One that is there already stays, and is repaired if it is damaged."""
        target = folder_of(self.root, identity)
        target.parent.mkdir(exist_ok=True)
        if target.exists() and not folders.intact(target):
            folders.repair(target, staging)
        try:
            if not target.exists():
                staging.rename(target)
        except OSError:
            # Another process placed the same content in the meantime: rename says "not empty", not "exists".
            if not folders.intact(target):
                raise
        sync_folder(target.parent)
        sync_folder(target.parent.parent)
        if staging.exists():
            folders.renew(target, staging, made)


def _make(root: Path) -> None:
    """Make what a ledger's folder lacks. The format is written last: until it is there, all is flushed again."""
    new = not (root / migrate.FILE).exists()
    above = [folder for folder in (root, *root.absolute().parents) if not folder.exists()]
    for name in ("objects", "staging", "work", "store"):
        (root / name).mkdir(parents=True, exist_ok=True)
    if not new:
        return
    for folder in (*above, root):
        sync_folder(folder.absolute().parent)
    sync_folder(root)
    if not any((root / "objects").iterdir()) and not (root / index.NAME).exists():
        write_durably(root / migrate.FILE, f"{migrate.FORMAT}\n".encode())


def listed(names: Sequence[str], most: int = 10) -> str:
    """Names for a sentence; says how many more there are."""
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + rest if names else "none yet"


@functools.cache
def code_version() -> str:
    """truing's version and, in a checkout, the commit (+ where files differ from it). Recorded, never part of a key."""
    here = Path(truing.__file__).parent
    # Installed inside somebody's own repository (in its .venv, say), git would name that repository's commit.
    if not (here.parent / ".git").exists():
        return truing.__version__
    command = ["git", "-C", str(here), "describe", "--always", "--dirty=+", "--abbrev=12"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=5, check=True)
    except (OSError, subprocess.SubprocessError):
        return truing.__version__
    return f"{truing.__version__} ({done.stdout.strip()})"
