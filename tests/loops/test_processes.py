"""Several real processes run recipes in one ledger: no step runs twice, nothing is lost, a kill lets the next go on."""

import multiprocessing
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.loops.scripted import Write, verbs
from truing.ledger.integrity import verify
from truing.ledger.ledger import Ledger
from truing.loops.context import Context
from truing.loops.events import StepDone, StepWaiting
from truing.loops.recipe import parse_recipe, run_recipe

SPAWN = multiprocessing.get_context("spawn")


class Slow(Write):
    """Leaves a line each time that it runs, and takes its time; `hang` never ends."""

    def __init__(self, log: Path, hang: bool) -> None:
        super().__init__("make", "thing", {"of": "thing"})
        self.log, self.hang = log, hang

    def run(self, step: Any, config: Any) -> Any:
        with self.log.open("a") as file:
            file.write(f"{step.name} {os.getpid()}\n")
        (step.context.ledger.workspace(step.key) / "checkpoint").write_text("half")
        time.sleep(600 if self.hang else 0.2)
        return (yield from super().run(step, config))


def _run(root: Path, steps: dict[str, Any], hang: bool, told: Any, start: Any) -> None:
    table = {**verbs(), "make": Slow(root.parent / "log", hang)}
    recipe = parse_recipe(steps, "recipe", table, lambda name: Ledger.open(root).get(name))
    start.wait()
    for record in run_recipe(recipe, table, Context(root, recipe.model)):
        if isinstance(record, StepDone):
            told.put((os.getpid(), record.step, record.artifact.id, record.reused))
        if isinstance(record, StepWaiting):
            told.put((os.getpid(), record.step, record.holder, None))


@pytest.fixture
def root() -> Iterator[Path]:
    fast = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=fast) as folder:
        yield Path(folder) / ".truing"


def start_all(root: Path, recipes: list[dict[str, Any]], hang: bool = False) -> tuple[list[Any], Any, Any]:
    told, start = SPAWN.SimpleQueue(), SPAWN.Barrier(len(recipes))
    workers = [SPAWN.Process(target=_run, args=(root, steps, hang, told, start)) for steps in recipes]
    for worker in workers:
        worker.start()
    # All of it: a barrier that is collected here is gone before the others open it.
    return workers, told, start


def heard(workers: list[Any], told: Any) -> list[Any]:
    for worker in workers:
        worker.join(120)
    assert [worker.exitcode for worker in workers] == [0] * len(workers)
    found = []
    while not told.empty():
        found.append(told.get())
    return found


def chain(last: str) -> dict[str, Any]:
    return {
        "a": {"verb": "make", "text": "shared"},
        "b": {"verb": "make", "text": "shared too", "of": "a"},
        last: {"verb": "make", "text": last, "of": "b"},
    }


def test_the_same_steps_run_once_whatever_the_processes_and_all_that_differ_are_kept(root: Path) -> None:
    workers, told, _start = start_all(root, [chain("c"), chain("c"), chain("d")])
    records = heard(workers, told)
    ran = [line.split()[0] for line in (root.parent / "log").read_text().splitlines()]
    assert sorted(ran) == ["a", "b", "c", "d"]
    done = [record for record in records if record[3] is not None]
    assert len(done) == 9
    assert [record[3] for record in done].count(False) == 4
    assert all(len({record[2] for record in done if record[1] == step}) == 1 for step in "abcd")
    pids = {str(worker.pid) for worker in workers}
    waited = [record[2] for record in records if record[3] is None]
    assert all(holder == "another process" or holder.split()[1] in pids for holder in waited)
    ledger = Ledger.open(root, create=False)
    assert sorted(artifact.name for artifact in ledger.list()) == ["a", "b", "c", "d"]
    assert verify(ledger) == []
    assert not list((root / "work").iterdir())
    assert not list((root / "staging").iterdir())


def test_who_waits_for_a_step_goes_on_with_it_when_its_process_is_killed(root: Path) -> None:
    (hanging,), *_kept = start_all(root, [chain("c")], hang=True)
    log = root.parent / "log"
    deadline = time.monotonic() + 60
    while not (log.exists() and log.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    workers, told, _start = start_all(root, [chain("c")])
    waiting = told.get()
    assert waiting[1] == "a"
    assert f"process {hanging.pid} on" in waiting[2]
    hanging.kill()
    records = heard(workers, told)
    assert [(record[1], record[3]) for record in records] == [("a", False), ("b", False), ("c", False)]
    assert verify(Ledger.open(root)) == []
