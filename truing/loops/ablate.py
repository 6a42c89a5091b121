"""Two recipes that differ in several settings: runs of what lies between them, and each setting's part of it.

A setting is where the two differ, defaults written out; several that only make sense together count as one. Up to
`MOST` settings all combinations are run (2^k runs) and the parts are Shapley values. Of more, each setting is changed
first and last (2k + 2 runs), the part is the mean of both, and what the parts leave of the whole is told.
"""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

from truing.core.errors import InputError
from truing.core.shapley import coalitions
from truing.evals.attribution import Attribution, attribute
from truing.evals.methods import MethodRun
from truing.ledger.ledger import Ledger
from truing.loops.api import prepare
from truing.loops.events import RunDone
from truing.loops.experiment import (
    ABSENT,
    Change,
    Variant,
    differences,
    measured_step,
    method_runs_of,
    tables_of,
    up_to,
)
from truing.loops.recipe import Recipe

MOST = 4


@dataclass(frozen=True)
class Ablation:
    """The measured evaluation; the settings in which the recipes differ, each one change or several; and the variant of
    each combination to run, by bit mask."""

    measured: str
    settings: Mapping[str, tuple[Change, ...]]
    combinations: Mapping[int, Variant]


def ablation(
    a: Mapping[str, Any],
    b: Mapping[str, Any],
    where: tuple[str, str],
    root: Path,
    *,
    measure: str | None = None,
    together: Sequence[str] = (),
    seeded: bool = False,
    benchmarks: Path | None = None,
) -> Ablation:
    """What to run between recipe `a` and recipe `b`. `together` are groups of settings, `dpo.loss,dpo.tau` each, that
    count as one. `seeded`: the seeds are given, so that the recipes' own do not matter.

    Raises `InputError` where the recipes do not differ in anything that is measured.
    """
    first, second = (prepare(dict(values), one, root, benchmarks)[0] for values, one in zip((a, b), where, strict=True))
    measured = measured_step(first, where[0], measure)
    measured_step(second, where[1], measured)
    first, second = up_to(first, measured), up_to(second, measured)
    ours, theirs = tables_of(first), tables_of(second)
    # A step that one of them alone has does nothing where no role names it: all runs may have it.
    start, end = {**theirs, **ours}, {**ours, **theirs}
    ignored = {"name", "seed"} if seeded else {"name"}
    changes = [change for change in differences(start, end) if change.path[0] not in ignored]
    if not changes:
        raise InputError(f"{where[0]} and {where[1]} differ in nothing that {measured} depends on")
    start = _in_order(start, first, second, where)
    settings = _grouped(changes, together)
    names = list(settings)
    combinations = {}
    for mask in coalitions(len(names), MOST):
        chosen = [name for place, name in enumerate(names) if mask >> place & 1]
        ends = {0: where[0], (1 << len(names)) - 1: where[1]}
        label = ends.get(mask, f"{where[0]} with {' and '.join(chosen)} of {where[1]}")
        values = copy.deepcopy(start)
        for change in (change for name in chosen for change in settings[name]):
            _put(values, change)
        combinations[mask] = Variant(label, values, tuple(change for name in chosen for change in settings[name]))
        try:
            prepare(dict(values), "the recipe between them", root, benchmarks)
        except InputError as error:
            raise InputError(
                f"{label}: {error}; settings that only make sense together count as one with --together SETTING,SETTING"
            ) from None
    return Ablation(measured, settings, combinations)


def _in_order(tables: dict[str, Any], first: Recipe, second: Recipe, where: tuple[str, str]) -> dict[str, Any]:
    """The tables with every step after those that it may stand on in either recipe."""
    before: dict[str, set[str]] = {}
    for step in (*first.steps, *second.steps):
        before.setdefault(step.name, set()).update(source for source in step.roles.values() if source in tables)
    try:
        order = list(TopologicalSorter(before).static_order())
    except CycleError:
        raise InputError(f"{where[0]} and {where[1]} have their steps in opposite order; rename those of one") from None
    return {**{key: value for key, value in tables.items() if key not in before}, **{key: tables[key] for key in order}}


def _grouped(changes: Sequence[Change], together: Sequence[str]) -> dict[str, tuple[Change, ...]]:
    """The changes by the name of their setting. Raises `InputError` where a group names what does not differ."""
    names = [change.name for change in changes]
    group_of: dict[str, str] = {}
    for group in together:
        for name in (one.strip() for one in group.split(",")):
            if name not in names or name in group_of:
                what = "stands in two groups" if name in group_of else "is no setting in which the recipes differ"
                raise InputError(f"--together {group}: {name!r} {what}; these differ: {', '.join(names)}")
            group_of[name] = "+".join(one.strip() for one in group.split(","))
    found: dict[str, tuple[Change, ...]] = {}
    for change in changes:
        label = group_of.get(change.name, change.name)
        found[label] = (*found.get(label, ()), change)
    return found


def _put(values: dict[str, Any], change: Change) -> None:
    *above, last = change.path
    table = values
    for key in above:
        table = table[key]
    if change.after == ABSENT:
        table.pop(last, None)
    else:
        table[last] = copy.deepcopy(change.after)


def parts(found: Ablation, done: Sequence[RunDone], ledger: Ledger) -> list[Attribution]:
    """The whole difference and each setting's part of it, by every measure."""
    runs, measures, claim = method_runs_of(done, ledger)
    by_label: dict[str, list[MethodRun]] = {}
    for run in runs:
        by_label.setdefault(run.method, []).append(run)
    by_mask = {mask: by_label[variant.label] for mask, variant in found.combinations.items()}
    return attribute(by_mask, list(found.settings), measures, claim)
