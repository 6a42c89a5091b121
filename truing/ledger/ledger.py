"""The ledger: artifacts with parents, in content-addressed folders, and an index to find them by.

Layout of its root (`.truing` unless said otherwise):

    objects/ab/abcd…/      an artifact's files and its manifest.json; the folder's name is the manifest's sha256
    ledger.sqlite          the index
    staging/               artifacts being written: a crash leaves its remains here and nothing half-made elsewhere
    work/                  checkpoints of unfinished steps
    store/                 what stages keep by content (reference log-probabilities, activations, answers)
"""

import builtins
import contextlib
import difflib
import functools
import math
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import truing
from truing.core.digest import canonical_json, digest, digest_file
from truing.core.errors import InputError, RunError
from truing.ledger import database
from truing.ledger.artifacts import Artifact, File, Manifest, Parent, artifact_id, folder_of
from truing.ledger.store import FileStore, sync_folder, write_durably

__all__ = ["MANIFEST", "Artifact", "Ledger", "Parent", "code_version"]

MANIFEST = "manifest.json"
_SHORTEST_PREFIX = 4


class Ledger:
    """An open ledger. Make one with `Ledger.open`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.store = FileStore(root / "store")
        self._engine = database.open_database(root / "ledger.sqlite")

    @classmethod
    def open(cls, root: Path, create: bool = True) -> "Ledger":
        """Open the ledger in a folder, or make one. Raises `InputError` where there is none and `create` is False."""
        if not create and not (root / "ledger.sqlite").is_file():
            raise InputError(f"{root}: there is no ledger here; run `truing demo`, or name another with --ledger")
        try:
            for name in ("objects", "staging", "work", "store"):
                (root / name).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(
                f"{root}: the ledger cannot be made here ({error.strerror}); name another with --ledger"
            ) from None
        return cls(root.resolve())

    def key(
        self, *, verb: str, verb_version: int, config: Mapping[str, Any], parents: Sequence[Parent], seed: int | None
    ) -> str:
        """The digest of a step's inputs. Code version and time are no part of it."""
        return digest({"verb": verb, "version": verb_version, "config": config, "parents": list(parents), "seed": seed})

    def find(self, key: str) -> Artifact | None:
        """The newest artifact made from these inputs whose files are all there."""
        with self._engine.connect() as connection:
            found = database.by_key(connection, key)
        return next((artifact for artifact in found if self._complete(artifact)), None)

    def touch(self, artifact: Artifact) -> None:
        """Make an artifact that a run used again the newest of its name; when it was made stays as it was."""
        with self._engine.begin() as connection:
            database.touch(connection, artifact.id)

    @contextlib.contextmanager
    def begin(self) -> Iterator[Path]:
        """A folder to write an artifact's files into; removed afterwards unless `commit` took it."""
        folder = Path(tempfile.mkdtemp(dir=self.root / "staging"))
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
    ) -> Artifact:
        """Make the files in `staging` an artifact: hash, flush, rename, then index, in this order.

        A crash at any point leaves the whole artifact or none of it. The same content twice is one artifact; where its
        folder was damaged since, the new files take its place. Raises `RunError` on a metric that is NaN or infinite
        (say None where a value is unknown) and on a file that would hide the manifest.
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
        files = _flush(staging, name)
        manifest = Manifest(kind=kind, name=name, files=files, metrics=dict(metrics or {}), key=key, **inputs)
        artifact = Artifact(
            **dict(manifest), id=artifact_id(manifest), created=datetime.now(UTC), code_version=code_version()
        )
        write_durably(staging / MANIFEST, canonical_json(manifest))
        self._place(staging, artifact)
        with self._engine.begin() as connection:
            database.add(connection, artifact, rows)
        return artifact

    def get(self, reference: str) -> Artifact:
        """By full id, by a prefix of at least 4 digits, or by name (the newest). Raises `InputError` otherwise."""
        with self._engine.connect() as connection:
            found = database.by_reference(connection, reference)
            known = [] if found else database.all_artifacts(connection)
        named = [artifact for artifact in found if artifact.name == reference]
        if named:
            return named[0]
        if len(found) == 1 and len(reference) >= _SHORTEST_PREFIX:
            return found[0]
        if found:
            matches = ", ".join(f"{artifact.short} ({artifact.name})" for artifact in found[:5])
            raise InputError(f"{reference!r} could be {matches}; give more digits of the id")
        names = sorted({artifact.name for artifact in known})
        near = difflib.get_close_matches(reference, names, n=3, cutoff=0.5)
        hint = f"did you mean {', '.join(near)}?" if near else f"names it knows: {_listed(names)}"
        raise InputError(f"the ledger has no artifact {reference!r}; {hint}")

    def folder(self, artifact: Artifact) -> Path:
        """The folder with the artifact's files."""
        return folder_of(self.root, artifact.id)

    def list(self, kind: str | None = None, limit: int | None = None) -> builtins.list[Artifact]:
        """Artifacts (of a kind), or the newest `limit` of them; newest first."""
        with self._engine.connect() as connection:
            return database.all_artifacts(connection, kind, limit)

    def check_index(self) -> tuple[dict[str, Artifact], builtins.list[tuple[str, str]]]:
        """The index's readable artifacts by id, and (id, what) of all that is damaged in it."""
        with self._engine.connect() as connection:
            return database.check(connection)

    def rows(self, artifact: Artifact) -> builtins.list[tuple[str, str]]:
        """(id, sha256) of the rows that an artifact holds."""
        with self._engine.connect() as connection:
            return database.rows_of(connection, artifact.id)

    def artifacts_with_row(self, reference: str) -> builtins.list[Artifact]:
        """Artifacts that hold a row, named by its id or the beginning of its sha256."""
        with self._engine.connect() as connection:
            wanted = set(database.artifacts_with_row(connection, reference))
            return [artifact for artifact in database.all_artifacts(connection) if artifact.id in wanted]

    def workspace(self, key: str) -> Path:
        """A folder for the checkpoints of an unfinished step."""
        folder = self.root / "work" / key[:32]
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def discard_workspace(self, key: str) -> None:
        """Remove it once the step's artifact exists."""
        shutil.rmtree(self.root / "work" / key[:32], ignore_errors=True)

    def _place(self, staging: Path, artifact: Artifact) -> None:
        """Move the staged folder to its place. One that is there already stays if it is whole, else it is replaced."""
        target = self.folder(artifact)
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists() and not self._intact(artifact):
            target.rename(staging.with_name(f"{staging.name}-damaged"))
            shutil.rmtree(staging.with_name(f"{staging.name}-damaged"))
        try:
            if not target.exists():
                staging.rename(target)
        except OSError:
            # Another process placed the same content in the meantime: rename says "not empty", not "exists".
            if not self._intact(artifact):
                raise
        sync_folder(target.parent)
        sync_folder(target.parent.parent)

    def _complete(self, artifact: Artifact) -> bool:
        """Whether every file is there in its full size: cheap, asked before each reuse. `verify` reads the bytes."""
        folder = self.folder(artifact)
        return all(
            (folder / file.name).is_file() and (folder / file.name).stat().st_size == file.size
            for file in artifact.files
        )

    def _intact(self, artifact: Artifact) -> bool:
        folder = self.folder(artifact)
        manifest = folder / MANIFEST
        return (
            manifest.is_file()
            and digest_file(manifest) == artifact.id
            and self._complete(artifact)
            and all(digest_file(folder / file.name) == file.sha256 for file in artifact.files)
        )


def _flush(staging: Path, name: str) -> tuple[File, ...]:
    """Hash every staged file and flush it, and its folders, to the disk."""
    if (staging / MANIFEST).exists():
        raise RunError(f"{name}: a step may not write a file named {MANIFEST}; that is the ledger's own")
    files = []
    for path in sorted(staging.rglob("*")):
        if path.is_dir():
            sync_folder(path)
        elif path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
            relative = path.relative_to(staging).as_posix()
            files.append(File(name=relative, sha256=digest_file(path), size=path.stat().st_size))
    return tuple(files)


def _listed(names: Sequence[str], most: int = 10) -> str:
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
