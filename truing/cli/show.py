"""`truing show`: one artifact, whole."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from truing.cli.ls import metric
from truing.cli.progress import duration
from truing.cli.run import Json
from truing.core.errors import InputError

if TYPE_CHECKING:
    from truing.ledger.artifacts import Artifact
    from truing.ledger.ledger import Ledger

Reference = Annotated[str, typer.Argument(help="An artifact's name, id, or the first digits of its id.")]


def show(
    context: typer.Context,
    artifact: Reference,
    export: Annotated[
        Path | None, typer.Option(help="Write an evaluation to FILE.jsonl, a baseline for `truing gate`.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show one artifact: settings, parents, files, metrics; when and by which version it was made, and what that took.

    Example: truing show dpo
    """
    from truing.ledger.ledger import Ledger

    ledger = Ledger.open(context.obj.ledger, create=False)
    found = ledger.get(artifact)
    if export is not None:
        _export(ledger, found, export)
        return
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


def _export(ledger: "Ledger", found: "Artifact", path: Path) -> None:
    """Write an evaluation's items to a file."""
    from truing.evals.artifact import judges_of, own_tasks, read_items
    from truing.loops.baseline import SUFFIX, write_baseline
    from truing.loops.systems import answered_by

    if found.kind != "evaluation":
        raise InputError(f"{found.name!r} is of the kind {found.kind!r}; only an evaluation can be exported")
    if path.suffix != SUFFIX:
        raise InputError(
            f"--export {path}: name it FILE{SUFFIX}, by which `truing gate` tells it from the ledger's names"
        )
    folder = ledger.folder(found)
    source, own, judges = answered_by(ledger, found), own_tasks(folder), judges_of(folder)
    origin = write_baseline(path, found, read_items(folder), own, source, judges)
    typer.echo(f"{path}: {origin.items} items of {found.name}, with prompts and answers in full")
