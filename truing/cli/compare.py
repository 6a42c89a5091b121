"""`truing compare A B`: two evaluations of the same items; or methods over seeds."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from truing.cli.run import Json
from truing.core.errors import InputError

if TYPE_CHECKING:
    from truing.core.records import ItemResult
    from truing.evals.artifact import OwnTask
    from truing.evals.compare import MetricComparison, Side
    from truing.evals.metric import Metric
    from truing.ledger.ledger import Artifact, Ledger

STYLE = {"better": "green", "worse": "red", "no worse": "green", "not enough evidence": "yellow"}


def compare(
    context: typer.Context,
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="A B …",
            help="Two evaluations (name, id, first digits, or an exported FILE.jsonl); with --over-seeds, methods.",
        ),
    ],
    over_seeds: Annotated[
        bool,
        typer.Option(
            "--over-seeds",
            help="Compare training methods: each the name of an evaluation, or of the adapter that it measured, which "
            "the ledger holds with several seeds.",
        ),
    ] = False,
    baseline: Annotated[
        str | None,
        typer.Option(help="With --over-seeds: the method to hold the others against; the first if not given."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Compare two evaluations item by item: differences, intervals, verdicts. Or compare training methods over seeds.

    Example: truing compare base candidate
    """
    from truing.evals.compare import compare as compare_items

    if over_seeds:
        _compare_methods(context, names, baseline or names[0], as_json)
        return
    if len(names) != 2 or baseline is not None:
        raise InputError(
            f"compare takes two evaluations; found {', '.join(names)}{' and --baseline' if baseline else ''}: "
            "to compare methods, add --over-seeds"
        )
    a, b = names
    ours, theirs = (evaluated(context, name) for name in names)
    results = compare_items(ours.items, theirs.items, known_metrics(ours, theirs))
    if as_json:
        # An interval without bounds is null: JSON has no infinity.
        typer.echo(json.dumps([json.loads(result.model_dump_json()) for result in results]))
    else:
        print_comparison(results, Console(), a, b)
    for name, side in zip(names, (ours, theirs), strict=True):
        if side.origin:
            typer.echo(f"{name}: {side.origin}", err=as_json)


def _compare_methods(context: typer.Context, names: Sequence[str], baseline: str, as_json: bool) -> None:
    from truing.cli.methods import print_methods
    from truing.evals.methods import compare_methods
    from truing.ledger.ledger import Ledger
    from truing.loops.methods import method_runs

    runs, notices = method_runs(Ledger.open(context.obj.ledger, create=False), names)
    results = compare_methods(runs, baseline)
    if as_json:
        typer.echo(json.dumps([json.loads(result.model_dump_json()) for result in results]))
    else:
        print_methods(results, Console(), baseline)
    for notice in notices:
        typer.echo(notice, err=as_json)


def print_comparison(
    results: "Sequence[MetricComparison]", console: Console, a: str = "base", b: str = "candidate"
) -> None:
    """Each side's mean, the difference (of shares in percentage points), 95% intervals, the verdict. An interval stands
    beside its number where the console is wide enough, and below it elsewhere."""
    forms = [_table(results, a, b, gap, between) for gap, between in ((1, " "), (0, " "), (1, "\n"))]
    unbounded = console.options.update(max_width=1000)
    fitting = (form for form in forms if console.measure(form, options=unbounded).maximum <= console.width)
    console.print(next(fitting, forms[-1]))
    unknown = [
        f"{result.title} ({result.baseline.unknown} of {a}, {result.candidate.unknown} of {b})"
        for result in results
        if result.baseline.unknown + result.candidate.unknown
    ]
    if unknown:
        console.print(f"unknown to the judge: {', '.join(unknown)}", highlight=False, markup=False, soft_wrap=True)


