"""A policy-gradient run's kept curve is read as what it is, and told in a line."""

from truing.cli.progress import _note
from truing.loops.verbs.reporting import _step_of
from truing.train.records import PolicyStep, TrainStep

STEP = PolicyStep(
    step=2,
    steps=3,
    epoch=0.5,
    loss=-0.1,
    rate=1e-4,
    gradient_norm=1.0,
    tokens=100,
    tokens_per_second=None,
    mean_length=12.5,
    chosen_logprob=-20.0,
    answers=8,
    reward=0.75,
    reward_std=0.1,
    kl_k1=1.25,
    kl_k3=1.5,
    coefficient=0.05,
    entropy=2.0,
    eos_rate=0.5,
    distinct_2=0.9,
    step_kl=0.01,
    clip_fraction=0.1,
    updates=4,
    advantage_mean=0.0,
    advantage_std=1.0,
    rollout_seconds=None,
    training_seconds=None,
)


def test_a_line_of_a_kept_curve_is_read_as_what_it_is() -> None:
    assert _step_of(STEP.model_dump_json()) == STEP
    plain = TrainStep(**{key: value for key, value in STEP.model_dump().items() if key in TrainStep.model_fields})
    assert _step_of(plain.model_dump_json()) == plain


def test_progress_tells_reward_divergence_length_and_ends() -> None:
    assert _note(STEP) == "reward 0.750, KL 1.25 nats, 12.5 tokens, 50% ended"
