"""Kills PPO and RLOO at chosen lines, as `killing.py` does: python -m tests.train.killing_policy FOLDER STRIDE.

Between drawing and scoring, in the reference pass, between two micro-batches, between policy and critic, where β
changes, and at every call of a checkpoint's write. Prints one line a trainer: how many trials, and which of them ended
otherwise.
"""

import json
import os
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch

from tests.train import killing
from tests.train.killing import Tracer, forked, points, result
from tests.train.rlhf import REWARD, Chat, asked, trunk
from truing.engine.adapters import AdapterConfig
from truing.engine.trunk import Trunk
from truing.judges.refusal import RefusalJudge
from truing.loops.recipe import Step
from truing.loops.verbs import training
from truing.train.benign import benign_set
from truing.train.critic import save_critic
from truing.train.ppo import PPOConfig, train_ppo
from truing.train.rloo import RLOOConfig, train_rloo

TRACED = ("train/ppo.py", "train/rloo.py", "train/iteration.py", "train/policy.py", "train/rollouts.py")
TRACED += ("train/rounds.py", "train/benign.py", "train/critic.py")
TRACED += ("train/checkpoint.py", "train/optimise.py", "loops/verbs/training.py")
SETTINGS: dict[str, Any] = {
    "iterations": 2,
    "epochs": 1,
    "minibatch_prompts": 1,
    "microbatch_tokens": 12,
    "rollout": {"prompts": 2, "samples": 2, "max_new_tokens": 3, "may_all_be_cut": True},
    "kl": {"target": 0.1, "horizon": 4},
    "adapter": AdapterConfig(rank=2, alpha=4, upper_layers=1),
}
TRAINERS: dict[str, tuple[Any, Any]] = {
    "ppo": (train_ppo, PPOConfig(**SETTINGS)),
    "rloo": (train_rloo, RLOOConfig(**SETTINGS)),
}


def train(on: Trunk, trainer: str, folder: Path) -> None:
    """One step of a recipe, from whatever `folder` holds of an earlier attempt."""
    ledger = SimpleNamespace(workspace=lambda _key: folder / "work")
    (folder / "work").mkdir(parents=True, exist_ok=True)
    shutil.rmtree(folder / "out", ignore_errors=True)
    (folder / "out").mkdir()
    context: Any = SimpleNamespace(trunk=on, ledger=ledger)
    step = Step(trainer, "key", 3, {}, folder / "out", context)
    function, config = TRAINERS[trainer]
    prompts = [asked("1 2"), asked("1 4")]
    critic: dict[str, torch.nn.Parameter] = {}
    records = function(
        on,
        Chat(),
        prompts,
        REWARD,
        config,
        seed=3,
        name=training.POLICY,
        checkpoint=folder / "work/checkpoint.safetensors",
        benign=benign_set([asked("4 1"), asked("4 2"), asked("5 1")], RefusalJudge(), 2, 3),
        **({"critic": critic} if trainer == "ppo" else {}),
    )
    for _ in training._train(step, records, 0):
        pass
    if critic:
        save_critic(on, critic, config.adapter, step.folder)


def main(folder: Path, stride: int) -> None:
    """All trials of both trainers."""
    torch.set_num_threads(1)
    killing.TRACED = TRACED
    on = trunk(num_hidden_layers=2)
    for trainer in TRAINERS:
        tracer = Tracer()
        sys.settrace(tracer)
        train(on, trainer, folder / trainer)
        sys.settrace(None)
        expected, wrong = result(folder / trainer), []
        chosen = points(tracer.lines, stride)
        for point in chosen:
            trial = folder / f"{trainer}-{point}"
            ended = forked(lambda: (sys.settrace(Tracer(point)), train(on, trainer, trial)))  # type: ignore[func-returns-value]  # noqa: B023
            resumed = forked(lambda: train(on, trainer, trial))  # noqa: B023
            where = "{}:{}".format(*tracer.lines[point])
            if not os.WIFSIGNALED(ended) or resumed != 0:
                wrong.append(f"{where}: ended {ended}, resumed {resumed}")
            elif result(trial) != expected:
                wrong.append(f"{where}: another result")
            shutil.rmtree(trial)
        print(json.dumps({"trainer": trainer, "trials": len(chosen), "wrong": wrong}), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
