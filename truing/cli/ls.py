"""`truing ls`: what the ledger holds, newest first."""

import json
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from truing.cli.run import Json


def ls(
    context: typer.Context,
    kind: Annotated[
        str | None, typer.Option(help="Only this kind: dataset, adapter, evaluation, comparison, report.")
    ] = None,
    as_json: Json = False,
) -> None:
    """List the ledger's artifacts, newest first.

    Example: truing ls --kind adapter
    """
    from truing.ledger.ledger import Ledger

    artifacts = Ledger.open(context.obj.ledger, create=False).list(kind)
    if as_json:
        typer.echo(json.dumps([artifact.model_dump(mode="json") for artifact in artifacts]))
        return
    table = Table("id", "name", "kind", "made by", "when", "metrics")
    for artifact in artifacts:
        metrics = ", ".join(f"{name} {metric(value)}" for name, value in list(artifact.metrics.items())[:3])
        when = artifact.created.astimezone().strftime("%Y-%m-%d %H:%M")
        # Names and settings are the user's own text: a bracket in them is a bracket, not rich's markup.
        cells = (artifact.short, artifact.name, artifact.kind, artifact.verb, when, metrics)
        table.add_row(*(escape(cell) for cell in cells))
    Console().print(table)


def metric(value: float | str | None) -> str:
    """A metric as people read it."""
    return "unknown" if value is None else f"{value:.4g}" if isinstance(value, float | int) else value
