"""The command line: `truing VERB`. Verbs are thin and import what is heavy only when they run."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from truing.cli.chat import chat
from truing.cli.compare import compare, gate
from truing.cli.data import data
from truing.cli.demo import demo
from truing.cli.diff import diff
from truing.cli.evaluate import evaluate
from truing.cli.ls import ls
from truing.cli.run import run
from truing.cli.show import show
from truing.cli.trace import trace
from truing.cli.train import train
from truing.cli.verify import verify
from truing.core.errors import TruingError

app = typer.Typer(
    name="truing",
    epilog="Start with: truing demo --quick",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@dataclass(frozen=True)
class Settings:
    """What every verb may ask of the command line: where the ledger is."""

    ledger: Path


@app.callback()
def settings(
    context: typer.Context,
    ledger: Annotated[Path, typer.Option(envvar="TRUING_LEDGER", help="The ledger's folder.")] = Path(".truing"),
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,  # noqa: ARG001
) -> None:
    """Align a language model with what people want of it, show that it did, and keep it there."""
    context.obj = Settings(ledger)


for verb in (demo, run):
    app.command()(verb)
app.add_typer(data)
app.add_typer(train)
app.command("eval")(evaluate)
for verb in (compare, gate, chat, ls, show, trace, diff, verify):
    app.command()(verb)


def main() -> None:
    """Run the command line. An error is one sentence on standard error; `--debug` shows where it came from."""
    try:
        app()
    except TruingError as error:
        _fail(str(error), error.exit_code)
    except KeyboardInterrupt:
        _fail("stopped; what was finished is kept, and the same command goes on from there", 130)
    except Exception as error:
        _fail(f"{type(error).__name__}: {error}. This is a defect of truing; run again with --debug for the details", 3)


def _fail(sentence: str, exit_code: int) -> None:
    if "--debug" in sys.argv:
        raise  # noqa: PLE0704 (called while an exception is being handled)
    print(f"truing: {sentence}", file=sys.stderr)
    sys.exit(exit_code)
