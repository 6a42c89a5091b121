"""PPO, RLOO and GRPO on a tiny model: what they reach, what may not matter, resuming, and what each refuses."""

import itertools
import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tests.conftest import REPOSITORY, tiny_model
from tests.train.rlhf import (
    CONFIGS,
    ROLLOUT,
    each,
    random_adapter,
    steps_of,
    timeless,
    train,
    trunk,
    wanted,
    weights,
)
from truing.core.errors import InputError, RunError
from truing.core.records import Progress
from truing.engine.adapters import AdapterConfig
from truing.engine.trunk import Trunk
from truing.losses.kl import adapted
from truing.train.records import TrainStart

ALL = pytest.mark.parametrize("trainer", list(CONFIGS))
TWO = pytest.mark.parametrize("trainer", ["rloo", "ppo"])  # where the code is one for all


@ALL
def test_the_reward_rises_and_records_say_what_happened(trainer: str) -> None:
    on = trunk()
    records = steps_of(train(trainer, on, changes={"iterations": 12, "stop_kl": 0.5}))
    assert [record.step for record in records] == list(range(1, 13))
    risen = sum(record.reward for record in records[-3:]) - sum(record.reward for record in records[:3])
    assert risen > (0.2 if trainer == "online" else 1)  # pairs say less than scores
    first, last = records[0], records[-1]
    assert first.kl_k1 == pytest.approx(0, abs=1e-9)  # a new adapter changes nothing, and the drawn are the fresh
    assert first.kl_k3 == pytest.approx(0, abs=1e-9)
    assert last.kl_k3 > 0.1
    assert 0 < last.entropy < math.log(8)
    assert all(0 < record.eos_rate <= 1 and 0 < record.distinct_2 <= 1 for record in records)
    assert all(record.answers == 12 and 1 <= record.updates <= 4 for record in records)
    assert (first.explained_variance is None) == (trainer != "ppo")
    assert list(on.peft.peft_config) == ["policy"]  # reference and critic are gone


@ALL
def test_micro_batches_do_not_matter(trainer: str) -> None:
    results = []
    for tokens in (1, 25, 4096):
        on = trunk()
        list(train(trainer, on, changes={"microbatch_tokens": tokens, "iterations": 2}))
        results.append(weights(on))
    for other in results[1:]:
        assert all(torch.allclose(one, two, rtol=0, atol=1e-6) for one, two in zip(results[0], other, strict=True))


@TWO
def test_the_seed_fixes_the_run_and_another_gives_another(trainer: str) -> None:
    results = []
    for seed in (1, 1, 2):
        on = trunk()
        records = steps_of(train(trainer, on, seed=seed, changes={"iterations": 2}))
        results.append((weights(on), timeless(records)))
    assert all(torch.equal(one, two) for one, two in zip(results[0][0], results[1][0], strict=True))
    assert results[0][1] == results[1][1] != results[2][1]


@TWO
def test_the_caller_keeps_its_gradients_and_the_policy_between_two_records(trainer: str) -> None:
    on = trunk()
    for _ in train(trainer, on, changes={"iterations": 1}):
        assert torch.is_grad_enabled()
        assert on.peft.active_adapter == "policy"


@ALL
def test_the_reference_is_what_training_starts_from(trainer: str, tmp_path: Path) -> None:
    on = trunk()
    start = random_adapter(on, tmp_path)
    (one,) = steps_of(train(trainer, on, start_from=start, changes={"iterations": 1}))
    assert one.kl_k3 == pytest.approx(0, abs=1e-9)
    (bare,) = steps_of(train(trainer, trunk(), changes={"iterations": 1}))
    assert one.chosen_logprob != bare.chosen_logprob
    assert list(on.peft.peft_config) == ["policy"]


@ALL
def test_stopped_after_any_record_it_ends_with_the_same_weights_optimiser_and_curve(
    trainer: str, tmp_path: Path
) -> None:
    changes = {"iterations": 3, "kl": {"target": 0.5, "horizon": 20}}
    whole = trunk()
    curve = steps_of(train(trainer, whole, changes=changes, checkpoint=tmp_path / "whole"))
    assert len({record.coefficient for record in curve}) == 3  # what must be kept, too, does change
    total = sum(1 for _ in train(trainer, trunk(), changes=changes))
    for stop in range(1, total + 1, 7):
        path = tmp_path / f"{stop}"
        items = train(trainer, trunk(), changes=changes, checkpoint=path)
        seen = [next(items) for _ in range(stop)]
        items.close()
        resumed = trunk()
        rest = list(train(trainer, resumed, changes=changes, checkpoint=path))
        (start,) = (item for item in rest if isinstance(item, TrainStart))
        assert start.done == len(steps_of(seen[:-1]))  # a step's checkpoint is written after its record
        assert all(torch.equal(one, two) for one, two in zip(weights(whole), weights(resumed), strict=True))
        state, expected = load_file(path), load_file(tmp_path / "whole")
        assert state.keys() == expected.keys()
        assert all(torch.equal(state[key], expected[key]) for key in state)
        by_step = {record.step: record for record in steps_of([*seen, *rest])}
        assert timeless([by_step[step] for step in sorted(by_step)]) == timeless(curve)


