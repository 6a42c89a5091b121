"""How do two artifacts differ: the settings, inputs and rows behind them, beside the results.

It knows what was recorded: the settings of a step (with digests of the outside files that it read), its verb's version,
seed and code version, its parents, rows and files.
"""

import re
from collections import Counter
from collections.abc import Mapping
from typing import Any, Literal

from truing.core.digest import canonical_json
from truing.core.errors import InputError
from truing.core.records import Record
from truing.ledger.artifacts import Artifact
from truing.ledger.ledger import Ledger

_ABSENT = object()
# Of which input a change speaks, by the end of its place: the first that fits.
_KINDS = (
    (r"(^|\.)config\.model_template$|^template of ", "template"),
    (r"(^|\.)config\.(model(_\w+)?|base_url)$", "base model"),
    (r"(^|\.)config\.(judges|judge_version|by|template|(judge_model|asked)_\w+)$|(^|\.)judge$", "judge"),
    (r"(^|\.)config\.(source|files|sets|benchmarks|probes)$", "data"),
    (r"(^|\.)config\.(task_versions|libraries)$|(^|\.)(verb version|code)$|^version of ", "version"),
    (r"(^|\.)config\.", "setting"),
    (r"(^|\.)seed$", "seed"),
    (r"(^|\.)verb$", "step"),
    (r"(^|\.)file ", "file"),
    (r"(^|\.)adapter$", "adapter"),
    (r"(^|\.)(data|imported|apart_from)(\[\d+\])?$", "data"),
)


class Change(Record):
    """One difference: where (`candidate.adapter.config.beta`), and its value on each side."""

    where: str
    a: str
    b: str


class RowChange(Record):
    """Rows that differ between two artifacts, by id: those that b has and a has not, the reverse, and those of the same
    id whose content is another. A row that is there twice counts twice. `in_a` and `in_b` are the artifacts."""

    where: str
    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: tuple[str, ...]
    in_a: str
    in_b: str


class RowText(Record):
    """What such a row says, shortened: of one that was added or removed each text, of one that was changed what is
    another now."""

    where: str
    id: str
    how: Literal["added", "removed", "changed"]
    parts: tuple[Change, ...]


class Difference(Record):
    """Inputs and settings that differ, and rows, from the top down, beside the results that differ. `same_files`: where
    a step was told something else and made the same files all the same."""

    inputs: tuple[Change, ...]
    rows: tuple[RowChange, ...]
    results: tuple[Change, ...]
    same_files: tuple[str, ...] = ()


def kind_of(change: Change) -> str:
    """Of which input a change speaks: base model, adapter, template, judge, data, version, setting, seed, step, file.
    A parent that one side lacks is a step."""
    return next((kind for pattern, kind in _KINDS if re.search(pattern, change.where)), "step")


def diff(ledger: Ledger, a: Artifact, b: Artifact) -> Difference:
    """Name exactly what differs between two artifacts and everything behind them. A pair of ancestors is walked once.

    What follows from a difference is not named again: the files of a step follow from its settings and parents, and so
    do its rows where a parent's differ. Files are named where nothing else explains them: they came from outside, or
    from people.
    """
    walk = _Walk(ledger)
    walk.pair(a, b, "")
    return Difference(
        inputs=tuple(walk.inputs.values()),
        rows=tuple(walk.rows),
        results=tuple(changes("", a.metrics, b.metrics)),
        same_files=tuple(walk.same_files),
    )


