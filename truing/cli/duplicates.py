"""`truing data duplicates`: rows that say the same again, and held-out ones that a row gives away."""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from truing.cli.progress import counted
from truing.cli.rows import Columns, Format, MaxBad, Source, Tally, paths_of, read, sort_out
from truing.cli.run import Json
from truing.core.records import Comparison

if TYPE_CHECKING:
    from truing.core.records import Probe


def duplicates(
    context: typer.Context,
    source: Source,
    against: Annotated[
        str | None, typer.Option(help="Held-out comparisons or probes: list those that rows of SOURCE give away.")
    ] = None,
    by: Annotated[
        Literal["row", "prompt"] | None,
        typer.Option(help="Compare prompts alone, or with both answers; rows by default, prompts with --against."),
    ] = None,
    limit: Annotated[
        float, typer.Option(min=0.5, max=1.0, help="The least similarity (Jaccard, of word trigrams) to list.")
    ] = 0.8,
    format_name: Format = None,
    columns: Columns = None,
    max_bad: MaxBad = "0",
    as_json: Json = False,
) -> None:
    """List exact and near duplicates among rows, or between rows and held-out ones.

    Example: truing data duplicates comparisons.jsonl --against probes.jsonl
    """
    from truing.data.duplicates import find_duplicates, find_leaks

    rows = sort_out(
        read(context, source, format_name, columns, "best-worst", None, quiet=as_json),
        source,
        max_bad,
        Tally(),
        "compared",
    )
    if against is None:
        groups = find_duplicates(rows, by or "row", limit)
        if as_json:
            typer.echo(json.dumps({"file": source, "duplicates": [group.model_dump() for group in groups]}))
            return
        for group in groups:
            turned = ", one prefers what another rejects" if group.turned else ""
            typer.echo(f"{group.kind} {group.similarity:.2f}  {', '.join(group.rows)}  {group.text!r}{turned}")
        more = sum(len(group.rows) - 1 for group in groups)
        typer.echo(f"{source}: {counted(more, 'row')} more than needed, in {counted(len(groups), 'group')}")
        return
    leaks = find_leaks(rows, _held_out(context, against), by or "prompt", limit)
    if as_json:
        typer.echo(json.dumps({"file": source, "against": against, "leaks": [leak.model_dump() for leak in leaks]}))
        return
    for leak in leaks:
        typer.echo(f"{leak.similarity:.2f}  {leak.held_out} is like {leak.training}  {leak.text!r}")
    typer.echo(f"{against}: {counted(len(leaks), 'held-out item')} that {source} gives away")


def _held_out(context: typer.Context, source: str) -> "Sequence[Comparison | Probe]":
    """Comparisons or probes, told by whether every row has answers. Raises `InputError` for bad ones."""
    from truing.data import files, native

    paths = paths_of(context, source)
    rows = (row.value for path in paths for row in files.read(path))
    if any(isinstance(row, dict) and "group" in row and "chosen" not in row for row in rows):
        return [probe for path in paths for probe in native.read_probes(path)]
    items = read(context, source, None, None, "best-worst", None, quiet=True)
    return list(sort_out(items, source, "0", Tally(), "compared"))
