"""`truing run RECIPE`: a chain of steps. What exists is reused, what was interrupted goes on."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from truing.cli.progress import Display, follow
from truing.core.config import apply_overrides, read_toml
from truing.core.errors import InputError

if TYPE_CHECKING:
    from truing.ledger.artifacts import Artifact
    from truing.loops.context import Context
    from truing.loops.events import StepDone
    from truing.loops.recipe import Recipe

Set = Annotated[list[str] | None, typer.Option("--set", help="Change a setting: STEP.KEY=VALUE. May be repeated.")]
Benchmarks = Annotated[
    Path | None,
    typer.Option(envvar="TRUING_BENCHMARKS", help="A folder with advbench/ and xstest/ to measure beside the probes."),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")]


def run(
    context: typer.Context,
    recipe: Annotated[Path, typer.Argument(help="A TOML file of steps.")],
    changes: Set = None,
    benchmarks: Benchmarks = None,
    as_json: Json = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check the recipe and list its steps; run nothing.")] = False,
) -> None:
    """Run a recipe of steps; finished steps with the same inputs are reused.

    Example: truing run recipe.toml --set dpo.beta=0.2
    """
    values = apply_overrides(read_toml(recipe), changes or [])
    console = Console(stderr=as_json)
    parsed, prepared = prepare(values, str(recipe), context.obj.ledger, benchmarks)
    if dry_run:
        for name, verb, settings in parsed.steps:
            console.print(f"{name:<12} {verb:<11} {json.dumps(settings)}", highlight=False)
        return
    finished = execute(parsed, prepared, console, quiet=as_json)
    if as_json:
        typer.echo(json.dumps(as_plain(finished)))


def prepare(
    values: dict[str, Any],
    where: str,
    ledger: Path,
    benchmarks: Path | None,
    given: "Mapping[str, Artifact] | None" = None,
) -> "tuple[Recipe, Context]":
    """Check a recipe and open what it needs. `given` artifacts can fill roles like earlier steps."""
    from truing.ledger.ledger import Ledger
    from truing.loops.context import Context
    from truing.loops.recipe import parse_recipe
    from truing.loops.verbs.table import VERBS

    parsed = parse_recipe(values, where, VERBS, given or {})
    if benchmarks is not None and not benchmarks.is_dir():
        raise InputError(f"--benchmarks {benchmarks}: there is no such folder")
    return parsed, Context(Ledger.open(ledger), parsed.model, benchmarks)


def execute(recipe: "Recipe", prepared: "Context", console: Console, quiet: bool) -> "dict[str, StepDone]":
    """Run a recipe with its progress shown."""
    from truing.loops.recipe import run_recipe
    from truing.loops.verbs.table import VERBS

    with Display(console, quiet) as display:
        return follow(run_recipe(recipe, prepared.ledger, VERBS, prepared), display)


def as_plain(finished: "dict[str, StepDone]") -> dict[str, Any]:
    """Finished steps as JSON values."""
    return {
        "steps": {
            name: {
                "artifact": done.artifact.id,
                "kind": done.artifact.kind,
                "reused": done.reused,
                "seconds": round(done.seconds, 2),
                "metrics": done.artifact.metrics,
            }
            for name, done in finished.items()
        }
    }
