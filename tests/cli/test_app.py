"""The command line as a whole: errors are one sentence with the right code, signals are obeyed, help is light."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import typer

import truing as package
from tests.cli.conftest import Truing
from tests.conftest import REPOSITORY
from truing.cli import app as module
from truing.core.errors import InputError, RunError

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
# The command line with one more verb, which says that it runs and then waits to be stopped.
WAITING = """
import time
from truing.cli import app

@app.app.command()
def wait() -> None:
    try:
        print("waiting", flush=True)
        time.sleep(60)
    finally:
        print("tidied up", flush=True)

app.main()
"""


def test_version(truing: Truing) -> None:
    assert truing("--version") == (0, f"truing {package.__version__}\n", "")


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["run", "--help"]])
def test_help_and_version_import_nothing_heavy(words: list[str]) -> None:
    program = (
        f"import sys; from truing.cli.app import app; app({words}, standalone_mode=False)\n"
        "heavy = {'torch', 'transformers', 'peft', 'scipy', 'matplotlib', 'sqlalchemy'} & set(sys.modules)\n"
        "sys.exit(', '.join(heavy) or 0)"
    )
    command = [sys.executable, "-W", "error", "-c", program]
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["Ctrl-C", "SIGTERM"])
def test_a_signal_ends_with_a_sentence_and_its_code_after_tidying_up(number: signal.Signals, code: int) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", WAITING, "wait"],
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # a shell may have it ignored
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "waiting\n"
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (code, "tidied up\n")
    kept = "what was finished is kept, and the same command goes on from there"
    assert err == f"truing: stopped; {kept} (`eval` of a deployed model: with --resume)\n"


def test_the_handlers_of_signals_are_those_from_before_afterwards(truing: Truing) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    truing("--version")
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


@pytest.mark.parametrize("words", [["rnu"], ["run"], ["run", "a", "b"], ["ls", "--kin", "x"]])
def test_a_command_line_that_cannot_be_read_is_answered_with_the_usage(truing: Truing, words: list[str]) -> None:
    code, out, err = truing(*words)
    assert (code, out) == (2, "")
    assert "Usage: truing" in err
    assert "Traceback" not in err


ERRORS = {
    InputError("the file is wrong; mend it"): (2, "truing: the file is wrong; mend it\n"),
    RunError("it broke midway"): (3, "truing: it broke midway\n"),
    ZeroDivisionError("by 0"): (
        3,
        "truing: ZeroDivisionError: by 0. This is a defect of truing; `truing --debug …` shows where it happened\n",
    ),
}


@pytest.fixture(params=ERRORS, ids=lambda error: type(error).__name__)
def failing(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Exception:
    """A command line with a verb that fails so."""
    error: Exception = request.param
    application = typer.Typer()

    @application.callback()
    def settings(debug: bool = False) -> None:
        pass

    @application.command()
    def fail() -> None:
        raise error

    monkeypatch.setattr(module, "app", application)
    return error


def test_an_error_is_one_sentence_without_a_traceback(truing: Truing, failing: Exception) -> None:
    assert truing("fail") == (ERRORS[failing][0], "", ERRORS[failing][1])


def test_debug_shows_where_it_came_from_and_the_same_sentence_and_code(truing: Truing, failing: Exception) -> None:
    code, out, err = truing("--debug", "fail")
    assert (code, out) == (ERRORS[failing][0], "")
    assert "Traceback (most recent call last)" in err
    assert "in fail\n" in err
    assert err.endswith(ERRORS[failing][1])


def test_a_ledger_that_cannot_be_made_is_said(truing: Truing, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    (tmp_path / "rows.jsonl").write_text('{"prompt": "?", "chosen": "yes", "rejected": "no"}\n')
    code, _, err = truing("--ledger", "file/ledger", "data", "import", "rows.jsonl")
    assert code == 2
    assert err.startswith("truing: file/ledger: the ledger cannot be made here")
