"""`truing scorecard A B …`: helpful, harmless, honest, on the same items, on one page."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.text import Text

from truing.cli.compare import STYLE, bounds, number
from truing.cli.run import Json
from truing.core.errors import InputError

if TYPE_CHECKING:
    from truing.evals.scorecard import Cell, Line, Scorecard


def scorecard(
    context: typer.Context,
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="A B …",
            help="Evaluations (name, id, or its first digits); the others are held against the first. Several "
            "evaluations of one system are joined by +.",
        ),
    ],
    out: Annotated[Path | None, typer.Option(help="Write the card as one self-contained HTML page.")] = None,
    samples: Annotated[int, typer.Option(min=0, help="Sample answers of each figure.")] = 2,
    as_json: Json = False,
) -> None:
    """Show evaluations side by side: helpful, harmless, honest; each figure with its interval and its difference.

    Example: truing scorecard base candidate --out scorecard.html
    """
    from truing.ledger.ledger import Ledger
    from truing.loops.scorecard import read_scorecard

    if out is not None and not out.absolute().parent.is_dir():
        raise InputError(f"--out {out}: there is no folder {out.parent}; make it first")
    card = read_scorecard(Ledger.open(context.obj.ledger, create=False), names, samples)
    if out is not None:
        from truing.report.scorecard_page import render

        out.write_text(render(card), encoding="utf-8")
    if as_json:
        typer.echo(card.model_dump_json())
        return
    print_scorecard(card, Console())
    if out is not None:
        typer.echo(f"page: {out}")


def print_scorecard(card: "Scorecard", console: Console) -> None:
    """A heading for each of the three, and below it each figure with a line for every system."""
    from truing.evals.scorecard import ASPECTS

    labels = [system.label for system in card.systems]
    rows = {line.task: [_cells(line, cell) for cell in line.cells] for line in card.lines}
    widths = [max(len(cells[place]) for mine in rows.values() for cells in mine) for place in range(4)]
    widest = max(map(len, labels))
    first = True
    for aspect in (*ASPECTS, None):
        lines = card.about(aspect)
        if not lines:
            continue
        console.print(Text(("" if first else "\n") + (aspect or "other"), style="bold"))
        first = False
        for line in lines:
            console.print(Text(f"  {line.title} {'↑' if line.better == 'higher' else '↓'}"), soft_wrap=True)
            for label, cells in zip(labels, rows[line.task], strict=True):
                texts = [cell.ljust(width) for cell, width in zip(cells[:4], widths, strict=True)]
                told = Text(f"    {label.ljust(widest)}  " + "  ".join(texts) + "  ")
                told.append(cells[4], style=STYLE.get(cells[4], ""))
                told.rstrip()
                console.print(told, soft_wrap=True)
    if len(labels) > 1:
        console.print(
            f"differences are to {labels[0]}, item by item, of shares in percentage points; verdicts after Holm's "
            "correction over all of them",
            soft_wrap=True,
            highlight=False,
        )


def _cells(line: "Line", cell: "Cell | None") -> tuple[str, str, str, str, str]:
    """n, what is unknown, the value, the difference, the verdict."""
    if cell is None:
        return "", "", "not measured", "", ""
    side, difference = cell.side, cell.difference
    value = f"{number(side.mean, line.unit)} {bounds(side.low, side.high, line.unit)}".rstrip()
    counts = f"n {cell.items}", f"{side.unknown} unknown" if side.unknown else ""
    if difference is None:
        return *counts, value, "", ""
    shown = number(difference.value, line.unit, True)
    between = bounds(difference.low, difference.high, line.unit, True)
    return *counts, value, f"{shown} {between}".rstrip(), difference.verdict