def _table(results: "Sequence[MetricComparison]", a: str, b: str, gap: int, between: str) -> Table:
    """The table with `gap` more spaces between its columns, and `between` a number and its interval."""
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, gap, 0, 0))
    table.add_column("metric")
    for name in ("n", a):
        table.add_column(Text(name), justify="right", no_wrap=True)
    for name in (b, "difference", "verdict"):
        table.add_column(Text(name), no_wrap=True)
    for result in results:
        verdict = result.verdict if between == " " else result.verdict.replace("enough ", "enough\n")
        table.add_row(
            result.title,
            f"{result.n}" if result.read is None else f"{result.read}/{result.n}",
            number(result.baseline.mean, result.unit),
            Text(number(result.candidate.mean, result.unit) + between + interval(result.candidate, result.unit)),
            Text(number(result.difference, result.unit, True) + between + interval(result, result.unit, True)),
            Text(verdict, STYLE[result.verdict]),
        )
    return table


def number(value: float | None, unit: str, signed: bool = False) -> str:
    """A mean (`20.4%`) or, signed, a difference (`+17.2` percentage points); scores and ratios with three decimals,
    nats with two, tokens and seconds with one, MB with none."""
    if value is None or not math.isfinite(value):
        return "unknown"
    if unit == "share":
        return f"{100 * value:+.1f}" if signed else f"{100 * value:.1f}%"
    decimals = {"score": 3, "ratio": 3, "nats": 2, "MB": 0}.get(unit, 1)
    return f"{value:+,.{decimals}f}" if signed else f"{value:,.{decimals}f}"


def interval(of: "Side | MetricComparison", unit: str, signed: bool = False) -> str:
    """An interval's bounds, `[14.5,26.8]`; nothing where it has none."""
    return bounds(of.low, of.high, unit, signed)


def bounds(low: float, high: float, unit: str, signed: bool = False) -> str:
    """Two bounds, `[14.5,26.8]`; nothing where they are not known."""
    if not (math.isfinite(low) and math.isfinite(high)):
        return ""
    shown = [number(bound, unit, signed).removesuffix("%") for bound in (low, high)]
    between = "," if unit in ("share", "nats", "score") else ", "  # thousands have commas of their own
    return f"[{between.join(shown)}]"


class Evaluated(NamedTuple):
    """The items of an evaluation, what is to be said of where they are from (a file, a deployed model; else nothing),
    what tasks of others measured, and who judged each task's answers."""

    items: "list[ItemResult]"
    origin: str
    own_tasks: "Sequence[OwnTask]"
    judges: "Mapping[str, str]"


def evaluated(context: typer.Context, name: str) -> Evaluated:
    """An evaluation of the ledger, or one that was exported to a file. Raises `InputError`."""
    from truing.evals.artifact import judges_of, own_tasks, read_items
    from truing.evals.observed import read_observations
    from truing.ledger.ledger import Ledger
    from truing.loops.baseline import SUFFIX, as_line, read_baseline

    if name.endswith(SUFFIX):
        stored = read_baseline(Path(name))
        origin = stored.origin
        return Evaluated(list(stored.items), as_line(origin), origin.own_tasks, origin.judges)
    ledger = Ledger.open(context.obj.ledger, create=False)
    folder = ledger.folder(_evaluation(ledger, name))
    observed = read_observations(folder)
    told = "" if observed is None else str(observed)
    return Evaluated(read_items(folder), told, own_tasks(folder), judges_of(folder))


def known_metrics(*sides: Evaluated) -> "list[Metric]":
    """Truing's own metrics, and those of the suites that were measured. Raises `InputError` where these differ, or
    another judge judged the answers."""
    from truing.evals.artifact import metrics_with, same_judges

    same_judges(*(side.judges for side in sides))
    return metrics_with(*(side.own_tasks for side in sides))


def _evaluation(ledger: "Ledger", name: str) -> "Artifact":
    found = ledger.get(name)
    if found.kind != "evaluation":
        raise InputError(
            f"{name!r} is of the kind {found.kind!r}; it must be an evaluation: "
            "`truing ls --kind evaluation` lists those"
        )
    return found
