"""`truing diff A B`: what differs going into two systems, or artifacts, beside what differs coming out."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from truing.cli.compare import print_comparison
from truing.cli.gate import print_moved, write_text
from truing.cli.progress import counted
from truing.cli.run import Json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from truing.evals.outcomes import Outcomes
    from truing.ledger.difference import Change, RowChange
    from truing.loops.differences import SystemDifference

_SIDE = (
    "An artifact (name, id, or its first digits): an adapter, an evaluation, a gate for its candidate, a dataset; or a "
    "bare model: smollm2-135m, hf:OWNER/NAME, a folder."
)


def diff(
    context: typer.Context,
    a: Annotated[str, typer.Argument(metavar="A", help=_SIDE)],
    b: Annotated[str, typer.Argument(metavar="B", help=_SIDE)],
    rows: Annotated[int, typer.Option(min=0, help="Show so many of the rows that differ, of each kind.")] = 3,
    html: Annotated[Path | None, typer.Option(help="Write what differs as one HTML page.")] = None,
    as_json: Json = False,
) -> None:
    """Name the settings, steps, rows and versions in which two systems differ, beside the outcomes that differ.

    Example: truing diff sft dpo --html diff.html
    """
    from truing.ledger.ledger import Ledger
    from truing.loops.differences import differences

    found = differences(Ledger.open(context.obj.ledger, create=False), a, b, rows)
    if html is not None:
        from truing.report.diff_page import render

        write_text(html, render(a, b, found.difference, found.row_texts, found.outcomes, found.commands, found.notes))
    if as_json:
        # An interval without bounds is null: JSON has no infinity.
        typer.echo(found.model_dump_json())
        return
    if found.nothing:
        typer.echo(f"{a} and {b} do not differ")
    else:
        _print(found, Console())
    if html is not None:
        typer.echo(f"page: {html}")


def _print(found: "SystemDifference", console: Console) -> None:
    from truing.ledger.difference import kind_of

    _print_changes("what differs going in", found, found.inputs, console, [kind_of(change) for change in found.inputs])
    for change in found.rows:
        console.print(said_of(change), highlight=False, markup=False, soft_wrap=True)
        for text in found.row_texts:
            if text.where == change.where:
                for line in _lines(text.how, text.id, text.parts):
                    console.print(line, highlight=False, markup=False, soft_wrap=True)
    if not (found.inputs or found.rows):
        console.print("nothing differs going in", highlight=False)
    for place in found.same_files:
        console.print(f"{place}: the same files came of it all the same", highlight=False, markup=False)
    if found.outcomes is not None:
        console.print("what differs coming out:", highlight=False)
        print_comparison(found.outcomes.comparisons, console, found.a, found.b)
        _print_counts(found.outcomes, console)
        print_moved(found.outcomes.moved, console)
    compared = set() if found.outcomes is None else {one.task for one in found.outcomes.comparisons}
    others = [change for change in found.results if change.where not in compared]
    _print_changes("results that differ" if not compared else "other results that differ", found, others, console)
    if found.commands:
        console.print("outcomes: not measured on common items; this does it:", highlight=False)
    for line in (*(f"  {command}" for command in found.commands), *found.notes):
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def _print_counts(outcomes: "Outcomes", console: Console) -> None:
    """How many items moved, and how many had no counterpart."""
    items = sum(one.items for one in outcomes.comparisons)
    moved = sum(outcomes.changed.values())
    console.print(f"{moved or 'none'} of {counted(items, 'common item')} moved", highlight=False)
    for task, count in outcomes.left_out.items():
        console.print(f"{task}: {counted(count, 'item')} without a counterpart left out", highlight=False, markup=False)


def _print_changes(
    title: str, found: "SystemDifference", changes: "Sequence[Change]", console: Console, kinds: "Sequence[str]" = ()
) -> None:
    if not changes:
        return
    console.print(f"{title}:", highlight=False)
    table = Table(*(["what"] if kinds else []), "where", box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for side in (found.a, found.b):
        table.add_column(escape(side))
    for place, change in enumerate(changes):
        cells = (escape(cell) for cell in (change.where, change.a, change.b))
        table.add_row(*kinds[place : place + 1], *cells)
    console.print(table)


def said_of(change: "RowChange") -> str:
    """How many rows differ, and which."""
    from truing.ledger.ledger import listed

    parts = [("added", change.added), ("removed", change.removed), ("changed", change.changed)]
    counts = "; ".join(f"{counted(len(ids), 'row')} {how}: {listed(ids)}" for how, ids in parts if ids)
    return f"{change.where}: {counts}"


def _lines(how: str, name: str, parts: "Sequence[Change]") -> list[str]:
    """A row that was added behind +, one that was removed behind −, what was changed in one behind ~."""
    sign = {"added": "+", "removed": "−", "changed": "~"}[how]
    told = [
        f"{part.where}: {part.a or '(none)'} → {part.b or '(none)'}"
        if how == "changed"
        else f"{part.where}: {part.a or part.b}"
        for part in parts
    ]
    return [f"  {sign} {name} {told[0]}", *(f"      {line}" for line in told[1:])]
