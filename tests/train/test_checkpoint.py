"""Stopped anywhere, a run ends with the bits of one that was never stopped; what is no checkpoint of its is refused."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, safe_open, save_file

from tests.conftest import REPOSITORY
from tests.train.test_training import DPO, PAIRS, ROWS, SFT, steps_of, train, trunk, weights
from truing.core.errors import InputError
from truing.core.protocols import MemoryStore
from truing.core.records import Progress
from truing.train import checkpoint as checkpoints
from truing.train.preference import PreferenceConfig, train_preference
from truing.train.records import TrainStart, TrainStep
from truing.train.rows import identity
from truing.train.sft import SFTConfig, train_sft

BOTH = pytest.mark.parametrize("config", [SFT, DPO], ids=["sft", "dpo"])
STEPS = 6
Run = SFTConfig | PreferenceConfig


class Killed(BaseException):
    """Stands for the end of the process."""


def whole_run(config: Run, path: Path) -> tuple[list[torch.Tensor], dict[str, torch.Tensor], list[TrainStep]]:
    """Weights, last checkpoint and curve of a run that nothing interrupts."""
    on = trunk()
    records = steps_of(train(on, config, checkpoint=path))
    return weights(on), load_file(path), records


def same(one: dict[str, torch.Tensor], two: dict[str, torch.Tensor]) -> bool:
    return one.keys() == two.keys() and all(torch.equal(one[key], two[key]) for key in one)


def plain(records: list[TrainStep]) -> list[dict[str, Any]]:
    return [{**record.model_dump(), "tokens_per_second": None} for record in records]


@BOTH
def test_stopped_after_any_record_it_ends_with_the_same_weights_optimiser_and_curve(
    config: Run, tmp_path: Path
) -> None:
    expected, state, curve = whole_run(config, tmp_path / "whole.safetensors")
    stops = sum(1 for _ in train(trunk(), config))
    for stop in range(1, stops + 1):
        path, store = tmp_path / f"{stop}.safetensors", MemoryStore()
        items = train(trunk(), config, checkpoint=path, store=store)
        seen = [next(items) for _ in range(stop)]
        items.close()  # type: ignore[attr-defined]
        resumed = trunk()
        rest = list(train(resumed, config, checkpoint=path, store=store))
        (start,) = (item for item in rest if isinstance(item, TrainStart))
        taken = len(steps_of(iter(seen)))
        assert start.done == max(0, (taken - 1) // config.checkpoint_every * config.checkpoint_every)
        assert all(torch.equal(one, two) for one, two in zip(expected, weights(resumed), strict=True))
        assert same(state, load_file(path))
        by_step = {record.step: record for record in steps_of(iter([*seen, *rest]))}
        assert plain([by_step[step] for step in sorted(by_step)]) == plain(curve)


def broken_writes() -> Iterator[tuple[str, Any]]:
    """Each call of a checkpoint's write, ended before it, or in its midst."""

    def torn(tensors: Any, path: Path, metadata: Any) -> None:
        save_file(tensors, path, metadata=metadata)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        raise Killed

    def killed(*_: Any) -> None:
        raise Killed

    yield "save_file", torn
    yield "os.fsync", killed
    yield "Path.replace", killed
    yield "sync_folder", killed


@BOTH
@pytest.mark.parametrize(("call", "broken"), list(broken_writes()), ids=[name for name, _ in broken_writes()])
def test_a_write_that_ends_midway_leaves_the_old_checkpoint_or_the_new_one(
    config: Run, call: str, broken: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "run.safetensors"
    expected, state, _ = whole_run(config, tmp_path / "whole.safetensors")
    items = train(trunk(), config, checkpoint=path)
    while len(steps_of(iter([next(items)]))) == 0 or not path.exists():
        pass  # until the first checkpoint is there
    with monkeypatch.context() as patch:
        patch.setattr(f"truing.train.checkpoint.{call}", broken)
        with pytest.raises(Killed):
            list(items)
    resumed = trunk()
    rest = list(train(resumed, config, checkpoint=path))
    (start,) = (item for item in rest if isinstance(item, TrainStart))
    assert start.done == (4 if call == "sync_folder" else 2)
    assert all(torch.equal(one, two) for one, two in zip(expected, weights(resumed), strict=True))
    assert same(state, load_file(path))


def test_the_file_is_on_the_disk_before_it_gets_its_name_and_the_name_before_the_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, calls = tmp_path / "run.safetensors", []
    fsync, replace, sync_folder = os.fsync, Path.replace, checkpoints.sync_folder

    def noted(name: str, call: Any) -> Any:
        def wrapped(*arguments: Any) -> Any:
            calls.append((name, path.exists()))
            return call(*arguments)

        return wrapped

    monkeypatch.setattr("truing.train.checkpoint.os.fsync", noted("file", fsync))
    monkeypatch.setattr(Path, "replace", noted("rename", replace))
    monkeypatch.setattr("truing.train.checkpoint.sync_folder", noted("folder", sync_folder))
    next(item for item in train(trunk(), SFT, checkpoint=path) if isinstance(item, TrainStep) and item.step == 3)
    assert calls[:3] == [("file", False), ("rename", False), ("folder", True)]


def test_killed_at_source_lines_by_sigkill_every_trainer_leaves_the_same_artifact(tmp_path: Path) -> None:
    """At every tenth line of trainers, checkpoint, verb and store; with 1 instead of 10, killing.py takes each line."""
    command = [sys.executable, "-W", "ignore", "-m", "tests.train.killing", str(tmp_path), "10"]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False)
    found = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert [(one["trainer"], one["wrong"]) for one in found] == [
        ("sft", []),
        ("preference", []),
        ("unpaired", []),
    ], done.stderr
    assert all(one["trials"] >= 15 for one in found)


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """The last checkpoint of an SFT run."""
    path = tmp_path / "run.safetensors"
    list(train(trunk(), SFT, checkpoint=path))
    return path


