"""A tiny chat model in a folder, made once, and recipes of scripted verbs in a fresh ledger."""

from pathlib import Path

import pytest

from tests.loops.scripted import Runs
from tests.loops.tiny import save_tiny_chat_model


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_chat_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    return Runs(tmp_path)
