"""The command line: `truing VERB`. Verbs are thin and import what is heavy only when they run."""

import signal
import sys
import traceback
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

import truing
from truing.cli.ablate import ablate
from truing.cli.chat import chat
from truing.cli.compare import compare
from truing.cli.data import data
from truing.cli.demo import demo
from truing.cli.diff import diff
from truing.cli.evaluate import evaluate
from truing.cli.gate import gate
from truing.cli.gc import gc
from truing.cli.judge import judge
from truing.cli.latency import latency
from truing.cli.ls import ls
from truing.cli.reward import reward
from truing.cli.run import run
from truing.cli.sample import sample
from truing.cli.scorecard import scorecard
from truing.cli.show import show
from truing.cli.trace import trace
from truing.cli.train import train
from truing.cli.vary import vary
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


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"truing {truing.__version__}")
        raise typer.Exit


@app.callback()
def settings(
    context: typer.Context,
    ledger: Annotated[Path, typer.Option(envvar="TRUING_LEDGER", help="The ledger's folder.")] = Path(".truing"),
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,  # noqa: ARG001
    version: Annotated[  # noqa: ARG001
        bool, typer.Option("--version", is_eager=True, callback=_version, help="Show truing's version.")
    ] = False,
) -> None:
    """Align a language model with what people want of it, show that it did, and keep it there."""
    context.obj = Settings(ledger)


app.command()(demo)
app.command()(run)
app.add_typer(data)
app.add_typer(train)
app.add_typer(reward)
app.command("eval")(evaluate)
app.command()(compare)
app.command()(vary)
app.command()(ablate)
app.command()(gate)
app.command()(scorecard)
app.add_typer(judge)
app.command()(latency)
app.command()(chat)
app.command()(sample)
app.command()(ls)
app.command()(show)
app.command()(trace)
app.command()(diff)
app.command()(verify)
app.command()(gc)


class _StoppedError(BaseException):
    """A signal asked to stop. No KeyboardInterrupt: Typer would end the program at once, without a word."""


def _stop(number: int, _frame: object) -> None:
    raise _StoppedError(128 + number)


def main() -> None:
    """Run the command line. An error is one sentence on standard error; `--debug` shows where it came from."""
    handled = [one for one in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(one) is not signal.SIG_IGN]
    before = {number: signal.signal(number, _stop) for number in handled}
    # transformers renames an attribute that peft still reads: nothing that a user could act on.
    warnings.filterwarnings("ignore", ".is_gradient_checkpointing. is deprecated", FutureWarning)
    try:
        app(prog_name="truing")
    except TruingError as error:
        _fail(str(error), error.exit_code)
    except _StoppedError as stopped:
        kept = "what was finished is kept, and the same command goes on from there"
        _fail(f"stopped; {kept} (`eval` of a deployed model: with --resume)", stopped.args[0])
    except Exception as error:
        what = f"{type(error).__name__}: {error}"
        _fail(f"{what}. This is a defect of truing; `truing --debug …` shows where it happened", 3)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _fail(sentence: str, exit_code: int) -> None:
    if "--debug" in sys.argv:
        traceback.print_exc()
    print(f"truing: {sentence}", file=sys.stderr)
    sys.exit(exit_code)