def rewritten(path: Path, change_facts: Any = None, change_tensors: Any = None) -> None:
    """Save a checkpoint again with something changed, as valid safetensors."""
    with safe_open(path, framework="pt") as file:
        facts = dict(file.metadata())
    tensors = load_file(path)
    (change_facts or (lambda _: None))(facts)
    (change_tensors or (lambda _: None))(tensors)
    save_file(tensors, path, metadata=facts)


def test_a_damaged_checkpoint_is_named_wherever_the_damage_is(kept: Path) -> None:
    content = kept.read_bytes()
    first = sorted(load_file(kept))[0]
    damages = [
        lambda: kept.write_bytes(content[:100]),
        lambda: kept.write_bytes(b""),
        lambda: kept.write_bytes(content[:-8] + bytes([content[-8] ^ 1]) + content[-7:]),  # one bit of one number
        lambda: rewritten(kept, lambda facts: facts.update(step="5")),
        lambda: rewritten(kept, lambda facts: facts.update(identity="0" * 64)),
        lambda: rewritten(kept, None, lambda tensors: tensors.pop(first)),
    ]
    for damage in damages:
        kept.write_bytes(content)
        damage()
        with pytest.raises(InputError, match=r"run\.safetensors: the checkpoint is damaged .*move it away"):
            list(train(trunk(), SFT, checkpoint=kept))


def test_a_file_that_is_no_checkpoint_is_named(kept: Path) -> None:
    save_file({"weight": torch.zeros(2)}, kept)
    with pytest.raises(InputError, match="no checkpoint of truing"):
        list(train(trunk(), SFT, checkpoint=kept))


def test_a_checkpoint_of_other_inputs_is_refused_before_any_pass(kept: Path) -> None:
    others = [
        train(trunk(), SFT, checkpoint=kept, seed=1),
        train(trunk(), SFT.model_copy(update={"epochs": 3}), checkpoint=kept),
        train(trunk(), SFT, checkpoint=kept, twins=[row // 2 for row in range(len(ROWS))]),
        train_sft(trunk(), ROWS[:-1], SFT, checkpoint=kept),
        train(trunk(), DPO, checkpoint=kept),
    ]
    for other in others:
        with pytest.raises(InputError, match=r"run\.safetensors: .* a run with other inputs .*move it away"):
            next(other)  # type: ignore[call-overload]
    same_run = train(trunk(), SFT.model_copy(update={"checkpoint_every": 3}), checkpoint=kept)
    assert isinstance(start := next(same_run), TrainStart)  # type: ignore[call-overload]
    assert start.done == STEPS


def test_twins_count_by_who_stands_together_and_not_by_their_marks() -> None:
    def of(*marks: Any) -> str:
        return identity("sft", trunk(), ROWS[:3], marks, SFT, 0)

    assert of("a", "a", "b") == of(7, 7, 9) != of("a", "b", "b")


def test_a_checkpoint_is_due_after_a_time_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "run.safetensors"
    slow = SFT.model_copy(update={"checkpoint_every": 100})
    list(train(trunk(), slow, checkpoint=path))
    assert not path.exists()
    monkeypatch.setattr("truing.train.checkpoint.SECONDS", 0.0)
    list(train(trunk(), slow, checkpoint=path))
    with safe_open(path, framework="pt") as file:
        assert file.metadata()["step"] == str(STEPS)


def test_a_run_that_goes_on_under_another_arithmetic_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, starts = tmp_path / "run.safetensors", []
    for line in ("one thread", "two threads", "two threads"):
        monkeypatch.setattr("truing.train.checkpoint.arithmetic", lambda line=line: line)
        items = train(trunk(), SFT, checkpoint=path)
        starts.append(next(items))  # type: ignore[call-overload]
        next(item for item in items if isinstance(item, TrainStep) and item.step >= min(starts[-1].done + 3, STEPS))
        items.close()  # type: ignore[attr-defined]
    assert [start.computed for start in starts] == [
        ("one thread",),
        ("one thread", "two threads"),
        ("one thread", "two threads"),
    ]


def test_preference_starts_from_the_first_weights_again_after_a_kill_in_the_reference_pass(tmp_path: Path) -> None:
    """The reference is what training starts from, never what a checkpoint holds: no store, so it is computed again."""
    expected, _, _ = whole_run(DPO, tmp_path / "whole.safetensors")
    path = tmp_path / "run.safetensors"
    items = train_preference(trunk(), PAIRS, DPO, checkpoint=path)
    next(item for item in items if isinstance(item, TrainStep) and item.step == 3)
    for _ in range(2):
        again = train_preference(trunk(), PAIRS, DPO, checkpoint=path)
        next(item for item in again if isinstance(item, Progress) and item.stage == "reference")
    resumed = trunk()
    list(train_preference(resumed, PAIRS, DPO, checkpoint=path))
    assert all(torch.equal(one, two) for one, two in zip(expected, weights(resumed), strict=True))
