"""`truing diff A B`: exactly what differs behind two artifacts, beside the results that differ."""

from typing import TYPE_CHECKING

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from truing.cli.progress import counted
from truing.cli.run import Json
from truing.cli.show import Reference

if TYPE_CHECKING:
    from truing.ledger.difference import Change


def diff(context: typer.Context, a: Reference, b: Reference, as_json: Json = False) -> None:
    """Name the settings, inputs and rows in which two artifacts (and all that is behind them) differ, and the results.

    Example: truing diff 3f2a 9c01
    """
    from truing.ledger.difference import diff as compare
    from truing.ledger.ledger import Ledger, listed

    ledger = Ledger.open(context.obj.ledger, create=False)
    found = compare(ledger, ledger.get(a), ledger.get(b))
    if as_json:
        typer.echo(found.model_dump_json())
        return
    if not (found.inputs or found.rows or found.results):
        typer.echo(f"{a} and {b} do not differ")
        return
    _print("inputs and settings that differ", a, b, found.inputs)
    for change in found.rows:
        parts = [("added", change.added), ("removed", change.removed), ("changed", change.changed)]
        counts = "; ".join(f"{counted(len(ids), 'row')} {how}: {listed(ids)}" for how, ids in parts if ids)
        typer.echo(f"{change.where}: {counts}")
    _print("results that differ", a, b, found.results)


def _print(title: str, a: str, b: str, changes: "tuple[Change, ...]") -> None:
    table = Table("where", escape(a), escape(b), title=title, title_justify="left")
    for change in changes:
        table.add_row(escape(change.where), escape(change.a), escape(change.b))
    Console().print(table)
