"""What the ledger keeps: artifacts, their parents and files. Data only."""

from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, SerializerFunctionWrapHandler, model_serializer

from truing.core.digest import digest
from truing.core.records import Record


class Parent(Record):
    """An artifact that another was made from, and in which role."""

    role: str
    artifact: str


class File(BaseModel):
    """One file of an artifact. Not a `Record`: there `sha256` is the record's own digest, here that of the file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    sha256: str
    size: int


class Manifest(Record):
    """What an artifact is, and so what its id is a digest of: all but when and by which code version it was made.

    `key` is the digest of the inputs alone; None for an observation (people, chance or a remote model took part), which
    is compared and kept but never silently reused.
    """

    kind: str
    verb: str
    verb_version: int
    name: str
    config: dict[str, Any]
    parents: tuple[Parent, ...]
    seed: int | None
    files: tuple[File, ...]
    metrics: dict[str, float | str | None]
    key: str | None


class Cost(Record):
    """What making something took: seconds, and the most memory (MB) that the process held meanwhile."""

    seconds: float
    peak_mb: int


class Made(Record):
    """The circumstances of an artifact: recorded beside the manifest, and no part of the id.

    `used` is when a run last made or reused it: what is newest goes by it. `rows` and `store` are the sha256 of the
    lists of its rows and of the store's files that its step read or wrote; None where there were none. An artifact of a
    ledger of format 1 has the `store` "unknown". `cost` is None where it is not known.
    """

    created: datetime
    code_version: str
    used: datetime
    rows: str | None = None
    store: str | None = None
    cost: Cost | None = None

    @model_serializer(mode="wrap")
    def _as_written(self, values: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without a cost that is not known: so were circumstances written before costs were."""
        written: dict[str, Any] = values(self)
        return {key: value for key, value in written.items() if key != "cost" or value is not None}


class Artifact(Manifest):
    """A manifest with its id, and the circumstances that are recorded but are no part of it."""

    id: str
    created: datetime
    code_version: str

    @property
    def short(self) -> str:
        """The first 12 digits of the id."""
        return self.id[:12]

    @property
    def observation(self) -> bool:
        """Whether people, chance or a remote model took part: then the inputs alone do not fix the content."""
        return self.key is None

    @property
    def manifest(self) -> Manifest:
        """The part that the id is a digest of."""
        return Manifest(**{name: getattr(self, name) for name in Manifest.model_fields})


def artifact_id(manifest: Manifest) -> str:
    """sha256 of the canonical manifest."""
    return digest(manifest)


def folder_of(root: Path, identity: str) -> Path:
    """Where an artifact's files are."""
    return root / "objects" / identity[:2] / identity
