"""What training loops yield beside `core.records.Progress`: one record before the first step, and one a step."""

from truing.core.records import Record
from truing.core.watch import Reading


class TrainStart(Record):
    """What a run settled before its first pass.

    `done` steps were taken before (0: it begins). `computed` says by which arithmetic: where there are several, the
    last bits of the result may differ from those of a run in one place. `microbatch_tokens` is what is used,
    `asked_tokens` what the configuration allows: less is used where memory asks for it. `needed_bytes` is the predicted
    peak of what the process does not hold yet (None: not predicted, as for models on the padded path or on a GPU),
    `available_bytes` what it may take. `lower_on_disk`: the lower states
    are kept in a file, for want of memory.
    """

    done: int
    computed: tuple[str, ...]
    microbatch_tokens: int
    asked_tokens: int
    needed_bytes: int | None
    available_bytes: int
    lower_on_disk: bool = False


class TrainStep(Record):
    """One optimiser step. Log-probabilities are in nats and summed over an answer, unless said otherwise.

    margin, accuracy, log-probabilities and kl are None where the algorithm has no pairs, no reference, or no use for
    them; the speed is None in a kept curve. The margin is that of log-ratios, or without a reference that of
    log-probabilities. For judged single answers, chosen are the good ones and rejected the bad ones (None where a batch
    has none), the margin is the difference of their mean log-ratios, and `middle` what log-ratios are compared with:
    KTO's z0, BCO's δ, in nats.
    """

    step: int
    steps: int
    epoch: float
    loss: float
    rate: float
    gradient_norm: float
    tokens: int
    tokens_per_second: float | None
    mean_length: float
    chosen_logprob: float | None = None
    rejected_logprob: float | None = None
    margin: float | None = None
    accuracy: float | None = None
    kl: float | None = None
    middle: float | None = None


class RewardStep(TrainStep):
    """A step of a reward model: `margin` and `accuracy` are of its rewards (over decided pairs; None where a batch has
    ties alone), and `member` says which of an ensemble takes it, from 0."""

    member: int
    chosen_reward: float | None
    rejected_reward: float | None


class PolicyStep(TrainStep):
    """One iteration of a policy-gradient trainer: answers drawn, scored, and learned from. `step` is its number, `loss`
    the last minibatch's, `rate` the policy's, `tokens` those that passed through training, `chosen_logprob` that of the
    drawn answers as drawn.

    reward: the mean score as the reward gave it; gold: that of a reward which training does not see. kl_k1, kl_k3: the
    divergence of the policy that drew from the reference, in nats an answer, by both unbiased estimators. entropy: nats
    a token, of the policy that drew. eos_rate: share of answers that ended by themselves. distinct_2: share of
    different pairs of neighbouring tokens in all answers. step_kl: nats a token between the policy that drew and the
    one before the last update; clip_fraction: share of the iteration's tokens (or answers) beyond the clip; updates:
    optimiser steps, fewer than planned where step_kl reached its limit. Advantages are told before whitening.
    coefficient: β of this iteration. explained_variance: of the critic, None without one or where returns do not vary.
    benign_answers: to how many harmless prompts the policy that drew was asked for an answer; benign_refused: the share
    that refuses, of those that could be judged (None: none); benign_unknown: how many could not.
    The seconds are None in a kept curve.
    """

    answers: int
    reward: float
    reward_std: float
    gold: float | None = None
    kl_k1: float
    kl_k3: float
    coefficient: float
    entropy: float
    eos_rate: float
    distinct_2: float
    step_kl: float
    clip_fraction: float
    updates: int
    advantage_mean: float
    advantage_std: float
    explained_variance: float | None = None
    value_loss: float | None = None
    benign_answers: int = 0
    benign_refused: float | None = None
    benign_unknown: int = 0
    rollout_seconds: float | None
    training_seconds: float | None


class Guarded(Record):
    """How a guarded run ended: the round whose policy was kept, by its gold reward (None: the last weights, since no
    gold reward was given), and the signals in alarm."""

    kept_step: int | None = None
    kept_gold: float | None = None
    alarms: tuple[Reading, ...] = ()
