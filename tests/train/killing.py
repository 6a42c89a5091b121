"""Kills a training step at chosen lines, lets it go on, and compares: python -m tests.train.killing FOLDER STRIDE.

One process is made ready; every trial is forked from it. The tracer counts the lines that run in the trainers, the
checkpoint, the verb and the store, and kills its own process when the count reaches the trial's: between two
micro-batches, between backward pass and optimiser step, before and after each call of a checkpoint's write, during the
lower and the reference pass. Prints one line a trainer: how many trials, and which of them ended otherwise.
"""

import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType, SimpleNamespace
from typing import Any

import torch
from safetensors.torch import load_file

from tests.conftest import tiny_model
from truing.engine.adapters import AdapterConfig
from truing.engine.tree import TokenSequence
from truing.engine.trunk import Trunk
from truing.ledger.store import FileStore
from truing.loops.recipe import Step
from truing.loops.verbs import training
from truing.train.optimise import OptimiserConfig
from truing.train.preference import PreferenceConfig, train_preference
from truing.train.sft import SFTConfig, train_sft
from truing.train.unpaired import UnpairedConfig, train_unpaired

TRACED = ("train/sft.py", "train/preference.py", "train/checkpoint.py", "train/optimise.py", "train/rows.py")
TRACED += ("train/unpaired.py", "train/reference.py", "loops/verbs/training.py", "ledger/store.py")
ROWS = 7
PAIRS = [
    (TokenSequence((1, 2, 10 + n, 20, 30 + n % 3, 40), 4), TokenSequence((1, 2, 10 + n, 20, 50, 51 + n % 2), 4))
    for n in range(ROWS)
]
SETTINGS: dict[str, Any] = {
    "batch_rows": 2,
    "microbatch_tokens": 7,  # two micro-batches a step
    "checkpoint_every": 2,
    "adapter": AdapterConfig(rank=2, alpha=4, upper_layers=1),
    "optimiser": OptimiserConfig(learning_rate=1e-2),
}


def train(trunk: Trunk, trainer: str, folder: Path, start_from: Path) -> None:
    """One step of a recipe, from whatever `folder` holds of an earlier attempt."""
    ledger = SimpleNamespace(store=FileStore(folder / "store"), workspace=lambda _key: folder / "work")
    (folder / "work").mkdir(parents=True, exist_ok=True)
    shutil.rmtree(folder / "out", ignore_errors=True)  # the ledger gives each attempt a fresh one
    (folder / "out").mkdir()
    context: Any = SimpleNamespace(trunk=trunk, ledger=ledger)
    step = Step(trainer, "key", 3, {}, folder / "out", context)
    options: dict[str, Any] = {"seed": 3, "name": training.POLICY, **training.keeping(step)}
    if trainer == "sft":
        records = train_sft(trunk, [chosen for chosen, _ in PAIRS], SFTConfig(epochs=1, **SETTINGS), **options)
    elif trainer == "unpaired":
        answers = [(row, number % 2 == 0) for number, row in enumerate(row for pair in PAIRS for row in pair)]
        config = UnpairedConfig(loss="bco", **SETTINGS)
        records = train_unpaired(trunk, answers, config, start_from=start_from, **options)
    else:
        config = PreferenceConfig(epochs=1, **SETTINGS)
        records = train_preference(trunk, PAIRS, config, start_from=start_from, **options)
    for _ in training._train(step, records, 0):
        pass


def result(folder: Path) -> dict[str, Any]:
    """All that a run leaves: the artifact's files, and weights and optimiser state of its last checkpoint."""
    files = {path.name: path.read_bytes() for path in (folder / "out").iterdir()}
    state = load_file(folder / "work" / "checkpoint.safetensors")
    return {**files, **{key: (value.shape, value.numpy().tobytes()) for key, value in state.items()}}


def forked(work: Callable[[], None]) -> int:
    """Run in a child; returns how it ended, as `os.waitpid` says."""
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException as error:
            print(f"failed: {error!r}", flush=True)
            os._exit(1)
        os._exit(0)
    return os.waitpid(child, 0)[1]


class Tracer:
    """Notes every traced line that runs, and kills the process at the line with number `last`."""

    def __init__(self, last: int | None = None) -> None:
        self.lines: list[tuple[str, int]] = []
        self.last = last

    def __call__(self, frame: FrameType, event: str, _argument: Any) -> Any:
        name = next((name for name in TRACED if frame.f_code.co_filename.endswith(name)), None)
        if name is None:
            return None
        if event == "line":
            if len(self.lines) == self.last:
                os.kill(os.getpid(), signal.SIGKILL)
            self.lines.append((name, frame.f_lineno))
        return self


def points(lines: list[tuple[str, int]], stride: int) -> list[int]:
    """Which lines to kill at: of every `stride`-th distinct one an early or a late occurrence in turn."""
    places: dict[tuple[str, int], list[int]] = {}
    for number, line in enumerate(lines):
        places.setdefault(line, []).append(number)
    return [found[number * 7 % len(found)] for number, found in enumerate(places.values()) if number % stride == 0]


def main(folder: Path, stride: int) -> None:
    """All trials of all trainers."""
    torch.set_num_threads(1)
    trunk = Trunk.of(tiny_model(num_hidden_layers=2), tokenizer=None, name="tiny", sha256="0" * 64)
    for trainer in ("sft", "preference", "unpaired"):
        whole, start_from = folder / trainer, folder / "sft" / "out"
        tracer = Tracer()
        sys.settrace(tracer)
        train(trunk, trainer, whole, start_from)
        sys.settrace(None)
        expected, wrong = result(whole), []
        chosen = points(tracer.lines, stride)
        for point in chosen:
            trial = folder / f"{trainer}-{point}"
            ended = forked(lambda: (sys.settrace(Tracer(point)), train(trunk, trainer, trial, start_from)))  # type: ignore[func-returns-value]  # noqa: B023
            resumed = forked(lambda: train(trunk, trainer, trial, start_from))  # noqa: B023
            where = "{}:{}".format(*tracer.lines[point])
            if not os.WIFSIGNALED(ended) or resumed != 0:
                wrong.append(f"{where}: ended {ended}, resumed {resumed}")
            elif result(trial) != expected:
                wrong.append(f"{where}: another result")
            shutil.rmtree(trial)
        print(json.dumps({"trainer": trainer, "trials": len(chosen), "wrong": wrong}), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
