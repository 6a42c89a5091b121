"""One assumption at a time: a recipe, and the same recipe with one setting changed, for every value to try.

It is no grid: every run differs from the recipe in one setting. What a setting does beside other values of the others
is not asked here; `loops.ablate` asks it of two recipes.
"""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from truing.core.config import apply_overrides
from truing.core.errors import InputError
from truing.evals.methods import MethodResult, compare_methods
from truing.ledger.ledger import Ledger
from truing.loops.api import prepare
from truing.loops.events import RunDone
from truing.loops.experiment import Variant, differences, measured_step, method_runs_of, tables_of, up_to

RECIPE = "recipe"  # what the recipe is called as it stands


def variants(
    values: Mapping[str, Any],
    settings: Sequence[str],
    where: str,
    root: Path,
    measure: str | None = None,
    benchmarks: Path | None = None,
) -> tuple[str, list[Variant]]:
    """The measured evaluation's name, and the recipe with its variants: one for each value in `settings`, each of which
    reads `STEP.KEY=VALUE,VALUE` (values as after `--set`). One that is the recipe's own makes no variant.

    Raises `InputError` for a setting that does not exist, of a wrong type, or that the measured evaluation does not
    depend on, and where nothing is left to vary.
    """
    recipe, _ = prepare(dict(values), where, root, benchmarks)
    measured = measured_step(recipe, where, measure)
    base = up_to(recipe, measured)
    own, needed = tables_of(base), [step.name for step in base.steps]
    found = [Variant(RECIPE, values)]
    for setting in settings:
        path, texts = _read(setting)
        _check_path(setting, path, where, [step.name for step in recipe.steps], needed, measured)
        before = len(found)
        for text in texts:
            label = f"{path}={text}"
            try:
                changed = apply_overrides(dict(values), [label])
                other, _ = prepare(changed, where, root, benchmarks)
            except InputError as error:
                raise InputError(f"{label}: {error}") from None
            changes = tuple(differences(own, tables_of(up_to(other, measured))))
            if any(changes == one.changes for one in found[1:]):
                raise InputError(f"{label} stands twice; give each value once")
            if changes:
                found.append(Variant(label, changed, changes))
        if len(found) == before:
            raise InputError(
                f"{setting}: so it stands in {where} already, and nothing would change; give another value"
            )
    return measured, found


def _read(setting: str) -> tuple[str, list[str]]:
    """The dotted path, and the values as they are written."""
    dotted, _, text = setting.partition("=")
    parts, values = [part.strip() for part in dotted.split(".")], [value.strip() for value in _split(text)]
    if parts == ["seed"]:
        raise InputError(f"{setting}: seeds are varied by --seeds 0,1,2, beside what is compared")
    if (len(parts) < 2 and parts != ["model"]) or not all(parts) or not all(values):
        raise InputError(f"{setting}: write it as STEP.KEY=VALUE,VALUE, for example dpo.beta=0.05,0.3")
    return ".".join(parts), values


def _split(text: str) -> Iterator[str]:
    """What stands between commas, but for those within brackets or quotation marks."""
    start, depth, quote = 0, 0, ""
    for place, letter in enumerate(text):
        if quote or letter in "\"'":
            quote = "" if letter == quote else quote or letter
        elif letter in "[]{}":
            depth += 1 if letter in "[{" else -1
        elif letter == "," and depth == 0:
            yield text[start:place]
            start = place + 1
    yield text[start:]


def _check_path(
    setting: str, path: str, where: str, steps: Sequence[str], needed: Sequence[str], measured: str
) -> None:
    """Raise `InputError` unless the setting is of a step (or the model) that the measured evaluation depends on."""
    step = path.partition(".")[0]
    if step == "model":
        return
    if step not in steps:
        near = difflib.get_close_matches(step, steps, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(near)}?" if near else f"its steps are {', '.join(steps)}"
        raise InputError(f"{setting}: {where} has no step {step!r}; {hint}")
    if step not in needed:
        raise InputError(
            f"{setting}: this changes nothing that is measured: {measured} does not depend on [{step}], but on "
            f"{', '.join(name for name in needed if name != measured) or 'no other step'}"
        )


def effects(done: Sequence[RunDone], ledger: Ledger) -> list[MethodResult]:
    """What every change did to every measure, against the recipe as it stands: paired by seed and item."""
    runs, measures, claim = method_runs_of(done, ledger)
    return compare_methods(runs, RECIPE, measures, claim)
