"""The fault suite finds nothing in the ledger as it is, and finds each precaution that is taken away."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="the model of a power cut reads /proc")


def suite(*words: str) -> subprocess.CompletedProcess[str]:
    """In a process of its own: it forks, and the tests' process has threads."""
    script = str(REPOSITORY / "scripts" / "fault_table.py")
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    return subprocess.run(
        [sys.executable, script, *words], env=environment, capture_output=True, text=True, check=False, timeout=300
    )


def test_a_sample_of_points_loses_nothing() -> None:
    done = suite("--every", "97")
    assert (done.returncode, done.stderr) == (0, "")
    last = done.stdout.splitlines()[-1]
    assert last.startswith("| all |")
    points, tried, survived, lost = (int(cell) for cell in last.strip("| ").split("|")[2:])
    assert points > 500
    assert tried == survived > 50
    assert lost == 0


@pytest.mark.parametrize(("without", "every"), [("flush", "31"), ("flush of folders", "31"), ("rename", "31")])
def test_without_a_precaution_something_is_lost(without: str, every: str) -> None:
    done = suite("--every", every, "--only", "a recipe in a new ledger", "--without", without)
    assert done.returncode == 1
    assert "acknowledged" in done.stdout or "verify" in done.stdout or "Damaged" in done.stdout
