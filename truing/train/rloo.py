"""RLOO: REINFORCE where each answer's baseline is the mean reward of the other answers to its prompt.

    R_i = score_i − β Σ_t k1_t,     A_i = k/(k−1) (R_i − mean R),     L = −mean_i min(ρ_i A_i, clip(ρ_i) A_i)

ρ_i is the ratio of the whole answer's probability under the policy to that under the policy that drew it: an answer is
one action (Ahmadian et al. 2024, arXiv:2402.14740). In the first update ρ = 1 and this is the policy gradient of
E[score] − β KL(π ‖ π_ref), without bias and without a critic. The clip matters in later updates of an iteration only.
"""

from collections.abc import Generator, Sequence
from pathlib import Path

from pydantic import model_validator
from torch import Tensor

from truing.core.protocols import Reward
from truing.core.records import Conversation, Progress
from truing.engine.chat import Chat
from truing.engine.trunk import Trunk
from truing.losses.kl import k1
from truing.losses.policy_gradient import answer_logprobs, rloo_advantages
from truing.losses.ppo import clipped_policy_loss, outside_clip
from truing.train.benign import BenignSet
from truing.train.iteration import Batch, Objective, Part
from truing.train.policy import Policy, PolicyConfig
from truing.train.records import PolicyStep, TrainStart
from truing.train.rounds import Lesson, Run, train_rounds

VERSION = 2


class RLOOConfig(PolicyConfig):
    """See `PolicyConfig`; `rollout.samples` is k, at least 2."""

    @model_validator(mode="after")
    def _others(self) -> "RLOOConfig":
        if self.rollout.samples < 2:
            raise ValueError("rollout.samples must be at least 2: an answer is measured against the others")
        return self


def train_rloo(
    trunk: Trunk,
    chat: Chat,
    prompts: Sequence[Conversation],
    reward: Reward,
    config: RLOOConfig,
    *,
    seed: int = 0,
    name: str = "policy",
    start_from: Path | None = None,
    checkpoint: Path | None = None,
    gold: Reward | None = None,
    benign: BenignSet | None = None,
) -> Generator[Progress | TrainStart | PolicyStep, None, None]:
    """Train a new adapter `name` on the trunk by rewards of its own answers; it holds the result when the iterator
    ends.

    `start_from` is an adapter folder of the same shape: the starting point and the reference (None: the bare trunk).
    With `checkpoint`, a file, state is saved after every iteration, and a run that finds its own goes on from it to the
    same weights. For the record only, `gold` is a reward that scores the answers, and `benign` a set of harmless
    prompts that are asked (`train/benign.py`). Raises `InputError` before the first pass if something does not fit,
    `RunError` where an iteration fails: the last checkpoint is then kept.
    """

    def lesson(policy: Policy, batch: Batch) -> Lesson:
        advantages = advantages_of(batch, policy.beta)
        return Lesson(objective(batch, advantages, config.clip), advantages)

    run = Run(seed, name, start_from, checkpoint, gold, benign)
    yield from train_rounds("rloo", trunk, chat, prompts, reward, config, run, lesson)


def advantages_of(batch: Batch, beta: float) -> Tensor:
    """A [N]: each answer's reward, the penalty for leaving the reference included, against the others to its prompt."""
    rollouts = batch.rollouts
    rewards = rollouts.scores - beta * rollouts.sums(k1(rollouts.drawn, batch.reference))
    return rloo_advantages(rewards.view(-1, rollouts.samples)).flatten()


def objective(batch: Batch, advantages: Tensor, clip: float) -> Objective:
    """The clipped loss with whole answers as actions."""
    drawn = batch.rollouts.sums(batch.rollouts.drawn)

    def loss(logprobs: Tensor, part: Part) -> Tensor:
        answers = answer_logprobs(logprobs, part.answer, len(part.numbers))
        losses = clipped_policy_loss(answers, drawn[part.numbers], advantages[part.numbers], clip)
        return losses.sum() / part.minibatch_answers

    def outside(logprobs: Tensor, part: Part) -> Tensor:
        answers = answer_logprobs(logprobs, part.answer, len(part.numbers))
        return outside_clip(answers, drawn[part.numbers], clip)

    return Objective(loss, outside)
