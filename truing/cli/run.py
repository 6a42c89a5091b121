"""`truing run RECIPE`: a chain of steps. What exists is reused, what was interrupted goes on."""

import json
import resource
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from truing.cli.progress import Display, follow
from truing.core.config import apply_overrides, read_toml
from truing.loops.api import prepare as prepare  # the other verbs take it from here

if TYPE_CHECKING:
    from truing.loops.context import Context
    from truing.loops.events import StepDone
    from truing.loops.recipe import Recipe

Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change a setting: STEP.KEY=VALUE. May be repeated."),
]
Benchmarks = Annotated[
    Path | None,
    typer.Option(envvar="TRUING_BENCHMARKS", help="A folder with advbench/ and xstest/ to measure beside the probes."),
]
DataDir = Annotated[
    Path | None,
    typer.Option(
        "--data-dir",
        "--benchmarks",
        envvar="TRUING_BENCHMARKS",
        help="A folder of public sets, one folder each: what --task reads. Without --task, advbench/ and xstest/ of it "
        "are measured beside the probes.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Check the recipe and list its steps; run nothing.")]


def run(
    context: typer.Context,
    recipe: Annotated[Path, typer.Argument(help="A TOML file of steps.")],
    changes: Set = None,
    benchmarks: Benchmarks = None,
    as_json: Json = False,
    dry_run: DryRun = False,
) -> None:
    """Run a recipe of steps; finished steps with the same inputs are reused.

    Example: truing run recipe.toml --set dpo.beta=0.2
    """
    values = apply_overrides(read_toml(recipe), changes or [])
    parsed, prepared = prepare(values, str(recipe), context.obj.ledger, benchmarks)
    if dry_run:
        print_plan(parsed, as_json)
        return
    finished = execute(parsed, prepared, Console(stderr=as_json), quiet=as_json)
    if as_json:
        typer.echo(json.dumps(as_plain(finished)))


def execute(recipe: "Recipe", prepared: "Context", console: Console, quiet: bool) -> "dict[str, StepDone]":
    """Run a recipe with its progress shown."""
    from truing.loops.recipe import run_recipe
    from truing.loops.verbs.table import VERBS

    with Display(console, quiet) as display:
        return follow(run_recipe(recipe, VERBS, prepared), display)


def print_plan(recipe: "Recipe", as_json: bool) -> None:
    """The steps that a recipe would run, one a line."""
    if as_json:
        typer.echo(json.dumps({"steps": [step.model_dump(mode="json", exclude_none=True) for step in recipe.steps]}))
        return
    for step in recipe.steps:
        own = {} if step.seed is None else {"seed": step.seed}
        typer.echo(f"{step.name:<12} {step.verb:<11} {json.dumps({**step.roles, **own, **step.settings})}")


def as_plain(finished: "dict[str, StepDone]") -> dict[str, Any]:
    """Finished steps, and what the process took at most, as JSON values."""
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
        },
        "peak_memory_mb": peak_memory_mb(),
    }


def peak_memory_mb() -> int:
    """The most memory (MB) that this process has held at once so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (1 << 20 if sys.platform == "darwin" else 1 << 10))  # bytes on macOS, kB elsewhere
