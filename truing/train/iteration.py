"""One iteration of a policy-gradient trainer, in the order in which it happens:

    collect: draw answers → score them → states below the adapters → the reference's log-probabilities
    (the algorithm: rewards and advantages)
    improve: a few epochs of minibatches, each cut into micro-batches whose gradients add up to it
    record:  what happened

A group (one prompt with its answers) is a token tree, so its prompt is computed once, and minibatches are made of whole
groups. Below the lowest adapter, policy, reference and critic compute the same: that part is computed once.
"""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from truing.core.protocols import Reward
from truing.core.records import Conversation, Progress
from truing.core.watch import distinct_n
from truing.engine.adapters import use_adapter
from truing.engine.chat import Chat
from truing.engine.score import TOKENS_AT_ONCE, ScoredRows, batches, scored_rows
from truing.engine.tree import TokenSequence
from truing.losses.kl import k1, k3
from truing.train.benign import Refusals
from truing.train.optimise import rate_at, take_step
from truing.train.policy import Policy, PolicyConfig
from truing.train.records import PolicyStep
from truing.train.rollouts import Rollouts, draw, prompts_of, scores_of
from truing.train.rows import lower_pass


@dataclass(frozen=True)
class Batch:
    """An iteration's rollouts, the states [nodes, width] below the adapters, the reference's log-probabilities [T], and
    the mean gold reward, where there is one."""

    rollouts: Rollouts
    below: Tensor
    reference: Tensor
    gold: float | None = None


@dataclass(frozen=True)
class Part:
    """One micro-batch of t tokens: their `places` [t] among the iteration's T; `answer` [t] whose each is, counted from
    0 within the part; the answers' `numbers` in the iteration; and how large the whole minibatch is, by which every sum
    is divided, so that micro-batches add up to its mean whatever their sizes."""

    places: Tensor
    answer: Tensor
    numbers: list[int]
    minibatch_answers: int
    minibatch_tokens: int


@dataclass(frozen=True)
class Objective:
    """What a minibatch minimises: losses of a part's log-probabilities [t] and, with a critic, of its values [t], each
    a scalar. `outside` tells of each of the part's tokens or answers whether it is beyond the clip."""

    policy: Callable[[Tensor, Part], Tensor]
    outside: Callable[[Tensor, Part], Tensor]
    value: Callable[[Tensor, Part], Tensor] | None = None


@dataclass
class Update:
    """What an iteration's optimisation did (see `PolicyStep`). The lists have an entry for each micro-batch."""

    loss: float = 0.0
    value_loss: float | None = None
    gradient_norm: float = 0.0
    step_kl: float = 0.0
    updates: int = 0
    tokens: int = 0
    outside: list[Tensor] = field(default_factory=list)
    entropy: list[Tensor] = field(default_factory=list)


def collect(
    policy: Policy,
    chat: Chat,
    prompts: Sequence[tuple[Conversation, TokenSequence]],
    reward: Reward,
    config: PolicyConfig,
    seed: int,
    iteration: int,
    gold: Reward | None = None,
) -> Generator[Progress, None, Batch]:
    """Draw and score an iteration's answers, and let the reference read them; `gold` scores them for the record only.
    Raises `RunError` as `draw` does."""
    chosen = [prompts[number] for number in prompts_of(len(prompts), iteration, config.rollout.prompts, seed)]
    rollouts = yield from draw(policy.trunk, chat, chosen, reward, config.rollout, seed, iteration)
    below = yield from lower_pass(policy.trunk, rollouts.forest, policy.first, None)
    reference = read(policy, policy.reference, rollouts, below, lambda rows: rows.logprobs().value)
    if gold is None:
        return Batch(rollouts, below, reference)
    asked = [prompt for prompt, _ in chosen for _ in range(rollouts.samples)]
    scores = scores_of(gold, list(zip(asked, rollouts.answers, strict=True)))
    return Batch(rollouts, below, reference, sum(scores) / len(scores))


