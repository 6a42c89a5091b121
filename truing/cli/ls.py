"""`truing ls`: what the ledger holds, newest first."""

import json
from typing import Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from truing.cli.run import Json
from truing.core.errors import InputError

KINDS = (
    "import",
    "dataset",
    "judged",
    "adapter",
    "evaluation",
    "comparison",
    "report",
    "reward",
    "judge",
    "validation",
    "pairwise",
    "partial_evaluation",
    "latency",
)


def ls(
    context: typer.Context,
    kind: Annotated[str | None, typer.Option(help=f"Only this kind: {', '.join(KINDS)}.")] = None,
    as_json: Json = False,
) -> None:
    """List the ledger's artifacts, newest first. One that a later run used again counts as new.

    Example: truing ls --kind adapter
    """
    from truing.ledger.ledger import Ledger

    ledger = Ledger.open(context.obj.ledger, create=False)
    artifacts = ledger.list(kind)
    if kind is not None and not artifacts and kind not in KINDS:
        kinds = dict.fromkeys([*KINDS, *sorted(artifact.kind for artifact in ledger.list())])
        raise InputError(f"--kind {kind}: there is no such kind; the kinds are {', '.join(kinds)}")
    if as_json:
        typer.echo(json.dumps([artifact.model_dump(mode="json") for artifact in artifacts]))
        return
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    for heading in ("id", "name", "kind", "made by", "when", "metrics"):
        table.add_column(heading, no_wrap=heading in ("id", "when"))
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
