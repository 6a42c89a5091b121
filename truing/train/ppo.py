"""PPO with a critic: every token of an answer earns what came after it, beyond what the critic expected.

    r_t = −β k_t  (+ score, on the answer's last token),     Â = GAE(r, V),     L = clipped policy loss + c · value loss

k_t is the token's estimate of KL(π ‖ π_ref). The score stands on the end of turn itself, the token that decided that
the answer is whole; where an answer was cut, it stands, less the penalty, on the last token that was drawn. (Ziegler et
al. 2019, arXiv:1909.08593; Stiennon et al. 2020, arXiv:2009.01325; details: Huang et al. 2024, arXiv:2403.17031.)

Policy, reference and critic share one trunk (`policy.py`). Entropy is measured and not rewarded.
"""

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import Field
from torch import Tensor
from torch.nn import Parameter

from truing.core.digest import digest_file
from truing.core.protocols import Reward
from truing.core.records import Conversation, Progress
from truing.engine import scalar
from truing.engine.chat import Chat
from truing.engine.trunk import Trunk
from truing.losses import ppo as losses
from truing.losses.kl import k1, k3
from truing.train.benign import BenignSet
from truing.train.critic import FILE, CriticConfig
from truing.train.iteration import Batch, Objective, Part, values
from truing.train.policy import Policy, PolicyConfig
from truing.train.records import PolicyStep, TrainStart
from truing.train.rollouts import Rollouts
from truing.train.rounds import Lesson, Run, train_rounds

VERSION = 2


class PPOConfig(PolicyConfig):
    """See `PolicyConfig`. `critic`: a head on an `adapter` of its own, or on the policy's pass (`shared`: half the
    computation, and its errors pull at the policy). `discount` is γ, `trace` λ. `estimator` is what a token pays for
    leaving the reference: k1, or k3, whose gradient is biased (`losses/kl.py`). `critic_factor`: how many times the
    policy's learning rate the critic has."""

    critic: Literal["adapter", "shared"] = "adapter"
    critic_factor: float = Field(default=1.0, gt=0)
    value_coefficient: float = Field(default=0.1, gt=0)
    value_clip: float = Field(default=0.2, gt=0)
    discount: float = Field(default=1.0, ge=0, le=1)
    trace: float = Field(default=0.95, ge=0, le=1)
    estimator: Literal["k1", "k3"] = "k1"
    whiten_rewards: bool = False
    whiten_advantages: bool = True


@dataclass(frozen=True)
class Gains:
    """Of each drawn token [T]: what the critic expected, the return that it should have, and the policy's advantage."""

    values: Tensor
    returns: Tensor
    advantages: Tensor


def train_ppo(
    trunk: Trunk,
    chat: Chat,
    prompts: Sequence[Conversation],
    reward: Reward,
    config: PPOConfig,
    *,
    seed: int = 0,
    name: str = "policy",
    start_from: Path | None = None,
    critic_from: Path | None = None,
    critic: dict[str, Parameter] | None = None,
    checkpoint: Path | None = None,
    gold: Reward | None = None,
    benign: BenignSet | None = None,
) -> Generator[Progress | TrainStart | PolicyStep, None, None]:
    """Train a new adapter `name` on the trunk; arguments, resuming and errors as in `train_rloo`. The critic begins
    with an expectation of 0, or with what is kept in the folder `critic_from` (`train/critic.py`). `critic`, if given,
    is filled with its live parameters by name; they are still there when the iterator has ended, to be kept by
    `save_critic`."""

    def lesson(policy: Policy, batch: Batch) -> Lesson:
        gains = gains_of(batch, values(policy, batch), policy.beta, config)
        explained = losses.explained_variance(gains.values, gains.returns)
        return Lesson(objective(batch, gains, config), gains.returns - gains.values, explained)

    made = CriticConfig(config.critic == "adapter", critic_from, config.critic_factor, {} if critic is None else critic)
    what = f"ppo {VERSION}" if critic_from is None else f"ppo {VERSION}/{_hash(critic_from)}"
    run = Run(seed, name, start_from, checkpoint, gold, benign)
    yield from train_rounds(what, trunk, chat, prompts, reward, config, run, lesson, made)


def token_rewards(rollouts: Rollouts, penalty: Tensor) -> Tensor:
    """r [T]: what each token pays, `penalty` [T], and on each answer's last drawn token its score as well."""
    return (-penalty).index_add(0, rollouts.last, rollouts.scores)


def gains_of(batch: Batch, expected: Tensor, beta: float, config: PPOConfig) -> Gains:
    """Rewards → advantages, and the returns for the critic. `expected` [T] are its values before the update."""
    rollouts = batch.rollouts
    estimate = k1 if config.estimator == "k1" else k3
    rewards = token_rewards(rollouts, beta * estimate(rollouts.drawn, batch.reference))
    if config.whiten_rewards:
        rewards = losses.whitened(rewards, shift_mean=False)
    padded = losses.advantages(rollouts.padded(rewards), rollouts.padded(expected), config.discount, config.trace)
    advantages = rollouts.flat(padded)
    returns = advantages + expected
    return Gains(expected, returns, losses.whitened(advantages) if config.whiten_advantages else advantages)


def objective(batch: Batch, gains: Gains, config: PPOConfig) -> Objective:
    """Both clipped losses, means over the minibatch's tokens."""
    drawn = batch.rollouts.drawn

    def policy(logprobs: Tensor, part: Part) -> Tensor:
        at = part.places
        clipped = losses.clipped_policy_loss(logprobs, drawn[at], gains.advantages[at], config.clip)
        return clipped.sum() / part.minibatch_tokens

    def critic(expected: Tensor, part: Part) -> Tensor:
        at = part.places
        clipped = losses.clipped_value_loss(expected, gains.values[at], gains.returns[at], config.value_clip)
        return config.value_coefficient * clipped.sum() / part.minibatch_tokens

    def outside(logprobs: Tensor, part: Part) -> Tensor:
        return losses.outside_clip(logprobs, drawn[part.places], config.clip)

    return Objective(policy, outside, critic)


def _hash(folder: Path) -> str:
    files = (folder / name for name in (FILE, scalar.FILE))
    return next((digest_file(file) for file in files if file.is_file()), "")
