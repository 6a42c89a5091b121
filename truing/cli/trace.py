"""`truing trace`: where something came from, down to single rows; or how far a row reached."""

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.tree import Tree

from truing.cli.ls import metric
from truing.cli.progress import counted
from truing.cli.run import Json

if TYPE_CHECKING:
    from truing.ledger.ledger import Artifact, Ledger
    from truing.ledger.lineage import Trace


def trace(
    context: typer.Context,
    what: Annotated[str, typer.Argument(help="An artifact (name or id), or a row's id or sha256.")],
    rows: Annotated[bool, typer.Option("--rows", help="List the rows of every dataset.")] = False,
    as_json: Json = False,
) -> None:
    """Draw everything behind an artifact; for a row, list the artifacts that it reached.

    Example: truing trace candidate --rows
    """
    from truing.core.errors import InputError
    from truing.ledger.ledger import Ledger
    from truing.ledger.lineage import trace as walk

    ledger = Ledger.open(context.obj.ledger, create=False)
    try:
        artifact = ledger.get(what)
    except InputError:
        if not ledger.artifacts_with_row(what):
            raise
        _reached(ledger, what, as_json)
        return
    found = walk(ledger, artifact)
    if as_json:
        typer.echo(json.dumps(_plain(ledger, found, rows)))
    else:
        Console(soft_wrap=True).print(draw(ledger, found, rows), highlight=False)


def draw(ledger: "Ledger", found: "Trace", rows: bool) -> Tree:
    """The tree of an artifact's ancestors. One that is reached twice has its own ancestors drawn the first time."""
    drawn: set[str] = set()

    def grow(node: "Trace", tree: Tree | None) -> Tree:
        artifact = node.artifact
        role = f"[dim]{escape(node.role)} ←[/] " if node.role else ""
        label = role + _label(artifact)
        if artifact.id in drawn:
            label += " [dim](see above)[/]"
        branch = Tree(label) if tree is None else tree.add(label)
        if artifact.id not in drawn:
            drawn.add(artifact.id)
            held = ledger.rows(artifact)
            if held:
                many = branch.add(counted(len(held), "row") + ("" if rows else " [dim](--rows lists them)[/]"))
                origins = _origins(ledger, artifact) if rows else {}
                for row_id, sha in held if rows else []:
                    many.add(escape(f"{row_id} {sha[:12]}") + f" [dim]from {escape(_from(origins.get(row_id)))}[/]")
            for parent in node.parents:
                grow(parent, branch)
        return branch

    return grow(found, None)


def _label(artifact: "Artifact") -> str:
    """One line of the tree: what it is, who made it from which seed, when, with which code, and its first metrics."""
    made = f"by {artifact.verb}, seed {artifact.seed}, {artifact.created.astimezone():%Y-%m-%d %H:%M}"
    metrics = ", ".join(f"{name} {metric(value)}" for name, value in list(artifact.metrics.items())[:4])
    return (
        f"[bold]{escape(artifact.name)}[/] {escape(artifact.kind)} {artifact.short} "
        f"[dim]{escape(made)}, truing {escape(artifact.code_version)}[/]  {escape(metrics)}"
    )


def _origins(ledger: "Ledger", artifact: "Artifact") -> dict[str, tuple[str | None, str | None]]:
    """(origin, annotator) by row id, read from the artifact's own JSON Lines files; rows found nowhere are left out."""
    from truing.data.native import lines_of

    found: dict[str, tuple[str | None, str | None]] = {}
    for file in artifact.files:
        if not file.name.endswith(".jsonl"):
            continue
        for line in lines_of(ledger.folder(artifact) / file.name):
            row = json.loads(line)
            if isinstance(row, dict) and "id" in row:
                found.setdefault(row["id"], (row.get("origin"), row.get("annotator")))
    return found


def _from(origin: tuple[str | None, str | None] | None) -> str:
    return ", ".join(part for part in origin or () if part) or "unknown"


def _plain(ledger: "Ledger", node: "Trace", rows: bool) -> dict[str, Any]:
    held = ledger.rows(node.artifact)
    origins = _origins(ledger, node.artifact) if rows and held else {}
    listed = []
    for row_id, sha in held if rows else []:
        origin, annotator = origins.get(row_id, (None, None))
        listed.append({"id": row_id, "sha256": sha, "origin": origin, "annotator": annotator})
    return {
        "role": node.role,
        "artifact": node.artifact.model_dump(mode="json"),
        "rows": listed if rows else len(held),
        "parents": [_plain(ledger, parent, rows) for parent in node.parents],
    }


def _reached(ledger: "Ledger", row: str, as_json: bool) -> None:
    """The artifacts that hold a row, and all that were made from those."""
    holders = ledger.artifacts_with_row(row)
    everything = list(reversed(ledger.list()))
    reached: set[str] = set()
    more = {artifact.id for artifact in holders}
    # Until nothing is added: a parent that was used or made again stands behind its children in the list.
    while not more <= reached:
        reached |= more
        more = {one.id for one in everything if any(parent.artifact in reached for parent in one.parents)}
    found = [artifact for artifact in everything if artifact.id in reached]
    if as_json:
        typer.echo(json.dumps([artifact.model_dump(mode="json") for artifact in found]))
        return
    typer.echo(f"the row {row} reached {counted(len(found), 'artifact')}:")
    for artifact in found:
        held = " (holds it)" if artifact in holders else ""
        typer.echo(f"  {artifact.short}  {artifact.name}  {artifact.kind}{held}")
