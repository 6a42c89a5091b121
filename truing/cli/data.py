"""`truing data import|validate|stats|export`: comparisons in and out, with every bad row named."""

import json
import shlex
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from truing.cli.progress import counted
from truing.cli.run import Json
from truing.core.errors import InputError
from truing.core.records import Comparison
from truing.data.validate import BadRow

data = typer.Typer(name="data", help="Comparisons in and out: import, validate, stats, export.", no_args_is_help=True)
Source = Annotated[Path, typer.Argument(help="A JSON Lines file of comparisons.")]
Format = Annotated[str | None, typer.Option("--format", help="native or trl; told from the first row if not given.")]


@data.command("import")
def import_(
    context: typer.Context,
    source: Source,
    format_name: Format = None,
    name: Annotated[str, typer.Option(help="The import's name in the ledger.")] = "comparisons",
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Leave bad rows out, and say how many and why.")] = False,
    as_json: Json = False,
) -> None:
    """Import comparisons into the ledger, where every row can be traced; train on them as ledger:NAME.

    Example: truing data import comparisons.jsonl --name reviewed
    """
    from truing.data import formats, native
    from truing.ledger.ledger import Ledger
    from truing.loops.verbs.dataset import IMPORT, IMPORTED

    good, bad = formats.load(source, format_name)
    if bad and not (skip_bad and good):
        _print_bad(source, bad, as_json)
        advice = "repair them, or import the rest with --skip-bad" if good else "no row can be imported"
        many = f"{len(bad)} of {counted(len(good) + len(bad), 'row')} {'is' if len(bad) == 1 else 'are'} bad"
        raise InputError(f"{source}: {many}; nothing was imported; {advice}")
    ledger = Ledger.open(context.obj.ledger)
    with ledger.begin() as staging:
        text = "".join(native.write(row) + "\n" for row in good)
        (staging / IMPORTED).write_text(text, encoding="utf-8")
        artifact = ledger.commit(
            staging,
            kind=IMPORT,
            verb="data import",
            verb_version=1,
            name=name,
            config={"source": source.name, "skipped": [bad_row.__dict__ for bad_row in bad]},
            parents=[],
            seed=None,
            metrics={"rows": len(good), "skipped": len(bad)},
            rows=[(row.id, row.sha256) for row in good],
        )
    if as_json:
        skipped = [bad_row.__dict__ for bad_row in bad]
        typer.echo(json.dumps({"artifact": artifact.id, "rows": len(good), "skipped": skipped}))
        return
    if bad:
        _print_bad(source, bad, as_json)
        typer.echo(f"left out {counted(len(bad), 'bad row')}, listed above and kept in the artifact's configuration")
    typer.echo(f"imported {counted(len(good), 'comparison')} as {name} ({artifact.short})")
    typer.echo(f"next: truing train preference ledger:{shlex.quote(name)}")


@data.command()
def validate(source: Source, format_name: Format = None, as_json: Json = False) -> None:
    """Check every row; list each bad one with its line and reason. Exit code 2 if there is any.

    Example: truing data validate comparisons.jsonl
    """
    from truing.data import formats

    good, bad = formats.load(source, format_name)
    _print_bad(source, bad, as_json)
    if as_json:
        problems = [bad_row.__dict__ for bad_row in bad]
        typer.echo(json.dumps({"file": str(source), "good": len(good), "bad": problems}))
    else:
        typer.echo(f"{source}: {counted(len(good), 'good row')}, {len(bad)} bad")
    if bad:
        raise typer.Exit(2)


@data.command()
def stats(source: Source, format_name: Format = None, as_json: Json = False) -> None:
    """Describe comparisons: groups, turns, lengths, and whether "chosen" is merely "longer".

    Example: truing data stats comparisons.jsonl
    """
    from truing.data.statistics import describe

    statistics = describe(_all_good(source, format_name))
    if as_json:
        typer.echo(statistics.model_dump_json())
        return
    table = Table("what", "value", title=escape(str(source)))
    for key, value in statistics.model_dump().items():
        shown = ", ".join(f"{group} {count}" for group, count in value.items()) if isinstance(value, dict) else value
        shown = "not defined" if shown is None else f"{shown:.3f}" if isinstance(shown, float) else str(shown)
        table.add_row(key.replace("_", " "), escape(shown))
    Console().print(table)


@data.command()
def export(
    source: Source,
    target: Annotated[Path, typer.Argument(help="The file to write.")],
    to: Annotated[str, typer.Option("--to", help="native or trl.")] = "trl",
    format_name: Format = None,
) -> None:
    """Write comparisons in another format. An existing file is not overwritten.

    Example: truing data export comparisons.jsonl trl.jsonl --to trl
    """
    from truing.data.formats import FORMATS

    if to not in FORMATS:
        raise InputError(f"--to {to}: not a known format; use one of {', '.join(FORMATS)}")
    if target.exists():
        raise InputError(f"{target} exists already; choose another name or move it away")
    rows = _all_good(source, format_name)
    staging = target.with_name(target.name + ".writing")
    staging.write_text("".join(FORMATS[to].write(row) + "\n" for row in rows), encoding="utf-8")
    staging.replace(target)
    typer.echo(f"wrote {counted(len(rows), 'comparison')} to {target}")


def _all_good(source: Path, format_name: str | None) -> list[Comparison]:
    from truing.data import formats

    good, bad = formats.load(source, format_name)
    if bad:
        first = bad[0]
        raise InputError(
            f"{source}: {counted(len(bad), 'bad row')}, the first in line {first.line}: {first.reason}; "
            f"see all with `truing data validate {source}`"
        )
    return good


def _print_bad(source: Path, bad: list[BadRow], as_json: bool) -> None:
    """List the bad rows on standard error."""
    if not as_json:
        for row in bad:
            typer.echo(f"{source}, line {row.line}: {row.reason}", err=True)
