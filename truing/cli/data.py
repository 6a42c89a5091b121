"""`truing data import|validate|stats|export|duplicates|fetch`: comparisons in and out, with every bad row named."""

import json
import shlex
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from truing.cli.duplicates import duplicates
from truing.cli.fetch import fetch
from truing.cli.progress import counted
from truing.cli.rows import (
    Columns,
    Format,
    MaxBad,
    Model,
    Pairs,
    Source,
    Tally,
    allowance,
    bad_file,
    named,
    read,
    sort_out,
)
from truing.cli.run import Json
from truing.core.errors import InputError
from truing.core.records import Comparison
from truing.data.rows import BadRow, RowError

if TYPE_CHECKING:
    from truing.data.files import Writer
    from truing.data.formats import Format as Form

data = typer.Typer(
    name="data",
    help="Comparisons in and out: import, validate, stats, export, duplicates; and fetch, for public sets.",
    no_args_is_help=True,
)


@data.command("import")
def import_(
    context: typer.Context,
    source: Source,
    to: Annotated[
        Path | None, typer.Option("--to", help="Write the rows here, in the native form, instead of the ledger.")
    ] = None,
    name: Annotated[str, typer.Option(help="The import's name in the ledger.")] = "comparisons",
    format_name: Format = None,
    columns: Columns = None,
    pairs: Pairs = "best-worst",
    model: Model = None,
    max_bad: MaxBad = "0",
    as_json: Json = False,
) -> None:
    """Import comparisons into the ledger, where every row can be traced; train on them as ledger:NAME.

    Bad rows are kept whole in SOURCE.bad.jsonl, beside the target (or beside the ledger). With more of them than
    --max-bad allows, nothing is imported, and the exit code is 2.

    Example: truing data import comparisons.jsonl --name reviewed
    """
    from truing.data import files, native

    if to is not None:
        files.check_target(to)
    beside: Path = (to or context.obj.ledger).absolute().parent
    items = read(context, source, format_name, columns, pairs, model, quiet=as_json)
    tally = Tally()
    with tempfile.TemporaryDirectory() as folder:
        target, ids = to or Path(folder, "comparisons.jsonl"), Path(folder, "ids.jsonl")
        with (
            bad_file(source, beside) as kept,
            files.writing(target) as writer,
            ids.open("w", encoding="utf-8") as noted,
        ):
            for row in sort_out(items, source, max_bad, tally, "imported", kept, listed=not as_json):
                writer.write(native.write(row)[0])
                if to is None:
                    noted.write(json.dumps([row.id, row.sha256]) + "\n")
        where = {"file": str(to)} if to else {"artifact": _commit(context, source, target, ids, name, tally, kept.path)}
    if as_json:
        typer.echo(json.dumps({**where, "rows": tally.good, **tally.as_json(kept.path)}))
        return
    tally.say(kept.path)
    if to is not None:
        typer.echo(f"wrote {counted(tally.good, 'comparison')} to {to}")
        return
    typer.echo(f"imported {counted(tally.good, 'comparison')} as {name} ({where['artifact'][:12]})")
    typer.echo(f"next: truing train preference ledger:{shlex.quote(name)}")


def _commit(context: typer.Context, source: str, file: Path, ids: Path, name: str, tally: Tally, bad: Path) -> str:
    """Make the imported file an artifact; returns its id."""
    from truing.core.digest import digest_file
    from truing.ledger.ledger import Ledger
    from truing.loops.verbs.dataset import BAD, IMPORT, IMPORTED

    ledger = Ledger.open(context.obj.ledger)
    with ledger.begin() as staging:
        shutil.move(file, staging / IMPORTED)
        if tally.bad or tally.left_over:
            shutil.copyfile(bad, staging / BAD)
        config = {"source": Path(source).name, "sha256": digest_file(staging / IMPORTED)}
        artifact = ledger.commit(
            staging,
            kind=IMPORT,
            verb="data import",
            verb_version=2,
            name=name,
            config=config,
            parents=[],
            seed=None,
            metrics={"rows": tally.good, "bad": tally.bad, "left_over": tally.left_over},
            rows=_noted(ids),
        )
    return artifact.id


def _noted(ids: Path) -> Iterator[tuple[str, str]]:
    """(id, sha256) of each imported row, one by one."""
    with ids.open(encoding="utf-8") as file:
        for line in file:
            row_id, sha = json.loads(line)
            yield row_id, sha


