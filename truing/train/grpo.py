"""GRPO: each answer against its group's mean, in the group's own deviation (Shao et al. 2024, arXiv:2402.03300).

    A_i = (R_i − mean R) / std R,     L = (1/N) Σ_i (1/|y_i|) Σ_t [ −min(ρ_it A_i, clip(ρ_it) A_i) + β D_it ]

What later papers changed is a setting each: `divide_by_std = false` and `length = "constant"` are Dr. GRPO (Liu et al.
2025, arXiv:2503.20783: the two divisions favour easy prompts, and answers that are short and right or long and wrong);
`ratio = "answer"` is GSPO's clip (Zheng et al. 2025, arXiv:2507.18071). The penalty for leaving the reference is a term
of the loss, as in the first paper, but with the right gradient (`losses/kl.py`), or part of R.
"""

from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Literal

import torch
from pydantic import model_validator
from torch import Tensor

from truing.core.protocols import Reward
from truing.core.records import Conversation, Progress
from truing.engine.chat import Chat
from truing.engine.trunk import Trunk
from truing.losses.kl import k1, kl_loss
from truing.losses.policy_gradient import answer_logprobs, grpo_advantages
from truing.losses.ppo import clipped_policy_loss, outside_clip
from truing.train.benign import BenignSet
from truing.train.iteration import Batch, Objective, Part
from truing.train.policy import Policy, PolicyConfig
from truing.train.records import PolicyStep, TrainStart
from truing.train.rounds import Lesson, Run, train_rounds

VERSION = 2


class GRPOConfig(PolicyConfig):
    """See `PolicyConfig`. `length`: an answer's tokens are divided by their number (`answer`) or by
    rollout.max_new_tokens (`constant`). `penalty`: β KL is a term of the `loss` or part of the `reward`."""

    divide_by_std: bool = True
    length: Literal["answer", "constant"] = "answer"
    ratio: Literal["token", "answer"] = "token"
    penalty: Literal["loss", "reward"] = "loss"

    @model_validator(mode="after")
    def _others(self) -> "GRPOConfig":
        if self.rollout.samples < 2:
            raise ValueError("rollout.samples must be at least 2: an answer is measured against its group")
        return self


def train_grpo(
    trunk: Trunk,
    chat: Chat,
    prompts: Sequence[Conversation],
    reward: Reward,
    config: GRPOConfig,
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
        advantages = advantages_of(batch, policy.beta, config)
        return Lesson(objective(batch, advantages, policy.beta, config), advantages)

    run = Run(seed, name, start_from, checkpoint, gold, benign)
    yield from train_rounds("grpo", trunk, chat, prompts, reward, config, run, lesson)


def advantages_of(batch: Batch, beta: float, config: GRPOConfig) -> Tensor:
    """A [N]: each answer's reward against its group's."""
    rollouts = batch.rollouts
    rewards = rollouts.scores
    if config.penalty == "reward":
        rewards = rewards - beta * rollouts.sums(k1(rollouts.drawn, batch.reference))
    return grpo_advantages(rewards.view(-1, rollouts.samples), config.divide_by_std).flatten()


def objective(batch: Batch, advantages: Tensor, beta: float, config: GRPOConfig) -> Objective:
    """The clipped loss, token by token or answer by answer, with the divergence beside it."""
    rollouts, clip = batch.rollouts, config.clip
    drawn_answers = rollouts.sums(rollouts.drawn) / rollouts.lengths
    longest = torch.full_like(rollouts.lengths, config.rollout.max_new_tokens)
    weight = 1 / (rollouts.lengths if config.length == "answer" else longest).to(rollouts.scores.dtype)

    def ratios(logprobs: Tensor, part: Part) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """(log π, log π as drawn, advantage, weight) of each token, or of each answer (the mean over its tokens)."""
        if config.ratio == "answer":
            now = answer_logprobs(logprobs, part.answer, len(part.numbers), per_token=True)
            lengths = rollouts.lengths[part.numbers]
            return now, drawn_answers[part.numbers], advantages[part.numbers], weight[part.numbers] * lengths
        whose = rollouts.answer[part.places]
        return logprobs, rollouts.drawn[part.places], advantages[whose], weight[whose]

    def loss(logprobs: Tensor, part: Part) -> Tensor:
        now, drawn, gained, weights = ratios(logprobs, part)
        total = (weights * clipped_policy_loss(now, drawn, gained, clip)).sum()
        if config.penalty == "loss":
            apart = kl_loss(logprobs, batch.reference[part.places])
            total = total + beta * (weight[rollouts.answer[part.places]] * apart).sum()
        return total / part.minibatch_answers

    def outside(logprobs: Tensor, part: Part) -> Tensor:
        now, drawn, _, _ = ratios(logprobs, part)
        return outside_clip(now, drawn, clip)

    return Objective(loss, outside)
