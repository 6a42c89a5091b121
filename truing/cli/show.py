"""`truing show`: one artifact, whole."""

import json
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from truing.cli.ls import metric
from truing.cli.progress import duration
from truing.cli.run import Json

Reference = Annotated[str, typer.Argument(help="An artifact's name, id, or the first digits of its id.")]


def show(context: typer.Context, artifact: Reference, as_json: Json = False) -> None:
    """Show one artifact: settings, parents, files, metrics; when and by which version it was made, and what that took.

    Example: truing show dpo
    """
    from truing.ledger.ledger import Ledger

    ledger = Ledger.open(context.obj.ledger, create=False)
    found = ledger.get(artifact)
    if as_json:
        typer.echo(json.dumps({**found.model_dump(mode="json"), "folder": str(ledger.folder(found))}))
        return
    cost = ledger.cost(found)
    table = Table(show_header=False, box=None, pad_edge=False)
    rows = {
        "id": found.id,
        "name": f"{found.name} ({found.kind})",
        "made by": f"{found.verb}, version {found.verb_version}, seed {found.seed}, truing {found.code_version}",
        "when": found.created.astimezone().strftime("%Y-%m-%d %H:%M:%S %z"),
        "took": "unknown" if cost is None else f"{duration(cost.seconds)}, and {cost.peak_mb:,} MB at most",
        "parents": ", ".join(f"{parent.role} {parent.artifact[:12]}" for parent in found.parents) or "none",
        "settings": json.dumps(found.config, indent=1, ensure_ascii=False),
        "metrics": "\n".join(f"{name} {metric(value)}" for name, value in found.metrics.items()) or "none",
        "files": "\n".join(f"{file.name}  {file.size:,} bytes  {file.sha256[:12]}" for file in found.files),
        "folder": str(ledger.folder(found)),
    }
    for name, value in rows.items():
        table.add_row(f"[bold]{name}[/]", escape(value))
    Console(soft_wrap=True).print(table, highlight=False)
