"""Questions to the ledger: what was this made from, in what do two artifacts differ, is everything what it claims to be."""

from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import text

from truing.core.digest import digest_file
from truing.core.records import Record
from truing.ledger.artifacts import Artifact, Manifest, artifact_id
from truing.ledger.ledger import MANIFEST, Ledger


@dataclass
class Trace:
    """An artifact, the role in which another used it, and what it was made from itself."""

    artifact: Artifact
    role: str = ""
    parents: "list[Trace]" = field(default_factory=list)


def trace(ledger: Ledger, artifact: Artifact, role: str = "") -> Trace:
    """The tree of everything behind an artifact."""
    parents = [trace(ledger, ledger.get(parent.artifact), parent.role) for parent in artifact.parents]
    return Trace(artifact, role, parents)


class Change(Record):
    """One difference: where (`candidate.adapter.config.beta`), and its value on each side."""

    where: str
    a: str
    b: str


class Difference(Record):
    """Inputs and settings that differ, from the roots up, beside the results that differ."""

    inputs: tuple[Change, ...]
    results: tuple[Change, ...]


def diff(ledger: Ledger, a: Artifact, b: Artifact) -> Difference:
    """Name exactly what differs between two artifacts and everything behind them. A shared ancestor is walked once."""
    inputs: dict[str, Change] = {}
    _walk(ledger, a, b, "", inputs, set())
    results = [
        Change(where=name, a=_shown(a.metrics.get(name)), b=_shown(b.metrics.get(name)))
        for name in sorted({*a.metrics, *b.metrics})
        if a.metrics.get(name) != b.metrics.get(name)
    ]
    return Difference(inputs=tuple(inputs.values()), results=tuple(results))


def _walk(
    ledger: Ledger, a: Artifact, b: Artifact, where: str, inputs: dict[str, Change], seen: set[tuple[str, str]]
) -> None:
    if a.id == b.id or (a.id, b.id) in seen:
        return
    seen.add((a.id, b.id))
    values = [
        {"verb": x.verb, "verb version": x.verb_version, "seed": x.seed, "code": x.code_version, **_flat(x.config)}
        for x in (a, b)
    ]
    for name in sorted({*values[0], *values[1]}):
        one, other = (_shown(value.get(name, "(not set)")) for value in values)
        if one != other:
            inputs[f"{where}{name}"] = Change(where=f"{where}{name}", a=one, b=other)
    of_a = {parent.role: parent.artifact for parent in a.parents}
    of_b = {parent.role: parent.artifact for parent in b.parents}
    for role in [*of_a, *(role for role in of_b if role not in of_a)]:
        if role in of_a and role in of_b:
            _walk(ledger, ledger.get(of_a[role]), ledger.get(of_b[role]), f"{where}{role}.", inputs, seen)
        else:
            sides = [_shown(side.get(role, "(none)"))[:12] for side in (of_a, of_b)]
            inputs[f"{where}{role}"] = Change(where=f"{where}{role}", a=sides[0], b=sides[1])


def _flat(config: dict[str, Any], above: str = "") -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, dict):
            result |= _flat(value, f"{above}{key}.")
        else:
            result[f"{above}{key}"] = value
    return result


def _shown(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


class Problem(Record):
    """Something in the ledger that is not what it claims to be."""

    artifact: str
    what: str


def verify(ledger: Ledger) -> list[Problem]:
    """Hash every manifest and file again, and hold the index against the folders. An empty list: all is well."""
    problems: list[Problem] = []
    with ledger._engine.connect() as connection:
        answer = connection.execute(text("PRAGMA integrity_check")).scalar_one()
    if answer != "ok":
        problems.append(Problem(artifact="", what=f"the database is damaged: {answer}"))
    known = {artifact.id: artifact for artifact in ledger.list()}
    on_disk = {path.name for path in (ledger.root / "objects").glob("*/*") if path.is_dir()}
    for identity in sorted(on_disk - set(known)):
        problems.append(Problem(artifact=identity, what="its folder exists, but the index does not know it"))
    for identity, artifact in known.items():
        problems += [Problem(artifact=identity, what=what) for what in _check(ledger, artifact, identity in on_disk)]
        for parent in artifact.parents:
            if parent.artifact not in known:
                problems.append(Problem(artifact=identity, what=f"its parent {parent.artifact[:12]} ({parent.role}) is missing"))
    return problems


def _check(ledger: Ledger, artifact: Artifact, on_disk: bool) -> list[str]:
    if not on_disk:
        return ["the index names it, but its folder is missing"]
    folder = ledger.folder(artifact)
    try:
        manifest = Manifest.model_validate_json((folder / MANIFEST).read_bytes())
    except (OSError, ValueError):
        return ["its manifest is missing or cannot be read"]
    found = []
    if artifact_id(manifest) != artifact.id or artifact_id(artifact.manifest) != artifact.id:
        found.append("its manifest does not match its id")
    for file in manifest.files:
        path = folder / file.name
        if not path.is_file():
            found.append(f"the file {file.name} is missing")
        elif digest_file(path) != file.sha256:
            found.append(f"the file {file.name} was changed")
    extra = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    found += [f"the file {name} does not belong to it" for name in sorted(extra - {file.name for file in manifest.files} - {MANIFEST})]
    return found
