"""Online DPO: draw two answers, let the reward say which is better, and prefer it (Guo et al. 2024, arXiv:2402.04792).

    L = −mean log σ(β h),     h = (log π(y_w) − log π_ref(y_w)) − (log π(y_l) − log π_ref(y_l))

The pairs are always the policy's own, so that its loss never judges answers that it would not give. A pair of equal
scores says nothing and counts with zero. β is `kl.coefficient`; with `kl.target` it is adapted, as for PPO.
"""

from collections.abc import Generator, Sequence
from pathlib import Path

import torch
from pydantic import model_validator
from torch import Tensor

from truing.core.protocols import Reward
from truing.core.records import Conversation, Progress
from truing.engine.chat import Chat
from truing.engine.trunk import Trunk
from truing.losses.dpo import dpo_loss
from truing.losses.policy_gradient import answer_logprobs
from truing.losses.ppo import outside_clip
from truing.train.benign import BenignSet
from truing.train.iteration import Batch, Objective, Part
from truing.train.policy import KLConfig, Policy, PolicyConfig
from truing.train.records import PolicyStep, TrainStart
from truing.train.rollouts import RolloutConfig
from truing.train.rounds import Lesson, Run, train_rounds

VERSION = 2


class OnlineDPOConfig(PolicyConfig):
    """See `PolicyConfig`; `rollout.samples` is 2. Nothing is clipped: `clip` only says what is counted as far."""

    epochs: int = 1
    rollout: RolloutConfig = RolloutConfig(samples=2)
    kl: KLConfig = KLConfig(coefficient=0.1)

    @model_validator(mode="after")
    def _pairs(self) -> "OnlineDPOConfig":
        if self.rollout.samples != 2 or self.kl.coefficient == 0:
            raise ValueError("online DPO needs rollout.samples = 2 and a kl.coefficient above 0")
        return self


def train_online_dpo(
    trunk: Trunk,
    chat: Chat,
    prompts: Sequence[Conversation],
    reward: Reward,
    config: OnlineDPOConfig,
    *,
    seed: int = 0,
    name: str = "policy",
    start_from: Path | None = None,
    checkpoint: Path | None = None,
    gold: Reward | None = None,
    benign: BenignSet | None = None,
) -> Generator[Progress | TrainStart | PolicyStep, None, None]:
    """Train a new adapter `name` on the trunk; arguments, resuming and errors as in `train_rloo`."""

    def lesson(policy: Policy, batch: Batch) -> Lesson:
        better = preferred(batch)
        return Lesson(objective(batch, better, policy.beta, config.clip), better)

    run = Run(seed, name, start_from, checkpoint, gold, benign)
    yield from train_rounds("online", trunk, chat, prompts, reward, config, run, lesson)


def preferred(batch: Batch) -> Tensor:
    """[N] 1 for the better answer of each pair, −1 for the worse, 0 where they are equal."""
    scores = batch.rollouts.scores.view(-1, 2)
    return torch.sign(scores - scores.flip(1)).flatten()


def objective(batch: Batch, better: Tensor, beta: float, clip: float) -> Objective:
    """DPO's loss on the pairs, divided by the minibatch's number of pairs, equal ones included."""
    drawn, reference = batch.rollouts.sums(batch.rollouts.drawn), batch.rollouts.sums(batch.reference)

    def loss(logprobs: Tensor, part: Part) -> Tensor:
        answers = answer_logprobs(logprobs, part.answer, len(part.numbers))
        ratios = (answers - reference[part.numbers]).view(-1, 2)
        sign = better[part.numbers].view(-1, 2)[:, 0]
        margins = sign * (ratios[:, 0] - ratios[:, 1])
        return (sign.abs() * dpo_loss(margins, beta)).sum() / (part.minibatch_answers / 2)

    def outside(logprobs: Tensor, part: Part) -> Tensor:
        return outside_clip(answer_logprobs(logprobs, part.answer, len(part.numbers)), drawn[part.numbers], clip)

    return Objective(loss, outside)
