"""`truing ablate A.toml B.toml`: how much of the difference between two recipes is owed to which setting."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from truing.cli.compare import STYLE, bounds, number
from truing.cli.methods import print_claim
from truing.cli.progress import counted
from truing.cli.run import Benchmarks, DryRun, Json, Set
from truing.cli.vary import (
    Measure,
    Seeds,
    plain,
    print_planned,
    print_runs,
    run_planned,
    runs_as_plain,
    seeds_of,
)
from truing.core.config import apply_overrides, read_toml

if TYPE_CHECKING:
    from truing.evals.attribution import Attribution


def ablate(
    context: typer.Context,
    a: Annotated[Path, typer.Argument(metavar="A.toml", help="A recipe.")],
    b: Annotated[Path, typer.Argument(metavar="B.toml", help="One that differs from it in some settings.")],
    seeds: Seeds = None,
    measure: Measure = None,
    together: Annotated[
        list[str] | None,
        typer.Option(metavar="SETTING,SETTING", help="Settings that count as one. May be repeated."),
    ] = None,
    changes: Set = None,
    benchmarks: Benchmarks = None,
    as_json: Json = False,
    dry_run: DryRun = False,
) -> None:
    """Attribute the difference between two recipes, measure by measure, to the settings in which they differ. What lies
    between them is run: all combinations of up to four settings, of more each one changed first and last.

    Example: truing ablate before.toml after.toml --seeds 0,1,2
    """
    from truing.evals.methods import claim_of
    from truing.ledger.ledger import Ledger
    from truing.loops.ablate import ablation, parts
    from truing.loops.experiment import plan

    ours, theirs = (apply_overrides(read_toml(path), changes or []) for path in (a, b))
    root, where = context.obj.ledger, (str(a), str(b))
    given = seeds_of(seeds)
    found = ablation(
        ours,
        theirs,
        where,
        root,
        measure=measure,
        together=together or (),
        seeded=given is not None,
        benchmarks=benchmarks,
    )
    planned = plan(list(found.combinations.values()), given, found.measured, where[0], root, benchmarks)
    whole = len(found.combinations) == 1 << len(found.settings)
    which = "all combinations" if whole else "each changed first, and last"
    differ = "; ".join(str(change) for changes in found.settings.values() for change in changes)
    said = (
        f"{where[0]} → {where[1]}, measured by {found.measured}: {counted(len(found.settings), 'setting')} "
        f"({differ}), {which}"
    )
    if dry_run:
        print_planned(planned, said, as_json)
        return
    console = Console(stderr=as_json)
    done = run_planned(planned, found.measured, said, console, as_json)
    results = parts(found, done, Ledger.open(root, create=False))
    if as_json:
        told = {**runs_as_plain(planned, done, found.measured), "tests": sum(one.p is not None for one in results)}
        typer.echo(json.dumps({**told, "shapley": whole, "parts": plain(results)}))
        return
    print_runs(planned, done, console)
    _print(results, console)
    by_items = "a part is a Shapley value: the mean over all orders of changing the settings"
    by_ends = "a part is the mean of alone and last; what the parts leave is owed to three settings and more together"
    console.print(f"{by_items if whole else by_ends}; parts sum to the whole", highlight=False, soft_wrap=True)
    taken = [one.seed for one in done]
    print_claim(taken, sum(one.p is not None for one in results), claim_of(taken), console)


def _print(results: "Sequence[Attribution]", console: Console) -> None:
    """Measure by measure: the whole difference, and each setting's part."""
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("measure")
    table.add_column("setting")
    for name in ("alone", "last"):
        table.add_column(name, justify="right", no_wrap=True)
    for name in ("part", "verdict"):
        table.add_column(name, no_wrap=True)
    for one in results:
        interval = bounds(one.low, one.high, one.unit, True)
        table.add_row(
            one.title if one.setting is None else "",
            Text(one.setting or "whole difference"),
            *("" if end is None else number(end, one.unit, True) for end in (one.first, one.last)),
            Text(f"{number(one.value, one.unit, True)} {interval}".strip()),
            Text(one.verdict, STYLE[one.verdict]) if one.verdict else Text(""),
        )
    console.print(table)
    unknown = {one.title: one.items - one.n for one in results if one.n < one.items}
    if unknown:
        told = ", ".join(f"{title} ({count})" for title, count in unknown.items())
        console.print(f"unknown in some run, and left out: {told}", highlight=False, markup=False, soft_wrap=True)
