"""`truing data fetch`: public sets from their homes, pinned and checked."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from truing.cli.progress import Display, counted
from truing.cli.run import Json
from truing.core.errors import InputError

if TYPE_CHECKING:
    from truing.data.sets import PublicSet


def fetch(
    names: Annotated[str, typer.Argument(metavar="NAME[,NAME]", help="Sets, or `all`; `list` lists them.")],
    data_dir: Annotated[
        Path | None,
        typer.Option(
            "--data-dir", envvar="TRUING_BENCHMARKS", help="The folder of public sets; made if there is none."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Fetch public sets from their homes for `truing eval --task`: each file of one commit, and of a known content.

    What is there already is not fetched again; a download that was cut goes on where it was.

    Example: truing data fetch truthfulqa,xstest --data-dir benchmarks
    """
    from truing.data.sets import SETS

    if names == "list":
        _list(as_json)
        return
    wanted = list(SETS) if names == "all" else [name.strip() for name in names.split(",")]
    for name in wanted:
        if name not in SETS:
            raise InputError(_not_pinned(name))
    if data_dir is None:
        raise InputError("name the folder of public sets with --data-dir")
    with Display(Console(stderr=True), as_json) as display:
        for name in wanted:
            _follow(name, SETS[name], data_dir, display)
    found = {name: SETS[name] for name in wanted}
    if as_json:
        typer.echo(json.dumps({"data_dir": str(data_dir), "sets": {name: _plain(one) for name, one in found.items()}}))
        return
    for name, one in found.items():
        typer.echo(f"{name}: {counted(len(one.files), 'file')} of {one.home} ({one.licence}) in {data_dir}")


def _follow(name: str, one: "PublicSet", folder: Path, display: Display) -> None:
    from truing.data.fetch import fetch as fetched

    stage = ""
    for progress in fetched(one, folder):
        if progress.stage != stage:
            stage = progress.stage
            display.stage(f"{name}: {stage}", progress.total)
        display.advance(progress.done, progress.total, "bytes")
    display.end_stage()


def _not_pinned(name: str) -> str:
    from truing.data.sets import SETS
    from truing.evals.tasks.table import TASKS

    if name not in TASKS:
        return f"there is no set {name!r}; the sets are {', '.join(SETS)}, or all"
    files = ", ".join(str(path) for path in TASKS[name].files(Path("DIR")))
    return f"{name} has no pinned home: put {files} there by hand (from {TASKS[name].home})"


def _plain(one: "PublicSet") -> dict[str, object]:
    files = {file.name: f"sha256:{file.sha256}" if file.sha256 else f"git:{file.blob}" for file in one.files}
    return {"home": one.home, "licence": one.licence, "files": files}


def _list(as_json: bool) -> None:
    from truing.data.sets import SETS

    if as_json:
        typer.echo(json.dumps({name: _plain(one) for name, one in SETS.items()}))
        return
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for heading in ("set", "files", "licence", "from"):
        table.add_column(heading, no_wrap=heading == "set")
    for name, one in SETS.items():
        table.add_row(name, str(len(one.files)), one.licence, f"github.com/{one.repository} @ {one.revision[:12]}")
    Console().print(table)
