"""The critic that PPO leaves: read again it expects the same bits, training goes on with it, and a misfit is named."""

import multiprocessing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.conftest import tiny_model
from tests.train.rlhf import ADAPTER, CONFIGS, random_adapter, steps_of, train, trunk
from truing.core.errors import InputError
from truing.engine.adapters import AdapterConfig, save_adapter, use_adapter
from truing.engine.scalar import FILE as REWARD_HEAD
from truing.engine.scalar import ScalarHead, values_at
from truing.engine.tree import TokenSequence, build_forest
from truing.engine.trunk import Trunk
from truing.train.critic import FILE, Critic, CriticConfig, open_critic, save_critic
from truing.train.records import PolicyStep

SPAWN = multiprocessing.get_context("spawn")
KINDS = pytest.mark.parametrize("kind", ["adapter", "shared"])
FULL = AdapterConfig(method="full", upper_layers=2)


def expected(on: Trunk, critic: Critic) -> torch.Tensor:
    """What it expects after each token of two sequences."""
    forest = build_forest([TokenSequence((1, 2, 4, 3, 3), 3), TokenSequence((1, 2, 5, 6, 0, 7), 4)])
    with torch.no_grad(), use_adapter(on, critic.adapter or "policy"):
        return values_at(on, critic.head, forest, np.arange(len(forest)))


