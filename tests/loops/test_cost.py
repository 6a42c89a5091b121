"""What a step takes: memory that came and went is seen, and a step that went on tells no half of its time."""

import time
from collections.abc import Generator
from pathlib import Path

import pytest

from tests.loops.scripted import Runs, Settings, Write
from truing.core.errors import RunError
from truing.core.records import Record
from truing.loops.cost import Meter
from truing.loops.recipe import Step, StepResult


def test_memory_that_was_held_meanwhile_is_seen_and_memory_of_before_is_not_added() -> None:
    with Meter() as idle:
        pass
    with Meter() as meter:
        block = bytearray(b"x") * (200 << 20)
        time.sleep(0.3)
        del block
    assert 150 < meter.cost().peak_mb - idle.cost().peak_mb < 400
    assert meter.cost().seconds >= 0.3


def test_a_step_that_went_on_has_no_known_cost(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    killed, write = [True], Write.run

    def run(self: Write, step: Step, config: Settings) -> Generator[Record, None, StepResult]:
        step.context.ledger.workspace(step.key)  # as a trainer keeps its checkpoints
        if killed:
            raise RunError("killed")
        return (yield from write(self, step, config))

    monkeypatch.setattr(Write, "run", run)
    with pytest.raises(RunError):
        runs({"halved": {"verb": "make", "text": "b"}})
    killed.clear()
    _, done = runs({"halved": {"verb": "make", "text": "b"}, "whole": {"verb": "make", "text": "a"}})
    cost = runs.ledger.cost(done["whole"])
    assert cost is not None
    assert cost.peak_mb > 0
    assert runs.ledger.cost(done["halved"]) is None


def test_circumstances_written_before_costs_were_are_read_as_they_are(runs: Runs) -> None:
    from truing.ledger import folders
    from truing.ledger.integrity import verify

    _, done = runs({"a": {"verb": "make", "text": "a"}})
    folder: Path = runs.ledger.folder(done["a"])
    made = folders.read_made(folder)
    folders.write_made(folder, made.model_copy(update={"cost": None}))
    assert b"cost" not in (folder / folders.MADE).read_bytes()
    assert runs.ledger.cost(done["a"]) is None
    assert verify(runs.ledger) == []
