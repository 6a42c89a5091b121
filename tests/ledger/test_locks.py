"""Locks between real processes: one alone, others wait or are told who; a killed holder holds nothing."""

import contextlib
import multiprocessing
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from truing.ledger import locks

SPAWN = multiprocessing.get_context("spawn")


def _count(path: Path, start: Any) -> None:
    """Add one to a number in a file, a hundred times: without the lock, some are lost."""
    start.wait()
    for _ in range(100):
        with locks.alone(path.with_name("lock"), remove=True):
            path.write_text(str(int(path.read_text()) + 1))


def _hold(path: Path, held: Any) -> None:
    with locks.alone(path):
        held.set()
        signal.pause()


def test_one_at_a_time_even_though_the_file_is_removed_each_time(tmp_path: Path) -> None:
    (tmp_path / "number").write_text("0")
    start = SPAWN.Barrier(3)
    workers = [SPAWN.Process(target=_count, args=(tmp_path / "number", start)) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    assert (tmp_path / "number").read_text() == "300"
    assert not (tmp_path / "lock").exists()


def test_a_holder_is_named_and_holds_nothing_once_killed(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    held = SPAWN.Event()
    process = SPAWN.Process(target=_hold, args=(path, held))
    process.start()
    assert held.wait(60)
    assert f"process {process.pid} on " in (locks.holder(path) or "")
    with pytest.raises(BlockingIOError), locks.alone(path, wait=False):
        pass
    process.kill()
    process.join(60)
    assert locks.holder(path) is None
    with locks.alone(path, wait=False):
        assert path.read_text().startswith(f"process {os.getpid()} on ")


def test_shared_goes_with_shared_and_not_with_alone(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with locks.shared(path), locks.shared(path):
        with pytest.raises(BlockingIOError), locks.alone(path, wait=False):
            pass
        assert locks.holder(path) is None
    with locks.alone(path, wait=False):
        pass
    assert locks.holder(tmp_path / "absent") is None


def test_an_error_while_it_is_held_releases_it(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with contextlib.suppress(ZeroDivisionError), locks.alone(path, remove=True):
        raise ZeroDivisionError
    assert not path.exists()
    with locks.alone(path, wait=False):
        pass