def learned(
    kind: str, folder: Path, adapter: AdapterConfig = ADAPTER, **options: Any
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Train, and keep policy and critic in a folder; returns what the critic expected at its last round, and it."""
    on, critic = trunk(), dict[str, torch.nn.Parameter]()
    said = torch.empty(0)
    changes = {"iterations": 2, "critic": kind, "adapter": adapter}
    for item in train("ppo", on, changes=changes, critic=critic, **options):
        if isinstance(item, PolicyStep):
            head = ScalarHead(critic["head.weight"], critic["head.bias"])
            said = expected(on, Critic(head, "policy_value" if kind == "adapter" else None))
    save_adapter(on, "policy", folder)
    save_critic(on, critic, adapter, folder)
    return said, {name: parameter.detach().clone() for name, parameter in critic.items()}


MADE = {"own": ("adapter", ADAPTER), "shared": ("shared", ADAPTER), "full": ("adapter", FULL)}


def reread(folder: Path) -> None:
    """In a new process: policy and critic of each run in the folder, and what the critic expects."""
    from truing.engine.adapters import load_adapter

    found = {}
    for name, (kind, adapter) in MADE.items():
        on = trunk()
        critic = open_critic(on, adapter, 99, "policy_value", CriticConfig(kind == "adapter", folder / name))
        load_adapter(on, folder / name, "policy")
        found[name] = expected(on, critic)
    save_file(found, folder / "values")


def test_after_reload_in_a_new_process_its_values_are_equal_bit_for_bit(tmp_path: Path) -> None:
    said = {name: learned(kind, tmp_path / name, adapter)[0] for name, (kind, adapter) in MADE.items()}
    process = SPAWN.Process(target=reread, args=(tmp_path,))
    process.start()
    process.join()
    assert process.exitcode == 0
    found = load_file(tmp_path / "values")
    for name, values in said.items():
        assert len(values.unique()) > 5  # it does expect something
        assert torch.equal(found[name], values)


@KINDS
def test_a_run_begins_with_the_critic_that_another_left_and_without_it_with_one_that_expects_0(
    kind: str, tmp_path: Path
) -> None:
    _, left = learned(kind, tmp_path)
    begun: dict[str, torch.nn.Parameter] = {}
    options = {"start_from": tmp_path, "changes": {"iterations": 1, "critic": kind}}
    next(train("ppo", trunk(), critic_from=tmp_path, critic=begun, **options))
    assert begun.keys() == left.keys()
    assert all(torch.equal(begun[name], left[name]) for name in left)
    (going_on,) = steps_of(train("ppo", trunk(), critic_from=tmp_path, **options))
    (anew,) = steps_of(train("ppo", trunk(), **options))
    assert going_on.value_loss != anew.value_loss
    assert going_on.reward == anew.reward  # the policy and what it draws are the same


def test_a_run_with_another_critic_is_another_run(tmp_path: Path) -> None:
    learned("adapter", tmp_path / "left")
    learned("adapter", tmp_path / "other", seed=1)
    path, changes = tmp_path / "run", {"iterations": 2}
    items = train("ppo", trunk(), changes=changes, critic_from=tmp_path / "left", checkpoint=path)
    assert len(steps_of(items)) == 2
    for critic_from in (tmp_path / "other", None):
        with pytest.raises(InputError, match="a run with other inputs"):
            next(train("ppo", trunk(), changes=changes, critic_from=critic_from, checkpoint=path))


def test_a_run_that_was_stopped_leaves_the_same_critic(tmp_path: Path) -> None:
    _, whole = learned("adapter", tmp_path / "whole")
    path = tmp_path / "run"
    items = train("ppo", trunk(), changes={"iterations": 2}, checkpoint=path)
    next(item for item in items if isinstance(item, PolicyStep))
    next(items)  # the first round's checkpoint is written
    items.close()
    _, resumed = learned("adapter", tmp_path / "resumed", checkpoint=path)
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    names = (FILE, "adapter_model.safetensors")
    assert all((tmp_path / "whole" / one).read_bytes() == (tmp_path / "resumed" / one).read_bytes() for one in names)


def test_a_critic_that_does_not_fit_is_named_with_what_to_do(tmp_path: Path) -> None:
    own, shared = tmp_path / "own", tmp_path / "shared"
    learned("adapter", own)
    learned("shared", shared)
    other = Trunk.of(tiny_model(seed=1, vocabulary=8), tokenizer=None, name="other", sha256="1" * 64)
    wider = {"adapter": AdapterConfig(rank=3, alpha=6, upper_layers=2)}
    louder = {"adapter": AdapterConfig(rank=2, alpha=8, upper_layers=2)}
    for on, folder, changes, why in (
        (other, own, {}, "it was trained on tiny, not on other; load it on its own base"),
        (trunk(), own, {"critic": "shared"}, 'it has an adapter of its own; set critic = "adapter"'),
        (trunk(), shared, {}, 'it has none; set critic = "shared"'),
        (trunk(), own, wider, r"it holds \[2, 48\] for .*, and \[3, 48\] is needed; use its adapter.method, rank"),
        (trunk(), own, louder, r"its adapter is scaled by 2.0, this one by 4.0; use its adapter.alpha"),
    ):
        with pytest.raises(InputError, match=rf"{FILE}: the critic does not fit: {why}.*; or leave out critic_from"):
            next(train("ppo", on, changes=changes, critic_from=folder))
    (own / FILE).write_bytes((own / FILE).read_bytes()[:100])
    with pytest.raises(InputError, match=rf"{FILE}: the critic cannot be read"):
        next(train("ppo", trunk(), critic_from=own))


def test_neither_a_critic_nor_a_reward_model_is_said(tmp_path: Path) -> None:
    start = random_adapter(trunk(), tmp_path)
    with pytest.raises(InputError, match=rf"neither {FILE} .* nor {REWARD_HEAD} .* leave out critic_from"):
        next(train("ppo", trunk(), critic_from=start))
    save_file({"weight": torch.zeros(31), "bias": torch.zeros(())}, start / REWARD_HEAD)
    with pytest.raises(InputError, match=r"holds bias \[\], weight \[31\], and tiny needs bias \[\], weight \[32\]"):
        next(train("ppo", trunk(), critic_from=start))


def test_the_configuration_s_default_is_a_critic_on_an_adapter_of_its_own() -> None:
    critic: dict[str, torch.nn.Parameter] = {}
    next(train("ppo", trunk(), critic=critic))
    assert {"head.weight", "head.bias"} < critic.keys()
    assert not any("policy" in name for name in critic)  # names that fit whatever the adapter is called
    assert CONFIGS["ppo"].critic == "adapter"  # type: ignore[attr-defined]
