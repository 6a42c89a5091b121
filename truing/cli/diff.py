"""`truing diff A B`: exactly what differs behind two artifacts, beside the results that differ."""

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from truing.cli.run import Json
from truing.cli.show import Reference


def diff(context: typer.Context, a: Reference, b: Reference, as_json: Json = False) -> None:
    """Name the settings and inputs in which two artifacts (and all that is behind them) differ, and the results.

    Example: truing diff 3f2a 9c01
    """
    from truing.ledger.ledger import Ledger
    from truing.ledger.lineage import diff as compare

    ledger = Ledger.open(context.obj.ledger, create=False)
    found = compare(ledger, ledger.get(a), ledger.get(b))
    if as_json:
        typer.echo(found.model_dump_json())
        return
    if not (found.inputs or found.results):
        typer.echo(f"{a} and {b} do not differ")
        return
    for title, changes in (("inputs and settings that differ", found.inputs), ("results that differ", found.results)):
        table = Table("where", escape(a), escape(b), title=title, title_justify="left")
        for change in changes:
            table.add_row(escape(change.where), escape(change.a), escape(change.b))
        Console().print(table)