@TWO
def test_a_reward_that_fails_midway_costs_its_iteration_only(trainer: str, tmp_path: Path) -> None:
    calls: list[int] = []

    def failing(prompt: Any, answer: Any) -> float:
        calls.append(1)
        return math.nan if len(calls) > 2 * 12 else wanted(prompt, answer)

    path = tmp_path / "run"
    with pytest.raises(RunError, match=r"test returned nan .* last checkpoint is kept"):
        list(train(trainer, trunk(), each(failing), checkpoint=path))
    whole, mended = trunk(), trunk()
    list(train(trainer, whole))
    start = next(item for item in train(trainer, mended, checkpoint=path) if isinstance(item, TrainStart))
    assert start.done == 2
    mended = trunk()
    list(train(trainer, mended, checkpoint=path))
    assert all(torch.equal(one, two) for one, two in zip(weights(whole), weights(mended), strict=True))


@TWO
def test_a_checkpoint_of_another_run_is_refused(trainer: str, tmp_path: Path) -> None:
    path = tmp_path / "run"
    list(train(trainer, trunk(), changes={"iterations": 1}, checkpoint=path))
    others = [
        train(trainer, trunk(), changes={"iterations": 1}, seed=1, checkpoint=path),
        train(trainer, trunk(), changes={"iterations": 2}, checkpoint=path),
        train(trainer, trunk(), each(wanted, "2"), changes={"iterations": 1}, checkpoint=path),
    ]
    for other in others:
        with pytest.raises(InputError, match="a run with other inputs"):
            next(other)


@TWO
def test_an_adapter_of_another_base_shape_or_method_is_refused(trainer: str, tmp_path: Path) -> None:
    other = Trunk.of(tiny_model(seed=1, vocabulary=8), tokenizer=None, name="other", sha256="1" * 64)
    on = trunk()
    with pytest.raises(InputError, match=r"trained on other .*, not on tiny"):
        next(train(trainer, on, start_from=random_adapter(other, tmp_path / "other")))
    same = random_adapter(trunk(), tmp_path / "same")
    wider = {"adapter": AdapterConfig(rank=3, upper_layers=2)}
    with pytest.raises(InputError, match="use the same rank and layers"):
        next(train(trainer, on, start_from=same, changes=wider))
    full = {"adapter": AdapterConfig(method="full", upper_layers=2)}
    with pytest.raises(InputError, match=r"use the same adapter\.method"):
        next(train(trainer, trunk(), start_from=same, changes=full))


@TWO
def test_all_weights_can_be_trained_as_well(trainer: str) -> None:
    on = trunk()
    changes = {"iterations": 2, "adapter": AdapterConfig(method="full", upper_layers=2)}
    records = steps_of(train(trainer, on, changes=changes))
    assert records[0].kl_k3 == pytest.approx(0, abs=1e-9)
    assert records[1].kl_k3 > 1e-4
    assert list(on.full) == ["policy"]
    assert on.full_in_use == "policy"


@TWO
def test_the_coefficient_follows_the_divergence_and_is_fixed_without_a_target(trainer: str) -> None:
    changes = {"iterations": 3, "kl": {"coefficient": 0.3, "target": 0.05, "horizon": 12}}
    records = steps_of(train(trainer, trunk(), changes=changes))
    for now, after in itertools.pairwise(records):
        assert after.coefficient == pytest.approx(adapted(now.coefficient, now.kl_k1, 0.05, 12, 12))
    fixed = steps_of(train(trainer, trunk(), changes={"iterations": 3, "kl": {"coefficient": 0.3}}))
    assert [record.coefficient for record in fixed] == [0.3] * 3


@ALL
def test_an_update_that_goes_too_far_ends_its_epochs(trainer: str) -> None:
    changes = {"iterations": 2, "epochs": 5, "stop_kl": 1e-3}
    planned = 5 * -(-CONFIGS[trainer].rollout.prompts // CONFIGS[trainer].minibatch_prompts)
    for record in steps_of(train(trainer, trunk(), changes=changes)):
        assert 1 <= record.updates < planned
        assert record.step_kl > 1e-3
    free = steps_of(train(trainer, trunk(), changes={**changes, "stop_kl": None}))
    assert [record.updates for record in free] == [planned, planned]


@TWO
def test_what_happens_is_told_while_it_happens(trainer: str) -> None:
    items = list(train(trainer, trunk(), changes={"iterations": 1}))
    assert isinstance(items[0], TrainStart)
    assert items[0].needed_bytes is not None
    drawn = [item.done for item in items if isinstance(item, Progress) and item.stage == "rollouts"]
    assert drawn == list(range(1, 13))


def test_policy_and_critic_may_both_sit_on_every_layer() -> None:
    """The second adapter finds its places where the first one has wrapped all of them."""
    on = trunk()
    every = AdapterConfig(rank=2, upper_layers=None)
    (one,) = steps_of(train("ppo", on, changes={"iterations": 1, "adapter": every}))
    assert one.kl_k3 == pytest.approx(0, abs=1e-9)
    assert sorted(on.peft.peft_config["policy"].target_modules) == sorted(
        ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    )


@pytest.mark.parametrize("trainer", ["rloo", "grpo"])
def test_an_answer_alone_has_nobody_to_be_compared_with(trainer: str) -> None:
    alone = {**dict(CONFIGS[trainer]), "rollout": ROLLOUT.model_copy(update={"samples": 1})}
    with pytest.raises(InputError, match=r"rollout\.samples must be at least 2"):
        type(CONFIGS[trainer]).parse(alone, "here")


def test_killed_at_source_lines_by_sigkill_they_leave_the_same_artifact(tmp_path: Path) -> None:
    """At every fiftieth line; with 1 instead of 50, killing_policy.py takes each line."""
    command = [sys.executable, "-W", "ignore", "-m", "tests.train.killing_policy", str(tmp_path), "50"]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False)
    found = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert [(one["trainer"], one["wrong"]) for one in found] == [("ppo", []), ("rloo", [])], done.stderr
    assert all(one["trials"] >= 5 for one in found)
