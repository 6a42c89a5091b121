"""The loop of every policy-gradient trainer: rounds of drawing answers, learning from them, and saying what happened.

What the trainers differ in is a *lesson*: from a round's batch, what each token or answer gained, and what to minimise.
"""

import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from truing.core.protocols import Reward
from truing.core.records import Conversation, Progress
from truing.engine.chat import Chat
from truing.engine.trunk import Trunk
from truing.train.benign import BenignSet, ask, benign_ids
from truing.train.critic import CriticConfig
from truing.train.iteration import Batch, Objective, collect, improve, record
from truing.train.policy import Policy, PolicyConfig, close_policy, open_policy, start
from truing.train.records import PolicyStep, TrainStart
from truing.train.rollouts import prompt_sequences


@dataclass(frozen=True)
class Lesson:
    """What a round minimises; its advantages (of tokens or of answers), for the record; how much of the returns the
    critic explained (None without one, or where returns do not vary)."""

    objective: Objective
    advantages: Tensor
    explained_variance: float | None = None


@dataclass(frozen=True)
class Run:
    """What a run of any of the trainers is given: see `train_rloo`."""

    seed: int = 0
    name: str = "policy"
    start_from: Path | None = None
    checkpoint: Path | None = None
    gold: Reward | None = None
    benign: BenignSet | None = None


def train_rounds(
    what: str,
    trunk: Trunk,
    chat: Chat,
    prompts: Sequence[Conversation],
    reward: Reward,
    config: PolicyConfig,
    run: Run,
    lesson: Callable[[Policy, Batch], Lesson],
    critic: CriticConfig | None = None,
) -> Generator[Progress | TrainStart | PolicyStep, None, None]:
    """All rounds that the checkpoint does not hold yet. `what` names the algorithm, and whatever its result depends on
    beside the other arguments. Raises `InputError` and `RunError` as `train_rloo` says."""
    sequences = prompt_sequences(trunk, chat, prompts, config.rollout)
    asked = list(zip(prompts, sequences, strict=True))
    harmless = [] if run.benign is None else benign_ids(trunk, chat, run.benign)
    try:
        policy = open_policy(
            f"{what}/{reward.version}",
            trunk,
            sequences,
            config,
            run.seed,
            run.name,
            run.start_from,
            run.checkpoint,
            critic,
        )
        settled = start(policy, sequences, config)
        yield settled
        config = config.model_copy(update={"microbatch_tokens": settled.microbatch_tokens})
        policy.kept.restore()
        for iteration in range(policy.kept.done, config.iterations):
            begun = time.perf_counter()
            batch = yield from collect(policy, chat, asked, reward, config, run.seed, iteration, run.gold)
            refusals = None if run.benign is None else ask(trunk, chat, run.benign, harmless, run.seed, iteration)
            collected = time.perf_counter()
            learned = lesson(policy, batch)
            update = improve(policy, batch, learned.objective, config, run.seed, iteration)
            seconds = collected - begun, time.perf_counter() - collected
            step = record(
                policy, batch, update, learned.advantages, config, iteration, len(prompts), seconds,
                learned.explained_variance, refusals,
            )  # fmt: skip
            yield step
            policy.finish(iteration, step.kl_k1, step.answers, config.kl)
    finally:
        close_policy(trunk, run.name)
