"""RLOO: REINFORCE where each answer's baseline is the mean reward of the other answers to its prompt.

    R_i = score_i − β Σ_t k1_t,     A_i = k/(k−1) (R_i − mean R),     L = −mean_i min(ρ_i A_i, clip(ρ_i) A_i)

ρ_i is the ratio of the whole answer's probability under the policy to that under the policy that drew it: an answer is
one action (Ahmadian et al. 2024, arXiv:2402.14740). In the first update ρ = 1 and this is the policy gradient of
E[score] − β KL(π ‖ π_ref), without bias and without a critic. The clip matters in later updates of an iteration only.
"""

import time
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
from truing.train.iteration import Batch, Objective, Part, collect, improve, record
from truing.train.policy import PolicyConfig, close_policy, open_policy, start
from truing.train.records import PolicyStep, TrainStart
from truing.train.rollouts import prompt_sequences

VERSION = 1


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
) -> Generator[Progress | TrainStart | PolicyStep, None, None]:
    """Train a new adapter `name` on the trunk by rewards of its own answers; it holds the result when the iterator
    ends.

    `start_from` is an adapter folder of the same shape: the starting point and the reference (None: the bare trunk).
    With `checkpoint`, a file, state is saved after every iteration, and a run that finds its own goes on from it to the
    same weights. `gold` is a reward that scores the answers for the record only. Raises `InputError` before the first
    pass if something does not fit, `RunError` where an iteration fails: the last checkpoint is then kept.
    """
    sequences = prompt_sequences(trunk, chat, prompts, config.rollout)
    asked = list(zip(prompts, sequences, strict=True))
    try:
        policy = open_policy(f"rloo/{reward.version}", trunk, sequences, config, seed, name, start_from, checkpoint)
        settled = start(policy, sequences, config)
        yield settled
        config = config.model_copy(update={"microbatch_tokens": settled.microbatch_tokens})
        policy.kept.restore()
        for iteration in range(policy.kept.done, config.iterations):
            begun = time.perf_counter()
            batch = yield from collect(policy, chat, asked, reward, config, seed, iteration, gold)
            collected = time.perf_counter()
            advantages = advantages_of(batch, policy.beta)
            update = improve(policy, batch, objective(batch, advantages, config.clip), config, seed, iteration)
            seconds = collected - begun, time.perf_counter() - collected
            step = record(policy, batch, update, advantages, config, iteration, len(prompts), seconds)
            yield step
            policy.finish(iteration, step.kl_k1, step.answers, config.kl)
    finally:
        close_policy(trunk, name)


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
