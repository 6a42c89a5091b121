"""Recipes from Python: what `truing run` does, as an iterator of records."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from truing.core.config import apply_overrides, read_toml
from truing.core.errors import InputError
from truing.core.records import Record

if TYPE_CHECKING:
    from truing.loops.context import Context, Deployed
    from truing.loops.recipe import Recipe


def run_recipe(
    recipe: str | Path | Mapping[str, Any],
    ledger: str | Path = ".truing",
    *,
    changes: Sequence[str] = (),
    benchmarks: Path | None = None,
) -> Iterator[Record]:
    """Run a recipe, a TOML file or its tables as a mapping; `changes` are as after `--set`.

    Yields every step's records: `StepStarted`, those of its training or evaluation, and `StepDone` with the artifact.
    What exists is reused, what was interrupted goes on. Raises `InputError` before anything runs if something is wrong.
    """
    from truing.loops import recipe as recipes
    from truing.loops.verbs.table import VERBS

    if isinstance(recipe, Mapping):
        values, where = dict(recipe), "recipe"
    else:
        values, where = read_toml(Path(recipe)), str(recipe)
    parsed, context = prepare(apply_overrides(values, list(changes)), where, Path(ledger), benchmarks)
    return recipes.run_recipe(parsed, VERBS, context)


def prepare(
    values: dict[str, Any],
    where: str,
    ledger: Path,
    benchmarks: Path | None = None,
    deployed: "Deployed | None" = None,
    judging: "Deployed | None" = None,
) -> "tuple[Recipe, Context]":
    """Check a recipe and everything that it names. Writes nothing: the ledger is made when the first step runs.
    `deployed` says how a deployed model is asked, if the model is one; `judging` the same of one that judges."""
    from truing.ledger.ledger import Ledger
    from truing.loops.context import Context
    from truing.loops.recipe import check_outside, parse_recipe
    from truing.loops.verbs.table import VERBS

    parsed = parse_recipe(values, where, VERBS, lambda reference: Ledger.open(ledger, create=False).get(reference))
    if benchmarks is not None and not benchmarks.is_dir():
        raise InputError(f"--benchmarks {benchmarks}: there is no such folder")
    prepared = Context(ledger, parsed.model, benchmarks, deployed, judging)
    check_outside(parsed, where, VERBS, prepared)
    return parsed, prepared