@data.command()
def validate(
    context: typer.Context,
    source: Source,
    format_name: Format = None,
    columns: Columns = None,
    pairs: Pairs = "best-worst",
    model: Model = None,
    max_bad: MaxBad = "0",
    as_json: Json = False,
) -> None:
    """Check every row; list each bad one with its line and reason. Exit code 2 if there are more than --max-bad.

    Example: truing data validate comparisons.jsonl
    """
    allowed = allowance(max_bad)
    good = bad = left_over = 0
    problems: list[dict[str, object]] = []
    for item in read(context, source, format_name, columns, pairs, model, quiet=as_json):
        if isinstance(item, BadRow):
            bad += not item.left_over
            left_over += item.left_over
            if as_json:
                over = {"left_over": True} if item.left_over else {}
                problems.append({"line": item.line, "reason": item.reason, **over})
            else:
                typer.echo(named(item), err=True)
        else:
            good += 1
    if as_json:
        typer.echo(json.dumps({"file": source, "good": good, "bad": problems}))
    else:
        rest = f", {left_over} left over" if left_over else ""
        typer.echo(f"{source}: {counted(good, 'good row')}, {bad} bad{rest}")
    if not allowed(bad, good + bad):
        raise typer.Exit(2)


@data.command()
def stats(
    context: typer.Context,
    source: Source,
    format_name: Format = None,
    columns: Columns = None,
    pairs: Pairs = "best-worst",
    max_bad: MaxBad = "0",
    as_json: Json = False,
) -> None:
    """Describe comparisons: groups, turns, lengths, and whether "chosen" is merely "longer".

    Example: truing data stats comparisons.jsonl
    """
    from truing.data.statistics import describe

    items = read(context, source, format_name, columns, pairs, None, quiet=as_json)
    tally = Tally()
    statistics = describe(sort_out(items, source, max_bad, tally, "described"))
    aside = {"bad": tally.bad, "left_over": tally.left_over}
    if as_json:
        typer.echo(json.dumps({**statistics.model_dump(), **aside}))
        return
    table = Table("what", "value", title=escape(source))
    for key, value in [*statistics.model_dump().items(), *((key, value) for key, value in aside.items() if value)]:
        shown = ", ".join(f"{group} {count}" for group, count in value.items()) if isinstance(value, dict) else value
        shown = "not defined" if shown is None else f"{shown:.3f}" if isinstance(shown, float) else str(shown)
        table.add_row(key.replace("_", " "), escape(shown))
    Console().print(table)


@data.command()
def export(
    context: typer.Context,
    source: Source,
    target: Annotated[
        Path, typer.Argument(help="The file to write: .jsonl, .json, .csv, .tsv or .parquet, and .gz behind it.")
    ],
    to: Annotated[str, typer.Option("--to", help="native, trl, hh or unpaired.")] = "trl",
    format_name: Format = None,
    columns: Columns = None,
    pairs: Pairs = "best-worst",
    max_bad: MaxBad = "0",
    as_json: Json = False,
) -> None:
    """Write comparisons in another format. An existing file is not overwritten.

    What the format has no place for is counted. A row that it would change (a tie, say) counts as a bad row.

    Example: truing data export comparisons.jsonl trl.jsonl --to trl
    """
    from truing.data import files
    from truing.data.formats import FORMATS, WRITABLE

    if to not in WRITABLE:
        raise InputError(f"--to {to}: not a known format; use one of {', '.join(WRITABLE)}")
    files.check_target(target)
    if files.ending(target) in ("csv", "tsv") and to != "native":
        raise InputError(f"{target}: cells hold the native form only; add --to native, or write .jsonl")
    items = read(context, source, format_name, columns, pairs, None, quiet=as_json)
    tally, lost = Tally(), Counter[str]()
    with bad_file(source, target.absolute().parent) as kept, files.writing(target) as writer:
        written = _written(items, FORMATS[to], writer, lost, Path(source))
        for _ in sort_out(written, source, max_bad, tally, "written", kept, listed=not as_json):
            pass
    if as_json:
        counts = {"file": str(target), "rows": tally.good, "not_carried": dict(lost)}
        typer.echo(json.dumps({**counts, **tally.as_json(kept.path)}))
        return
    tally.say(kept.path)
    typer.echo(f"wrote {counted(tally.good, 'comparison')} to {target}")
    if lost:
        keys = ", ".join(f"{key} ({counted(rows, 'row')})" for key, rows in lost.items())
        typer.echo(f"{to} has no place for: {keys}")


def _written(
    items: Iterator[Comparison | BadRow], form: "Form", writer: "Writer", lost: Counter[str], source: Path
) -> Iterator[Comparison | BadRow]:
    """Write the good rows as they pass. One that the form or the file cannot hold passes on as a bad row."""
    from truing.data import native

    for number, item in enumerate(items, start=1):
        if isinstance(item, BadRow) or form.write is None:
            yield item
            continue
        try:
            for row in form.write(item):
                writer.write(row)
        except RowError as error:
            raw = native.line(item).encode()
            yield BadRow(number, f"{item.id}: {error}", unit="row", file=source, raw=raw)
            continue
        lost.update(key for key in native.write(item)[0] if key not in form.carries)
        yield item


data.command()(duplicates)
data.command()(fetch)
