"""A fresh ledger, and a short way to commit an artifact to it."""

import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import pytest

from truing.ledger.artifacts import Artifact, Parent
from truing.ledger.ledger import Ledger


class Make(Protocol):
    """Commits one artifact; what is not said is the same each time."""

    def __call__(
        self,
        content: str = "content",
        *,
        kind: str = "adapter",
        name: str = "step",
        config: Mapping[str, Any] | None = None,
        parents: Sequence[Parent] = (),
        seed: int | None = 0,
        metrics: Mapping[str, float | str | None] | None = None,
        observation: bool = False,
        rows: Iterable[tuple[str, str]] = (),
    ) -> Artifact: ...


# In memory where that can be: nothing here is about how fast a disk flushes.
FAST = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    with tempfile.TemporaryDirectory(dir=FAST) as folder:
        yield Ledger.open(Path(folder) / ".truing")


@pytest.fixture
def make(ledger: Ledger) -> Make:
    def commit(content: str = "content", *, kind: str = "adapter", name: str = "step", **settings: Any) -> Artifact:
        given = {"config": {}, "parents": [], "seed": 0, **settings}
        given["config"] = given["config"] or {}
        with ledger.begin() as staging:
            (staging / "deep").mkdir()
            (staging / "deep" / "weights.txt").write_text(content, encoding="utf-8")
            return ledger.commit(staging, kind=kind, verb="make", verb_version=1, name=name, **given)

    return commit


def weights(ledger: Ledger, artifact: Artifact) -> Path:
    """The one file that `make` writes."""
    return ledger.folder(artifact) / "deep" / "weights.txt"


def of(role: str, artifact: Artifact) -> Parent:
    return Parent(role=role, artifact=artifact.id)


@pytest.fixture
def chain(make: Make) -> Callable[..., Artifact]:
    """dataset → adapter → evaluation, with one assumption to change in each."""

    def build(rows: str = "rows", lr: Any = 0.1, seed: int = 0, score: float | None = 0.5) -> Artifact:
        data = make(rows, kind="dataset", name="data")
        adapter = make(
            f"{rows}{lr}{seed}", config={"sft": {"lr": lr}, "seed": 0}, seed=seed, parents=[of("data", data)]
        )
        return make(
            f"{adapter.id}", kind="evaluation", parents=[of("adapter", adapter), of("data", data)], metrics={"x": score}
        )

    return build