class _Walk:
    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.inputs: dict[str, Change] = {}
        self.rows: list[RowChange] = []
        self.same_files: list[str] = []
        self._seen: dict[tuple[str, str], bool] = {}

    def pair(self, a: Artifact, b: Artifact, where: str) -> bool:
        """Collect what differs between two artifacts and behind them; returns whether their rows, or any behind, do."""
        if a.id == b.id:
            return False
        if (a.id, b.id) in self._seen:
            return self._seen[a.id, b.id]
        self._seen[a.id, b.id] = False
        own = changes(where, _assumptions(a), _assumptions(b))
        code = changes(where, {"code": a.code_version}, {"code": b.code_version})
        self._name(own + code)
        if own and a.files and a.files == b.files:
            self.same_files.append(where.removesuffix(".") or a.name)
        rows = self._parents(a, b, where)
        if not rows:
            found = _row_change(where, self.ledger, a, b)
            self.rows += found
            rows = bool(found)
            if not own and not rows and (a.observation or not a.parents):
                self._name(changes(f"{where}file ", *({file.name: file.sha256 for file in x.files} for x in (a, b))))
        self._seen[a.id, b.id] = rows
        return rows

    def _parents(self, a: Artifact, b: Artifact, where: str) -> bool:
        rows = False
        of_a, of_b = _by_role(a), _by_role(b)
        for role in [*of_a, *(role for role in of_b if role not in of_a)]:
            sides = [self._get(side.get(role)) for side in (of_a, of_b)]
            one, other = sides
            if isinstance(one, Artifact) and isinstance(other, Artifact):
                rows |= self.pair(one, other, f"{where}{role}.")
            elif of_a.get(role) != of_b.get(role):
                shown = [side.short if isinstance(side, Artifact) else side for side in sides]
                self._name([Change(where=f"{where}{role}", a=shown[0], b=shown[1])])
        return rows

    def _get(self, identity: str | None) -> Artifact | str:
        if identity is None:
            return "(none)"
        try:
            return self.ledger.get(identity)
        except InputError:
            return f"{identity[:12]} (missing)"

    def _name(self, found: list[Change]) -> None:
        self.inputs |= {change.where: change for change in found}


def _assumptions(artifact: Artifact) -> dict[str, Any]:
    """What an artifact's step was told, besides its parents."""
    return {
        "verb": artifact.verb,
        "verb version": artifact.verb_version,
        "seed": artifact.seed,
        **flat(artifact.config, "config."),
    }


def _row_change(where: str, ledger: Ledger, a: Artifact, b: Artifact) -> list[RowChange]:
    ours, theirs = Counter(ledger.rows(a)), Counter(ledger.rows(b))
    removed = Counter(identity for identity, _ in (ours - theirs).elements())
    added = Counter(identity for identity, _ in (theirs - ours).elements())
    changed = removed & added
    if not (removed or added):
        return []
    place = where.removesuffix(".") or "rows"
    parts = (tuple(sorted(part.elements())) for part in (added - changed, removed - changed, changed))
    of_each = dict(zip(("added", "removed", "changed"), parts, strict=True))
    return [RowChange(where=place, **of_each, in_a=a.id, in_b=b.id)]


def _by_role(artifact: Artifact) -> dict[str, str]:
    """Parents by role; a role that is filled twice is numbered, so that none is passed over."""
    result: dict[str, str] = {}
    for parent in artifact.parents:
        same = sum(role.partition("[")[0] == parent.role for role in result)
        result[f"{parent.role}[{same + 1}]" if same else parent.role] = parent.artifact
    return result


def changes(where: str, a: Mapping[str, Any], b: Mapping[str, Any]) -> list[Change]:
    """Entries that differ as values (not merely as they are printed: 1 is not "1", and 0.1 is not 0.10000001)."""
    found = []
    for name in sorted({*a, *b}):
        one, other = a.get(name, _ABSENT), b.get(name, _ABSENT)
        if one is _ABSENT or other is _ABSENT or canonical_json(one) != canonical_json(other):
            shown, shown_other = _shown(one), _shown(other)
            if shown == shown_other:
                shown, shown_other = repr(one), repr(other)
            found.append(Change(where=f"{where}{name}", a=shown, b=shown_other))
    return found


def flat(config: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """Nested settings by their dotted names."""
    result: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, dict) and value:
            result |= flat(value, f"{above}{key}.")
        else:
            result[f"{above}{key}"] = value
    return result


def _shown(value: object) -> str:
    if value is _ABSENT:
        return "(not set)"
    return "unknown" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)
