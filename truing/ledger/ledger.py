"""The ledger: artifacts with parents, in content-addressed folders, and an index to find them by.

Layout of its root (`.truing` unless said otherwise):

    objects/ab/abcd…/      an artifact's files and its manifest.json; the folder's name is the manifest's sha256
    ledger.sqlite          the index
    staging/               artifacts being written: a crash leaves its remains here and nothing half-made elsewhere
    work/                  checkpoints of unfinished steps
    store/                 what stages keep by content (reference log-probabilities, activations, answers)
"""

import contextlib
import functools
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
from truing.core.errors import InputError
from truing.ledger import database
from truing.ledger.artifacts import Artifact, File, Manifest, Parent, artifact_id, folder_of
from truing.ledger.store import FileStore, sync_folder, write_durably

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
            raise InputError(f"{root}: the ledger cannot be made here ({error.strerror}); name another with --ledger") from None
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
        metrics: Mapping[str, float | None | str] | None = None,
        observation: bool = False,
        rows: Iterable[tuple[str, str]] = (),
    ) -> Artifact:
        """Make the files in `staging` an artifact: hash, flush, rename, then index, in this order.

        A crash at any point leaves the whole artifact or none of it. The same content twice is one artifact.
        """
        files = []
        for path in sorted(path for path in staging.rglob("*") if path.is_file()):
            with path.open("rb") as file:
                os.fsync(file.fileno())
            name_in = path.relative_to(staging).as_posix()
            files.append(File(name=name_in, sha256=digest_file(path), size=path.stat().st_size))
        inputs: dict[str, Any] = {
            "verb": verb, "verb_version": verb_version, "config": dict(config), "parents": tuple(parents), "seed": seed,
        }
        key = None if observation else self.key(**inputs)
        manifest = Manifest(kind=kind, name=name, files=tuple(files), metrics=dict(metrics or {}), key=key, **inputs)
        artifact = Artifact(
            **dict(manifest), id=artifact_id(manifest), created=datetime.now(UTC), code_version=code_version()
        )
        target = folder_of(self.root, artifact.id)
        if not target.exists():
            write_durably(staging / MANIFEST, canonical_json(manifest))
            target.parent.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(FileExistsError):
                staging.rename(target)
            sync_folder(target.parent)
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
        names = ", ".join(sorted({artifact.name for artifact in known})) or "none yet"
        raise InputError(f"the ledger has no artifact {reference!r}; names it knows: {names}")

    def folder(self, artifact: Artifact) -> Path:
        """The folder with the artifact's files."""
        return folder_of(self.root, artifact.id)

    def list(self, kind: str | None = None) -> list[Artifact]:
        """Artifacts (of a kind), newest first."""
        with self._engine.connect() as connection:
            return database.all_artifacts(connection, kind)

    def rows(self, artifact: Artifact) -> "list[tuple[str, str]]":  # noqa: F821
        """(id, sha256) of the rows that an artifact holds."""
        with self._engine.connect() as connection:
            return database.rows_of(connection, artifact.id)

    def artifacts_with_row(self, reference: str) -> "list[Artifact]":  # noqa: F821
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

    def _complete(self, artifact: Artifact) -> bool:
        folder = self.folder(artifact)
        return all((folder / file.name).is_file() for file in artifact.files)


@functools.cache
def code_version() -> str:
    """truing's version and, in a checkout, the commit (with + where files differ from it). Recorded, never part of a key."""
    here = Path(truing.__file__).parent
    command = ["git", "-C", str(here), "describe", "--always", "--dirty=+", "--abbrev=12"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=5, check=True)
    except (OSError, subprocess.SubprocessError):
        return truing.__version__
    return f"{truing.__version__} ({done.stdout.strip()})"
