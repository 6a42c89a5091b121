"""A stored baseline: one evaluation in one file, which needs no ledger and may lie in a repository.

Its first line says which evaluation it is, when it was made, what suites of the user's own measured, and how many items
follow with which sha256; every other line is one item. What it does not know: whether a deployed model is still what it
was then. That is what one holds against it.
"""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from truing.core.errors import InputError
from truing.core.records import ItemResult, Record
from truing.data.native import lines_of
from truing.evals.artifact import OwnTask
from truing.ledger.artifacts import Artifact

SUFFIX = ".jsonl"
_MEASURED = ("tasks", "max_new_tokens", "ties")


class Origin(Record):
    """Which evaluation a baseline is, who judged each task's answers, and how it was measured (`tasks` and what else a
    candidate must share; empty where that is not known)."""

    evaluation: str
    id: str
    created: datetime
    code_version: str
    model: str
    items: int
    items_sha256: str
    own_tasks: tuple[OwnTask, ...] = ()
    judges: Mapping[str, str] = {}
    measured: Mapping[str, Any] = {}


class Baseline(Record):
    """A stored evaluation."""

    origin: Origin
    items: tuple[ItemResult, ...]


def write_baseline(
    path: Path,
    artifact: Artifact,
    items: Sequence[ItemResult],
    own_tasks: Sequence[OwnTask] = (),
    source: Artifact | None = None,
    judges: Mapping[str, str] | None = None,
) -> Origin:
    """Write an evaluation of the ledger to a file; `source` is the one whose answers were judged, if it is another.
    Raises `InputError` where the file cannot be written."""
    config = (source or artifact).config
    body = "".join(item.model_dump_json() + "\n" for item in items)
    origin = Origin(
        evaluation=artifact.name,
        id=artifact.id,
        created=artifact.created,
        code_version=artifact.code_version,
        model=str(config.get("model", "")),
        items=len(items),
        items_sha256=_sha256(body),
        own_tasks=tuple(own_tasks),
        judges=judges or {},
        measured=how_measured(artifact),
    )
    try:
        path.write_text(origin.model_dump_json() + "\n" + body, encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror}); choose another place") from None
    return origin


def how_measured(artifact: Artifact) -> dict[str, Any]:
    """What a candidate must share with an evaluation on public sets; nothing for another kind of evaluation."""
    if artifact.verb != "benchmark" or "tasks" not in artifact.config:
        return {}
    return {"seed": artifact.seed, **{key: artifact.config[key] for key in _MEASURED if key in artifact.config}}


def read_baseline(path: Path) -> Baseline:
    """Read a stored evaluation. Raises `InputError` naming the line that is wrong, or that the file is not whole."""
    hint = "export it again with `truing show EVALUATION --export FILE`"
    try:
        lines = lines_of(path)
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such file; {hint}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read ({error}); {hint}") from None
    try:
        origin = Origin.model_validate_json(lines[0] if lines else "")
    except ValidationError:
        raise InputError(f"{path}, line 1: says not which evaluation this is; {hint}") from None
    items = []
    for number, line in enumerate(lines[1:], start=2):
        try:
            items.append(ItemResult.model_validate_json(line))
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise InputError(
                f"{path}, line {number}: not an item ({where or 'the line'}: {first['msg']}); {hint}"
            ) from None
    body = "".join(line + "\n" for line in lines[1:])
    if len(items) != origin.items or _sha256(body) != origin.items_sha256:
        raise InputError(
            f"{path}: {origin.items} items were exported, and {len(items)} are there or were changed; {hint}"
        )
    return Baseline(origin=origin, items=tuple(items))


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def as_line(origin: Origin) -> str:
    """Which evaluation it is, in words."""
    model = f" of {origin.model}" if origin.model else ""
    return f"the evaluation {origin.evaluation}{model}, {origin.created:%Y-%m-%d %H:%M} UTC"
