"""Questions to the ledger: what was this made from, how do two artifacts differ, is all of it what it claims to be."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from truing.core.digest import canonical_json, digest_bytes, digest_file
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


_ABSENT = object()


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
    return Difference(inputs=tuple(inputs.values()), results=tuple(_changes("", a.metrics, b.metrics)))


def _walk(
    ledger: Ledger, a: Artifact, b: Artifact, where: str, inputs: dict[str, Change], seen: set[tuple[str, str]]
) -> None:
    if a.id == b.id or (a.id, b.id) in seen:
        return
    seen.add((a.id, b.id))
    for change in _changes(where, _assumptions(a), _assumptions(b)):
        inputs[change.where] = change
    of_a, of_b = _by_role(a), _by_role(b)
    for role in [*of_a, *(role for role in of_b if role not in of_a)]:
        if role in of_a and role in of_b:
            _walk(ledger, ledger.get(of_a[role]), ledger.get(of_b[role]), f"{where}{role}.", inputs, seen)
        else:
            sides = [side.get(role, "(none)")[:12] for side in (of_a, of_b)]
            inputs[f"{where}{role}"] = Change(where=f"{where}{role}", a=sides[0], b=sides[1])


def _assumptions(artifact: Artifact) -> dict[str, Any]:
    """All that an artifact stands on besides its parents. Where it has none, its files came from outside and count too;
    elsewhere files are results, except an observation's, which its inputs do not fix."""
    values = {
        "verb": artifact.verb,
        "verb version": artifact.verb_version,
        "seed": artifact.seed,
        "code": artifact.code_version,
        **_flat(artifact.config, "config."),
    }
    if not artifact.parents or artifact.observation:
        values |= {f"file {file.name}": file.sha256 for file in artifact.files}
    return values


def _by_role(artifact: Artifact) -> dict[str, str]:
    """Parents by role; a role that is filled twice is numbered, so that none is passed over."""
    result: dict[str, str] = {}
    for parent in artifact.parents:
        same = sum(role.partition("[")[0] == parent.role for role in result)
        result[f"{parent.role}[{same + 1}]" if same else parent.role] = parent.artifact
    return result


def _changes(where: str, a: Mapping[str, Any], b: Mapping[str, Any]) -> list[Change]:
    """Entries that differ as values (not merely as they are printed: 1 is not "1", and 0.1 is not 0.10000001)."""
    changes = []
    for name in sorted({*a, *b}):
        one, other = a.get(name, _ABSENT), b.get(name, _ABSENT)
        if one is _ABSENT or other is _ABSENT or canonical_json(one) != canonical_json(other):
            shown, shown_other = _shown(one), _shown(other)
            if shown == shown_other:
                shown, shown_other = repr(one), repr(other)
            changes.append(Change(where=f"{where}{name}", a=shown, b=shown_other))
    return changes


def _flat(config: dict[str, Any], above: str = "") -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, dict) and value:
            result |= _flat(value, f"{above}{key}.")
        else:
            result[f"{above}{key}"] = value
    return result


def _shown(value: object) -> str:
    if value is _ABSENT:
        return "(not set)"
    return "unknown" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)


class Problem(Record):
    """Something in the ledger that is not what it claims to be."""

    artifact: str
    what: str


def verify(ledger: Ledger) -> list[Problem]:
    """Hash every manifest and file again, and hold the index against the folders. An empty list: all is well."""
    known, damaged = ledger.check_index()
    problems = [Problem(artifact=identity, what=what) for identity, what in damaged]
    unreadable = {identity for identity, _ in damaged}
    on_disk = {path.name for path in (ledger.root / "objects").glob("*/*") if path.is_dir()}
    for identity in sorted(on_disk - set(known) - unreadable):
        problems.append(Problem(artifact=identity, what="its folder exists, but the index does not know it"))
    for identity, artifact in known.items():
        problems += [Problem(artifact=identity, what=what) for what in _check(ledger, artifact, identity in on_disk)]
        for parent in artifact.parents:
            if parent.artifact not in known:
                what = f"its parent {parent.artifact[:12]} ({parent.role}) is missing"
                problems.append(Problem(artifact=identity, what=what))
    return problems


def _check(ledger: Ledger, artifact: Artifact, on_disk: bool) -> list[str]:
    if not on_disk:
        return ["the index names it, but its folder is missing"]
    folder = ledger.folder(artifact)
    found = []
    if artifact_id(artifact.manifest) != artifact.id:
        found.append("the index's record of it does not match its id")
    try:
        written = (folder / MANIFEST).read_bytes()
        manifest = Manifest.model_validate_json(written)
    except (OSError, ValueError):
        return [*found, "its manifest is missing or cannot be read"]
    # The bytes, not what they mean: 1e-05 and 1E-05 are the same number and not the same manifest.
    if digest_bytes(written) != artifact.id:
        found.append("its manifest does not match its id")
    for file in manifest.files:
        path = folder / file.name
        if not path.is_file():
            found.append(f"the file {file.name} is missing")
        elif digest_file(path) != file.sha256:
            found.append(f"the file {file.name} was changed")
    extra = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    own = {file.name for file in manifest.files} | {MANIFEST}
    found += [f"the file {name} does not belong to it" for name in sorted(extra - own)]
    return found
