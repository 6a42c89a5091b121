"""The command line: `truing VERB`. Verbs are thin and import what is heavy only when they run."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import click
import typer

from truing.cli import chat, compare, data, demo, diff, ls, run, show, trace, train, verify
from truing.core.errors import TruingError

app = typer.Typer(
    name="truing",
    help="Align a language model with what people want of it, show that it did, and keep it there.",
    epilog="Start with: truing demo --quick",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@dataclass(frozen=True)
class Settings:
    """What every verb may ask of the command line: where the ledger is, and whether to show tracebacks."""

    ledger: Path
    debug: bool


@app.callback()
def settings(
    context: typer.Context,
    ledger: Annotated[Path, typer.Option(envvar="TRUING_LEDGER", help="The ledger's folder.")] = Path(".truing"),
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Align a language model with what people want of it, show that it did, and keep it there."""
    context.obj = Settings(ledger, debug)
