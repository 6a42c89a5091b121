"""One trunk that is policy, reference and critic: what a run of PPO, RLOO or GRPO has on it, and their common settings.

The policy is an adapter; the reference is the trunk without one, or with the adapter that training started from; the
critic, where there is one, is a head on the policy's own pass, or on an adapter of its own. So the weights of the model
are held once, not four times. What an iteration does with them: `iteration.py`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from pydantic import Field
from torch.nn import Parameter

from truing.core.config import Config
from truing.core.errors import InputError
from truing.engine import full
from truing.engine.adapters import (
    AdapterConfig,
    adapter_files,
    adapter_parameters,
    add_adapter,
    copy_weights,
    load_adapter,
    remove_adapter,
)
from truing.engine.tree import TokenSequence, build_forest
from truing.engine.trunk import Trunk
from truing.losses.kl import adapted
from truing.train.checkpoint import Checkpoints
from truing.train.critic import Critic, CriticConfig, critic_parameters, open_critic
from truing.train.fit import begin, load_of
from truing.train.optimise import OptimiserConfig, optimiser
from truing.train.records import TrainStart
from truing.train.rollouts import RolloutConfig
from truing.train.rows import identity


class KLConfig(Config):
    """`coefficient` is β. With a `target` (nats an answer) it is adapted after every iteration so as to keep the
    divergence there, the faster the smaller the `horizon` (in answers)."""

    coefficient: float = Field(default=0.05, ge=0)
    target: float | None = Field(default=None, gt=0)
    horizon: int = Field(default=1000, ge=1)


class PolicyConfig(Config):
    """What all three have. `epochs` passes over an iteration's answers, in minibatches of `minibatch_prompts` groups;
    they stop early once the policy is `stop_kl` nats a token from the one that drew (None: never)."""

    iterations: int = Field(default=30, ge=1)
    epochs: int = Field(default=2, ge=1)
    minibatch_prompts: int = Field(default=8, ge=1)
    clip: float = Field(default=0.2, gt=0, lt=1)
    stop_kl: float | None = Field(default=0.1, gt=0)
    microbatch_tokens: int = Field(default=2048, ge=1)
    checkpoint_every: int = Field(default=1, ge=1)
    rollout: RolloutConfig = RolloutConfig()
    kl: KLConfig = KLConfig()
    adapter: AdapterConfig = AdapterConfig()
    optimiser: OptimiserConfig = OptimiserConfig(learning_rate=2e-4)


@dataclass(frozen=True)
class Policy:
    """One run's moving parts. `reference` names an adapter, or is None for the bare trunk; `first` is the lowest
    adapted layer; `coefficient` is β, kept with the weights in every checkpoint."""

    trunk: Trunk
    name: str
    reference: str | None
    first: int
    critic: Critic | None
    adamw: torch.optim.AdamW
    coefficient: Parameter
    kept: Checkpoints

    @property
    def beta(self) -> float:
        return self.coefficient.item()

    def finish(self, iteration: int, kl: float, answers: int, config: KLConfig) -> None:
        """Adapt β, where it has a target, and write the checkpoint, where one is due."""
        if config.target is not None:
            self.coefficient.data.fill_(adapted(self.beta, kl, config.target, config.horizon, answers))
        self.kept.after(iteration + 1)


def open_policy(
    what: str,
    trunk: Trunk,
    sequences: Sequence[TokenSequence],
    config: PolicyConfig,
    seed: int,
    name: str,
    start_from: Path | None,
    checkpoint: Path | None,
    critic: CriticConfig | None = None,
) -> Policy:
    """Put the run's adapters on the trunk, the policy's in use, and read its checkpoint.

    Raises `InputError` where `start_from` is of another base, method or shape, or the checkpoint of another run.
    """
    first = len(trunk.layers)
    if start_from is not None:
        if config.adapter.method == "full" and adapter_files(start_from)[0].name.startswith("adapter_model"):
            raise InputError(f"{start_from}: this adapter was trained by another method; use the same adapter.method")
        first = load_adapter(trunk, start_from, f"{name}_reference")
    value = None if critic is None else open_critic(trunk, config.adapter, seed, f"{name}_value", critic)
    first = min(first, add_adapter(trunk, name, config.adapter, seed))  # the last one is the one in use
    if start_from is not None:
        copy_weights(start_from, trunk, name)
    mine = adapter_parameters(trunk, name)
    adamw = optimiser(mine, config.optimiser)
    learned = dict(mine)
    if value is not None and critic is not None:
        critic.live.update(critic_parameters(trunk, value))
        adamw.add_param_group({"params": list(critic.live.values()), "factor": critic.factor})
        learned |= {f"critic/{key}": parameter for key, parameter in critic.live.items()}
    coefficient = Parameter(torch.tensor(config.kl.coefficient, dtype=torch.float64), requires_grad=False)
    run = identity(what, trunk, sequences, range(len(sequences)), config, seed, start_from)
    kept = Checkpoints(checkpoint, run, {**learned, "kl_coefficient": coefficient}, adamw, config.checkpoint_every)
    reference = None if start_from is None else f"{name}_reference"
    return Policy(trunk, name, reference, first, value, adamw, coefficient, kept)


def close_policy(trunk: Trunk, name: str) -> None:
    """Take the reference and the critic from the trunk; the policy stays, in use."""
    held = {*trunk.full, *(trunk.peft.peft_config if trunk.peft is not None else ())}
    for other in sorted(held & {f"{name}_reference", f"{name}_value"}):
        remove_adapter(trunk, other)
    if name in trunk.full:
        full.switch(trunk, name)  # removing full weights puts none in use


def start(policy: Policy, sequences: Sequence[TokenSequence], config: PolicyConfig) -> TrainStart:
    """Settle the micro-batches by the most that an iteration may need: the longest prompts, every answer full and like
    no other. Raises `InputError` where that does not fit into memory."""
    rollout = config.rollout
    longest = sorted((sequence.ids for sequence in sequences), key=len, reverse=True)[: rollout.prompts]
    rows = [
        TokenSequence((*ids, -1 - member, *[0] * (rollout.max_new_tokens - 1)), len(ids))
        for ids in longest
        for member in range(rollout.samples)
    ]
    groups = list(range(len(longest)))
    order = [groups[at : at + config.minibatch_prompts] for at in range(0, len(groups), config.minibatch_prompts)]
    trained = {str(number): one for number, one in enumerate(_trained(policy))}
    load = load_of(policy.trunk, build_forest(rows), order, rollout.samples, policy.first, trained)
    return begin(load, policy.kept, config.microbatch_tokens, may_use_disk=False)


def _trained(policy: Policy) -> list[Parameter]:
    return [parameter for group in policy.adamw.param_groups for parameter in group["params"]]