@torch.no_grad()
def read(
    policy: Policy, adapter: str | None, rollouts: Rollouts, below: Tensor, of: Callable[[ScoredRows], Tensor]
) -> Tensor:
    """Numbers [T] of all drawn tokens by one pass with an adapter (None: the bare trunk), without gradients."""
    groups = range(len(rollouts.lengths) // rollouts.samples)
    pieces = []
    with use_adapter(policy.trunk, adapter):
        for part in batches(rollouts.forest, groups, TOKENS_AT_ONCE, group=rollouts.samples):
            piece = rollouts.forest.select(rollouts.of_group(part))
            rows = scored_rows(policy.trunk, piece, below[torch.from_numpy(piece.source)], policy.first)
            pieces.append(of(rows))
    return torch.cat(pieces)


def values(policy: Policy, batch: Batch) -> Tensor:
    """The critic's V [T] before each drawn token."""
    critic = policy.critic
    assert critic is not None
    adapter = critic.adapter or policy.name
    return read(policy, adapter, batch.rollouts, batch.below, lambda rows: rows.of_tokens(critic.head(rows.hidden)))


def improve(
    policy: Policy, batch: Batch, objective: Objective, config: PolicyConfig, seed: int, iteration: int
) -> Update:
    """Epochs of minibatches over an iteration's groups, until done or the policy is too far from the one that drew."""
    done = Update()
    groups = len(batch.rollouts.lengths) // batch.rollouts.samples
    for epoch in range(config.epochs):
        order = np.random.default_rng([seed, iteration, epoch]).permutation(groups).tolist()
        for begin in range(0, groups, config.minibatch_prompts):
            minibatch = order[begin : begin + config.minibatch_prompts]
            gradient(policy, batch, minibatch, objective, config.microbatch_tokens, done, measure=epoch == 0)
            if config.stop_kl is not None and done.step_kl > config.stop_kl:
                policy.adamw.zero_grad(set_to_none=True)
                return done
            loss = done.loss + (done.value_loss or 0.0)
            done.gradient_norm = take_step(policy.adamw, loss, iteration, config.iterations, config.optimiser)
            done.updates += 1
    return done


def gradient(
    policy: Policy,
    batch: Batch,
    minibatch: Sequence[int],
    objective: Objective,
    tokens_at_once: int,
    done: Update,
    measure: bool = True,
) -> None:
    """Add up the gradient of a minibatch (numbers of groups), and note in `done` what was seen; `measure` the entropy,
    too."""
    rollouts, trunk, critic = batch.rollouts, policy.trunk, policy.critic
    lengths = rollouts.lengths[rollouts.of_group(minibatch)]
    whole = len(lengths), int(lengths.sum())
    done.loss, done.step_kl, done.value_loss = 0.0, 0.0, None if objective.value is None else 0.0
    for groups in batches(rollouts.forest, minibatch, tokens_at_once, group=rollouts.samples):
        numbers = rollouts.of_group(groups)
        piece = rollouts.forest.select(numbers)
        below = batch.below[torch.from_numpy(piece.source)]
        rows = scored_rows(trunk, piece, below, policy.first)
        part = Part(rollouts.places(numbers), rows.sequence, numbers, *whole)
        logprobs = rows.logprobs().value
        loss = objective.policy(logprobs, part)
        done.loss += loss.item()
        done.tokens += len(piece)
        if objective.value is not None and critic is not None and critic.adapter is None:
            value_loss = objective.value(rows.of_tokens(critic.head(rows.hidden)), part)
            done.value_loss = (done.value_loss or 0.0) + value_loss.item()
            loss = loss + value_loss
        loss.backward()  # type: ignore[no-untyped-call]
        if objective.value is not None and critic is not None and critic.adapter is not None:
            with use_adapter(trunk, critic.adapter):
                its_rows = scored_rows(trunk, piece, below, policy.first)
                value_loss = objective.value(its_rows.of_tokens(critic.head(its_rows.hidden)), part)
                value_loss.backward()  # type: ignore[no-untyped-call]
            done.value_loss = (done.value_loss or 0.0) + value_loss.item()
            done.tokens += len(piece)
        with torch.no_grad():
            done.step_kl += (k3(rollouts.drawn[part.places], logprobs).sum() / part.minibatch_tokens).item()
            done.outside.append(objective.outside(logprobs, part))
            if measure:
                done.entropy.append(rows.of_tokens(trunk.output.entropies(rows.hidden)))


def record(
    policy: Policy,
    batch: Batch,
    update: Update,
    advantages: Tensor,
    config: PolicyConfig,
    iteration: int,
    prompts: int,
    seconds: tuple[float, float],
    explained_variance: float | None = None,
    refusals: Refusals | None = None,
) -> PolicyStep:
    """What an iteration did. `seconds`: of collecting, and of the rest."""
    rollouts = batch.rollouts
    answers = len(rollouts.lengths)
    distinct = distinct_n(rollouts.answers)
    return PolicyStep(
        step=iteration + 1,
        steps=config.iterations,
        epoch=(iteration + 1) * config.rollout.prompts / prompts,
        loss=update.loss,
        rate=rate_at(iteration, config.iterations, config.optimiser),
        gradient_norm=update.gradient_norm,
        tokens=update.tokens,
        tokens_per_second=update.tokens / seconds[1],
        mean_length=rollouts.lengths.double().mean().item(),
        chosen_logprob=rollouts.drawn.sum().item() / answers,
        answers=answers,
        reward=rollouts.raw.mean().item(),
        reward_std=rollouts.raw.std(correction=0).item(),
        gold=batch.gold,
        kl_k1=k1(rollouts.drawn, batch.reference).sum().item() / answers,
        kl_k3=k3(rollouts.drawn, batch.reference).sum().item() / answers,
        coefficient=policy.beta,
        entropy=torch.cat(update.entropy).mean().item(),
        eos_rate=sum(one.finished is True for one in rollouts.answers) / answers,
        distinct_2=1.0 if distinct is None else distinct,  # where no answer has two tokens, nothing repeats
        step_kl=update.step_kl,
        clip_fraction=torch.cat(update.outside).double().mean().item(),
        updates=update.updates,
        advantage_mean=advantages.mean().item(),
        advantage_std=advantages.std(correction=0).item(),
        explained_variance=explained_variance,
        value_loss=update.value_loss,
        benign_answers=0 if refusals is None else refusals.answers,
        benign_refused=None if refusals is None else refusals.refused,
        benign_unknown=0 if refusals is None else refusals.unknown,
        rollout_seconds=seconds[0],
        training_seconds=seconds[1],
    )
