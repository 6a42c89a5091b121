"""The command line as a user runs it, in a folder of its own, and a tiny chat model to run it on."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.loops.tiny import save_tiny_chat_model
from truing.cli.app import main

Truing = Callable[..., tuple[int, str, str]]


@pytest.fixture
def truing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Truing:
    """Runs `truing WORDS…` in an empty folder; returns the exit code, standard output and standard error."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    for name in ("TRUING_LEDGER", "TRUING_BENCHMARKS"):
        monkeypatch.delenv(name, raising=False)

    def run(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["truing", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return ended.value.code, out, err

    return run


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_chat_model(tmp_path_factory.mktemp("models") / "tiny")
