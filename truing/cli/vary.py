"""`truing vary RECIPE STEP.KEY=VALUE,VALUE …`: one assumption at a time, and what each does to every measure."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from truing.cli.compare import number
from truing.cli.methods import print_methods
from truing.cli.progress import Display, counted, follow
from truing.cli.run import Benchmarks, DryRun, Json, Set
from truing.core.config import apply_overrides, read_toml
from truing.core.errors import InputError

if TYPE_CHECKING:
    from truing.core.records import Record
    from truing.loops.events import RunDone
    from truing.loops.experiment import PlannedRun

Seeds = Annotated[
    str | None,
    typer.Option(
        metavar="SEED,SEED,SEED",
        help="Run everything with each of these seeds. From three on, verdicts speak of the settings; with fewer, of "
        "these runs only.",
    ),
]
Measure = Annotated[
    str | None, typer.Option(metavar="STEP", help="The evaluation to measure by; the last one if not given.")
]


def vary(
    context: typer.Context,
    recipe: Annotated[Path, typer.Argument(help="A TOML file of steps, one of them an evaluation.")],
    settings: Annotated[
        list[str],
        typer.Argument(
            metavar="STEP.KEY=VALUE,VALUE …", help="Settings, each with the values to try in place of the recipe's own."
        ),
    ],
    seeds: Seeds = None,
    measure: Measure = None,
    changes: Set = None,
    benchmarks: Benchmarks = None,
    as_json: Json = False,
    dry_run: DryRun = False,
) -> None:
    """Change one setting of a recipe at a time, and show what that does to every measure against the recipe as it is.

    Example: truing vary recipe.toml dpo.beta=0.05,0.3 comparisons.benign_twins=0,0.5 --seeds 0,1,2
    """
    from truing.evals.methods import claim_of
    from truing.ledger.ledger import Ledger
    from truing.loops.experiment import plan
    from truing.loops.vary import RECIPE, effects, variants

    values, root = apply_overrides(read_toml(recipe), changes or []), context.obj.ledger
    measured, found = variants(values, settings, str(recipe), root, measure, benchmarks)
    planned = plan(found, seeds_of(seeds), measured, str(recipe), root, benchmarks)
    said = f"measured by {measured}; one change a run, against the recipe as it stands"
    if dry_run:
        print_planned(planned, said, as_json)
        return
    console = Console(stderr=as_json)
    done = run_planned(planned, measured, said, console, as_json)
    results = effects(done, Ledger.open(root, create=False))
    if as_json:
        tests = sum(one.p is not None for one in results)
        typer.echo(json.dumps({**runs_as_plain(planned, done, measured), "tests": tests, "effects": plain(results)}))
        return
    print_runs(planned, done, console)
    print_methods(results, console, RECIPE, claim_of(one.seed for one in done), "change")


def seeds_of(text: str | None) -> list[int] | None:
    """`0,1,2` as numbers. Raises `InputError` where they are none, or one stands twice."""
    if text is None:
        return None
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() for part in parts) or len({int(part) for part in parts}) < len(parts):
        raise InputError(f"--seeds {text}: write whole numbers, each once, as in --seeds 0,1,2")
    return [int(part) for part in parts]


def print_planned(planned: "Sequence[PlannedRun]", said: str, as_json: bool) -> None:
    """Every run with the steps that it would run and those that it would reuse."""
    if as_json:
        typer.echo(json.dumps({"runs": [_planned(run) for run in planned]}))
        return
    typer.echo(f"{said}\n{total(planned)}")
    for run in planned:
        told = [f"runs {' '.join(run.to_run) or 'nothing'}", f"reuses {' '.join(run.to_reuse) or 'nothing'}"]
        typer.echo(f"{run.label}, seed {run.recipe.seed}: {', '.join(told)}")


def total(planned: "Sequence[PlannedRun]") -> str:
    """How many runs, and how many of their steps will run."""
    to_run, to_reuse = (sum(map(len, steps)) for steps in ([p.to_run for p in planned], [p.to_reuse for p in planned]))
    return f"{counted(len(planned), 'run')}: {counted(to_run, 'step')} to run, {to_reuse} to reuse"


def _planned(run: "PlannedRun") -> dict[str, Any]:
    changes = [{"setting": one.name, "before": one.before, "after": one.after} for one in run.variant.changes]
    return {
        "label": run.label,
        "seed": run.recipe.seed,
        "changes": changes,
        "to_run": run.to_run,
        "to_reuse": run.to_reuse,
    }


def run_planned(
    planned: "Sequence[PlannedRun]", measured: str, said: str, console: Console, quiet: bool
) -> "list[RunDone]":
    """Run all of it with its progress shown; what is reused is counted, not listed."""
    from truing.loops.events import RunDone, StepDone
    from truing.loops.experiment import run_all

    done: list[RunDone] = []

    def shown() -> "Iterator[Record]":
        for record in run_all(planned, measured):
            if isinstance(record, RunDone):
                done.append(record)
            elif not (isinstance(record, StepDone) and record.reused):
                yield record

    with Display(console, quiet) as display:
        display.line(escape(f"{said}\n{total(planned)}"))
        follow(shown(), display)
    return done


def print_runs(planned: "Sequence[PlannedRun]", done: "Sequence[RunDone]", console: Console) -> None:
    """What each run changed, and what it took."""
    changed = {run.label: run.variant.changes for run in planned}
    for label, changes in changed.items():
        if changes:
            told = "; ".join(str(change) for change in changes)
            console.print(f"{label}  ({told})", highlight=False, markup=False, soft_wrap=True)
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("run")
    for name in ("seed", "steps run", "reused", "seconds", "tokens trained"):
        table.add_column(name, justify="right")
    for one in done:
        tokens = "unknown" if one.tokens is None else f"{one.tokens:,}"
        counts = (str(one.seed), str(len(one.ran)), str(len(one.reused)))
        table.add_row(Text(one.label), *counts, number(one.seconds, "s"), tokens)
    console.print(table)


def runs_as_plain(planned: "Sequence[PlannedRun]", done: "Sequence[RunDone]", measured: str) -> dict[str, Any]:
    """The runs as JSON values, and of what the verdicts speak: the settings as "methods", or these "runs" alone."""
    from truing.evals.methods import claim_of

    runs = [
        {
            "label": one.label,
            "seed": one.seed,
            "changes": _planned(run)["changes"],
            "evaluation": one.evaluation.id,
            "metrics": one.evaluation.metrics,
            "ran": one.ran,
            "reused": one.reused,
            "seconds": round(one.seconds, 2),
            "tokens": one.tokens,
        }
        for run, one in zip(planned, done, strict=True)
    ]
    return {"measured": measured, "claim": claim_of(one.seed for one in done), "runs": runs}


def plain(results: "Sequence[Record]") -> list[Any]:
    """Records as JSON values; an interval without bounds is null."""
    return [json.loads(result.model_dump_json()) for result in results]
