"""Two systems beside each other: the inputs that differ, and the outcomes that differ on the items measured of both.

Of two artifacts of one kind all that is behind them is compared (`ledger.difference`); of systems that were named in
two ways their adapters, or their models. Outcomes come from evaluations that measured alike where there are any; of a
task from one pair of evaluations. What it does not know: whether an input that differs is why an outcome does.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Any, NamedTuple

from truing.core.errors import InputError
from truing.core.records import ItemResult, Record
from truing.core.text import shorten
from truing.evals.artifact import TaskReport, metrics_with, own_tasks, read_items, read_reports
from truing.evals.metric import Metric
from truing.evals.moved import RISKY_CUT
from truing.evals.outcomes import Outcomes, common, outcomes
from truing.evals.run import METRICS
from truing.ledger.artifacts import Artifact
from truing.ledger.difference import Change, Difference, RowChange, RowText, changes, diff, flat
from truing.ledger.ledger import Ledger
from truing.loops.systems import MODEL_KEYS, System, find_system, measuring

_NOT_ROWS = ("probes.jsonl", "bad.jsonl", "items.jsonl", "steps.jsonl", "observed.jsonl")
_TEXTS = ("prompt", "chosen", "rejected", "completion", "rewrite")


class SystemDifference(Record):
    """What differs between `a` and `b`, as they were named. `row_texts` are the first rows of each kind of change.
    `outcomes` is None where nothing was measured of both on common items; `commands` then measure it. `notes` say what
    else is to be known."""

    a: str
    b: str
    inputs: tuple[Change, ...]
    rows: tuple[RowChange, ...]
    row_texts: tuple[RowText, ...]
    same_files: tuple[str, ...]
    results: tuple[Change, ...]
    outcomes: Outcomes | None
    commands: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def difference(self) -> Difference:
        """The part that the ledger tells."""
        return Difference(inputs=self.inputs, rows=self.rows, results=self.results, same_files=self.same_files)

    @property
    def nothing(self) -> bool:
        """Whether nothing differs at all."""
        moved = self.outcomes is not None and bool(self.outcomes.changed)
        return not (self.inputs or self.rows or self.results or moved)


def differences(ledger: Ledger, a: str, b: str, first_rows: int = 3) -> SystemDifference:
    """Compare what two names mean. Raises `InputError` where a name means nothing, or one means a system and the other
    none."""
    one, other = find_system(ledger, a), find_system(ledger, b)
    found = _inputs(ledger, one, other)
    pairs, notes = _pairs(ledger, one, other)
    inputs = {change.where: change for change in (*found.inputs, *_measured_otherwise(ledger, one, other, pairs))}
    same = one.adapter == other.adapter and one.model == other.model and not inputs
    missing = one.is_system and other.is_system and not same and not pairs
    return SystemDifference(
        a=a,
        b=b,
        inputs=tuple(inputs.values()),
        rows=found.rows,
        row_texts=tuple(text for change in found.rows for text in row_texts(ledger, change, first_rows)),
        same_files=found.same_files,
        results=found.results,
        outcomes=_outcomes(pairs) if pairs else None,
        commands=tuple(measuring(ledger, one, other)) if missing else (),
        notes=tuple(notes),
    )


def _inputs(ledger: Ledger, one: System, other: System) -> Difference:
    a, b = one.artifact, other.artifact
    if a is not None and b is not None and (a.kind == b.kind or not (one.is_system and other.is_system)):
        return diff(ledger, a, b)
    if not (one.is_system and other.is_system):
        raise InputError(
            f"{one.reference!r} and {other.reference!r} are a model and an artifact that is none; name two systems, or "
            "two artifacts"
        )
    if one.adapter is not None and other.adapter is not None:
        found = diff(ledger, one.adapter, other.adapter)
        return found.model_copy(update={"results": ()})
    own = [dict(side.model) for side in (one, other)]
    if not all("model_sha256" in model for model in own):  # of a model that was never measured it is not known
        own = [{key: value for key, value in model.items() if key != "model_sha256"} for model in own]
    adapters = [side.known_as if side.adapter is not None else "(none)" for side in (one, other)]
    named = [Change(where="adapter", a=adapters[0], b=adapters[1])] if adapters[0] != adapters[1] else []
    return Difference(inputs=(*changes("config.", *own), *named), rows=(), results=())


class _Pair(NamedTuple):
    """Two evaluations, and what is compared of them: metrics, and all items of these on either side."""

    x: Artifact
    y: Artifact
    metrics: list[Metric]
    ours: list[ItemResult]
    theirs: list[ItemResult]


def _pairs(ledger: Ledger, one: System, other: System) -> tuple[list[_Pair], list[str]]:
    """Evaluations with common items, each task in one pair: of those that measured alike before others, then of the
    newest; and what is to be said of what is left."""
    items = {each.id: _items(ledger, each) for side in (one, other) for each in side.evaluations}
    tasks = {name: {item.task for item in found} for name, found in items.items()}
    pairs: list[_Pair] = []
    notes: dict[str, None] = {}
    taken: set[str] = set()
    for x, y in sorted(product(one.evaluations, other.evaluations), key=lambda both: _how(both[0]) != _how(both[1])):
        if not (tasks[x.id] & tasks[y.id]) - taken:
            continue
        known = _metrics(ledger, x, y, notes)
        shared = {item.task for item in common(items[x.id], items[y.id])[0]} - taken
        metrics = [metric for metric in known if metric.task in shared]
        names = {metric.task for metric in metrics}
        if metrics:
            sides = ([item for item in items[each.id] if item.task in names] for each in (x, y))
            pairs.append(_Pair(x, y, metrics, *sides))
            taken |= names
    ours, theirs = (set[str]().union(*(tasks[each.id] for each in side.evaluations)) for side in (one, other))
    for name, only in ((one.reference, ours - theirs), (other.reference, theirs - ours)):
        if pairs and only:
            notes[f"measured of {name} only: {', '.join(sorted(only))}"] = None
    return pairs, list(notes)


def _items(ledger: Ledger, evaluation: Artifact) -> list[ItemResult]:
    has_items = any(file.name == "items.jsonl" for file in evaluation.files)
    return read_items(ledger.folder(evaluation)) if has_items else []


def _metrics(ledger: Ledger, x: Artifact, y: Artifact, notes: dict[str, None]) -> list[Metric]:
    """What a pair may be compared on. Where a suite was changed between them, that is noted, and no suite is compared:
    an answer may be worth something else now. Nor is a task whose answers another judge judged."""
    ours, theirs = (_reports(ledger, each) for each in (x, y))
    apart: set[str] = set()
    for task in sorted(ours.keys() & theirs.keys()):
        if ours[task].judge != theirs[task].judge:
            judges = " and ".join(side[task].judge or "a judge that is not named" for side in (ours, theirs))
            notes[f"{task}: judged by {judges}, so its outcomes are not compared"] = None
            apart |= {metric.task for metric in ours[task].metrics}
    try:
        known = metrics_with(*(own_tasks(ledger.folder(each)) for each in (x, y)))
    except InputError as error:
        notes[str(error)] = None
        known = list(METRICS)
    return [metric for metric in known if metric.task not in apart]


def _outcomes(pairs: Sequence[_Pair]) -> Outcomes:
    ours = [item for pair in pairs for item in pair.ours]
    theirs = [item for pair in pairs for item in pair.theirs]
    return outcomes(ours, theirs, [metric for pair in pairs for metric in pair.metrics])


def _measured_otherwise(ledger: Ledger, one: System, other: System, pairs: Sequence[_Pair]) -> Iterator[Change]:
    """What differs in how they were measured: settings, unless the evaluations were compared already, the libraries'
    versions, and, of one model, the chat template that its tokenizer brings."""
    kinds = {side.artifact.kind if side.artifact is not None else "model" for side in (one, other)}
    compared = len(kinds) == 1 and not kinds & {"model", "adapter"}
    for x, y, *_ in pairs:
        if not compared:
            yield from changes(f"{x.name}.", _how(x), _how(y))
        reports = [_reports(ledger, each) for each in (x, y)]
        for task in sorted(reports[0].keys() & reports[1].keys()):
            a, b = (report[task] for report in reports)
            yield from changes("version of ", *({**each.versions, "truing": ""} for each in (a, b)))
            if one.model == other.model:
                yield from changes("template of ", {task: a.template[:12]}, {task: b.template[:12]})


def _reports(ledger: Ledger, evaluation: Artifact) -> dict[str, TaskReport]:
    folder = ledger.folder(evaluation)
    return {report.task: report for report in read_reports(folder)} if (folder / "tasks.json").is_file() else {}


def _how(evaluation: Artifact) -> dict[str, Any]:
    """How an evaluation measured, whatever the system."""
    own = {key: value for key, value in evaluation.config.items() if key not in MODEL_KEYS}
    return {"verb": evaluation.verb, "verb version": evaluation.verb_version, **flat(own, "config.")}


def row_texts(ledger: Ledger, change: RowChange, first: int) -> list[RowText]:
    """The first rows that were added, removed and changed, `first` of each. Nobody judged these texts: an answer is
    shown by its beginning only, as an answer that may be harmful is. A row that its artifact no longer tells is left
    out."""
    named = {how: list(dict.fromkeys(getattr(change, how)))[:first] for how in ("removed", "added", "changed")}
    before = _rows(ledger, change.in_a, [*named["removed"], *named["changed"]])
    after = _rows(ledger, change.in_b, [*named["added"], *named["changed"]])
    found = []
    for how, rows in named.items():
        for name in rows:
            one, other = before.get(name, {}), after.get(name, {})
            parts = tuple(_parts(one, other))
            if parts:
                found.append(RowText(where=change.where, id=name, how=how, parts=parts))  # type: ignore[arg-type]
    return found


def _rows(ledger: Ledger, identity: str, wanted: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Rows by id, from an artifact's own JSON Lines files."""
    artifact, missing = ledger.get(identity), set(wanted)
    found: dict[str, dict[str, Any]] = {}
    for file in artifact.files:
        if not missing or not file.name.endswith(".jsonl") or file.name in _NOT_ROWS:
            continue
        with (ledger.folder(artifact) / file.name).open(encoding="utf-8", newline="\n") as lines:
            for line in lines:
                row = json.loads(line)
                if isinstance(row, dict) and row.get("id") in missing:
                    found[row["id"]] = row
                    missing.discard(row["id"])
    return found


def _parts(one: Mapping[str, Any], other: Mapping[str, Any]) -> Iterator[Change]:
    """The texts of a row that one side has; what differs where both have it."""
    names = [name for name in (*_TEXTS, *sorted({*one, *other} - {*_TEXTS, "id"})) if name in one or name in other]
    if not (one and other):
        names = [name for name in names if name in _TEXTS]
    for name in names:
        a, b = (_text(side.get(name)) for side in (one, other))
        if a != b:
            yield Change(where=name, **dict(zip("ab", _shortened(a, b), strict=True)))


def _text(value: Any) -> str:
    """A value as text; of a conversation its turns."""
    if isinstance(value, list) and all(isinstance(turn, dict) and "content" in turn for turn in value):
        return "\n".join(
            turn["content"] if len(value) == 1 else f"{turn.get('role')}: {turn['content']}" for turn in value
        )
    return "" if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _shortened(a: str, b: str) -> tuple[str, str]:
    """The beginnings of two texts; where these are alike, from which character on the texts differ."""
    shown = shorten(a, RISKY_CUT), shorten(b, RISKY_CUT)
    if shown[0] != shown[1]:
        return shown
    place = next((n for n, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
    return shown[0], f"{shown[1]} (another text from character {place + 1} on)"
