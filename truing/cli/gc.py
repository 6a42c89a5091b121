"""`truing gc`: remove what the ledger does not need."""

from collections import Counter
from typing import Annotated

import typer

from truing.cli.run import Json

Keep = Annotated[
    list[str] | None,
    typer.Option(help="Remove all artifacts but this one (name or id), what it was made from, and other --keep."),
]
Newest = Annotated[
    bool,
    typer.Option("--keep-newest", help="Likewise: keep the newest artifact of each name and what it was made from."),
]
Unfinished = Annotated[
    bool, typer.Option("--unfinished", help="Remove the checkpoints of interrupted steps, too: they begin anew.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="List what would go; remove nothing.")]


def gc(
    context: typer.Context,
    keep: Keep = None,
    keep_newest: Newest = False,
    unfinished: Unfinished = False,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Remove leftovers of interrupted writes, finished steps' checkpoints, and unused files of the store.

    Artifacts stay, unless --keep or --keep-newest says which to keep: then every other goes, except what those were
    made from. Waits for nobody: while a run writes to the ledger, it stops with exit code 3.

    Example: truing gc --keep-newest --dry-run
    """
    from truing.ledger.garbage import collect
    from truing.ledger.ledger import Ledger

    ledger = Ledger.open(context.obj.ledger, create=False)
    kept = [ledger.get(name) for name in keep] if keep else None
    if keep_newest:
        newest = {artifact.name: artifact for artifact in reversed(ledger.list())}
        kept = [*(kept or []), *newest.values()]
    plan = collect(ledger, kept, unfinished, dry_run)
    if as_json:
        typer.echo(plan.model_dump_json())
        return
    if dry_run:
        for waste in plan.waste:
            typer.echo(f"{waste.path}  {waste.why}  {_bytes(waste.size)}")
    done = "would go" if dry_run else "removed"
    sizes = Counter[str]()
    for waste in plan.waste:
        sizes[waste.why] += waste.size
    many = Counter(waste.why for waste in plan.waste)
    for why, size in sizes.items():
        typer.echo(f"{done}: {many[why]} × {why} ({_bytes(size)})")
    for sentence in plan.left:
        typer.echo(f"left: {sentence}")
    if not plan.waste:
        typer.echo("there is nothing to remove")


def _bytes(size: int) -> str:
    return (
        f"{size} bytes" if size < 10_000 else f"{size / 1000:,.0f} kB" if size < 10_000_000 else f"{size / 1e6:,.0f} MB"
    )
