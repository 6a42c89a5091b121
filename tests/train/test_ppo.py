"""PPO on the tiny transformer: its first gradient, where a reward goes, the critic, and a bandit's known optimum."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.train.rlhf import CONFIGS, PROMPTS, REWARD, Chat, asked, each, steps_of, train, trunk, weights
from tests.train.test_rollouts import drawn
from truing.core.records import Answer, Conversation
from truing.engine.adapters import AdapterConfig, adapter_parameters
from truing.engine.trunk import Trunk
from truing.losses.kl import k1
from truing.train import ppo
from truing.train.critic import CriticConfig
from truing.train.iteration import Batch, Update, gradient, read
from truing.train.optimise import OptimiserConfig
from truing.train.policy import KLConfig, Policy, open_policy
from truing.train.ppo import PPOConfig, gains_of, token_rewards, train_ppo
from truing.train.rloo import RLOOConfig, advantages_of, objective, train_rloo
from truing.train.rollouts import RolloutConfig, Rollouts

PLAIN = PPOConfig.model_validate({**dict(CONFIGS["ppo"]), "whiten_advantages": False})


def opened(on: Trunk, config: Any = PLAIN, own_adapter: bool = True) -> Policy:
    """A policy whose adapter already changes the model, and a critic that already expects something."""
    policy = open_policy("test", on, [], config, 0, "policy", None, None, CriticConfig(own_adapter, None, 1.0))
    assert policy.critic is not None
    generator = torch.Generator().manual_seed(9)
    with torch.no_grad():
        for parameter in (*adapter_parameters(on, "policy").values(), policy.critic.head.weight):
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    return policy


def batch_of(policy: Policy) -> Batch:
    """Answers that the policy draws, with the bare trunk as the reference."""
    rollouts = drawn(policy.trunk)
    below = torch.empty(len(rollouts.forest), 0)
    whole = Policy(**{**policy.__dict__, "first": 0})
    return Batch(rollouts, below, read(whole, None, rollouts, below, lambda rows: rows.logprobs().value))


@contextmanager
def own_attention(on: Trunk) -> Iterator[Any]:
    """The model as transformers runs it."""
    before, on.model.config._attn_implementation = on.model.config._attn_implementation, "sdpa"
    yield on.model
    on.model.config._attn_implementation = before


def plain_gradient(policy: Policy, rollouts: Rollouts, weight: Tensor) -> list[Tensor]:
    """∇ −Σ weight_t log π(y_t) by the model's own forward pass, answer by answer. weight [T]."""
    parameters = list(adapter_parameters(policy.trunk, "policy").values())
    total = torch.zeros((), dtype=torch.float64)
    at = 0
    for path, start in zip(rollouts.forest.paths, rollouts.forest.scored_from, strict=True):
        ids = torch.from_numpy(rollouts.forest.ids[path])[None]
        with own_attention(policy.trunk) as model:
            logprobs = model(input_ids=ids, use_cache=False).logits[0].log_softmax(-1)
        tokens = ids[0, start:]
        picked = logprobs[start - 1 : len(path) - 1].gather(1, tokens[:, None])[:, 0]
        total = total - (weight[at : at + len(tokens)] * picked).sum()
        at += len(tokens)
    return list(torch.autograd.grad(total, parameters))


def first_gradient(policy: Policy, batch: Batch, objective: Any) -> list[Tensor]:
    """What the trainer's own code accumulates for a minibatch of all groups."""
    whole = Policy(**{**policy.__dict__, "first": 0})
    gradient(whole, batch, [0, 1, 2], objective, 30, Update())
    return [parameter.grad for parameter in adapter_parameters(policy.trunk, "policy").values()]  # type: ignore[misc]


def alike(one: list[Tensor], two: list[Tensor]) -> bool:
    return all(torch.allclose(a, b, atol=1e-9) for a, b in zip(one, two, strict=True))


def test_ppo_s_first_gradient_is_the_plain_policy_gradient() -> None:
    policy = opened(trunk())
    batch = batch_of(policy)
    expected = torch.linspace(-1, 1, len(batch.rollouts.drawn), dtype=torch.float64)
    gains = gains_of(batch, expected, 0.3, PLAIN)
    ours = first_gradient(policy, batch, ppo.objective(batch, gains, PLAIN))
    assert alike(ours, plain_gradient(policy, batch.rollouts, gains.advantages / len(gains.advantages)))


def test_rloo_s_first_gradient_is_the_plain_policy_gradient() -> None:
    policy = opened(trunk())
    batch = batch_of(policy)
    advantages = advantages_of(batch, 0.3)
    ours = first_gradient(policy, batch, objective(batch, advantages, 0.2))
    assert alike(ours, plain_gradient(policy, batch.rollouts, advantages[batch.rollouts.answer] / len(advantages)))


def shifted(rollouts: Rollouts, penalty: Tensor) -> Tensor:
    """As `token_rewards`, but a token too early: the mistake that must be seen."""
    return (-penalty).index_add(0, (rollouts.last - 1).clamp_min(0), rollouts.scores)


@pytest.mark.parametrize(("place", "right"), [(token_rewards, True), (shifted, False)])
def test_a_reward_on_the_last_token_reaches_that_token_alone_without_foresight(
    place: Callable[[Rollouts, Tensor], Tensor], right: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """γ = 0, no critic, no penalty: the gradient is that of each last token's log-probability times its score; of a
    finished answer the last token is the end of turn itself. Shifted by one, it is not."""
    monkeypatch.setattr(ppo, "token_rewards", place)
    policy = opened(trunk())
    batch = batch_of(policy)
    rollouts = batch.rollouts
    blind = PLAIN.model_copy(update={"discount": 0.0})
    gains = gains_of(batch, torch.zeros_like(rollouts.drawn), 0.0, blind)
    ours = first_gradient(policy, batch, ppo.objective(batch, gains, blind))
    weight = torch.zeros_like(rollouts.drawn)
    at = 0
    for answer, score in zip(rollouts.answers, rollouts.scores.tolist(), strict=True):
        at += len(answer.token_ids) + answer.finished
        weight[at - 1] = score
    assert alike(ours, plain_gradient(policy, rollouts, weight / len(weight))) == right


def test_with_full_foresight_every_token_of_the_answer_earns_its_score_and_no_other_answer_does() -> None:
    rollouts = drawn(trunk())
    scores = torch.zeros_like(rollouts.scores)
    scores[4] = 2.0
    only_one = Rollouts(**{**rollouts.__dict__, "scores": scores})
    batch = Batch(only_one, torch.empty(0), rollouts.drawn)
    seeing = PLAIN.model_copy(update={"discount": 1.0, "trace": 1.0})
    gains = gains_of(batch, torch.zeros_like(rollouts.drawn), 0.0, seeing)
    assert gains.advantages.tolist() == [2.0 * (whose == 4) for whose in rollouts.answer.tolist()]
    assert torch.equal(gains.returns, gains.advantages)


def test_each_token_pays_for_leaving_the_reference_where_it_leaves() -> None:
    policy = opened(trunk())
    batch = batch_of(policy)
    blind = PLAIN.model_copy(update={"discount": 0.0})
    without = gains_of(batch, torch.zeros_like(batch.reference), 0.0, blind)
    with_it = gains_of(batch, torch.zeros_like(batch.reference), 0.5, blind)
    paid = without.advantages - with_it.advantages
    assert torch.allclose(paid, 0.5 * k1(batch.rollouts.drawn, batch.reference), atol=1e-12)
    assert float(paid.abs().max()) > 0.01


def test_the_critic_reads_the_state_before_the_token_is_known() -> None:
    """Two answers to one prompt begin in one state: the critic expects the same of both, whatever they say next."""
    policy = opened(trunk(), own_adapter=False)
    batch = batch_of(policy)
    head = policy.critic.head  # type: ignore[union-attr]
    whole = Policy(**{**policy.__dict__, "first": 0})
    found = read(whole, "policy", batch.rollouts, batch.below, lambda rows: rows.of_tokens(head(rows.hidden)))
    starts = batch.rollouts.last - batch.rollouts.lengths + 1
    first = found[starts].view(3, 4)
    assert torch.allclose(first, first[:, :1].expand(3, 4), atol=1e-12)
    assert float((first[0] - first[1]).abs().max()) > 1e-3
    ids = torch.from_numpy(batch.rollouts.forest.ids[batch.rollouts.forest.paths[0]])[None]
    with own_attention(policy.trunk) as model:
        states = model.base_model(input_ids=ids, use_cache=False).last_hidden_state[0]
    prompt = len(PROMPTS[0][0].content.split())
    assert torch.allclose(found[: int(batch.rollouts.lengths[0])], head(states[prompt - 1 : -1]), atol=1e-9)


@pytest.mark.parametrize("critic", ["adapter", "shared"])
def test_the_critic_learns_to_expect_what_comes(critic: str) -> None:
    constant = each(lambda _prompt, _answer: 3.0)
    changes = {
        "critic": critic,
        "iterations": 12,
        "rollout": {**dict(CONFIGS["ppo"].rollout), "missing_end_penalty": 0.0},
        "kl": {"coefficient": 0.0},
        "value_coefficient": 1.0,
        "value_clip": 10.0,
        "optimiser": OptimiserConfig(learning_rate=5e-3, clip_norm=100.0),
    }
    records = steps_of(train("ppo", trunk(), constant, changes))
    losses = [record.value_loss or 0.0 for record in records]
    assert losses[-1] < losses[0] / 5


def test_a_critic_that_begins_with_saved_weights_expects_what_those_say(tmp_path: Any) -> None:
    from safetensors.torch import save_file

    from tests.train.rlhf import random_adapter

    start = random_adapter(trunk(), tmp_path)
    save_file({"weight": torch.zeros(32, dtype=torch.float64), "bias": torch.tensor(2.0)}, start / "head.safetensors")
    two = each(lambda _prompt, _answer: 2.0)
    changes = {"iterations": 1, "kl": {"coefficient": 0.0}, "epochs": 1, "minibatch_prompts": 3}
    changes["rollout"] = {**dict(CONFIGS["ppo"].rollout), "missing_end_penalty": 0.0}
    (record,) = steps_of(train("ppo", trunk(), two, changes, critic_from=start))
    assert record.value_loss == pytest.approx(0, abs=1e-12)
    assert record.advantage_mean == pytest.approx(0, abs=1e-12)


def test_the_entropy_is_that_of_the_policy_that_drew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("truing.engine.logprob.TILE_BYTES", 3 * 4 * 8)  # tiles of three rows
    policy = opened(trunk())
    batch = batch_of(policy)
    gains = gains_of(batch, torch.zeros_like(batch.reference), 0.0, PLAIN)
    seen = Update()
    whole = Policy(**{**policy.__dict__, "first": 0})
    gradient(whole, batch, [0, 1, 2], ppo.objective(batch, gains, PLAIN), 4096, seen)
    expected = []
    for path, start in zip(batch.rollouts.forest.paths, batch.rollouts.forest.scored_from, strict=True):
        ids = torch.from_numpy(batch.rollouts.forest.ids[path])[None]
        with own_attention(policy.trunk) as model:
            log_p = model(input_ids=ids, use_cache=False).logits[0, start - 1 : -1].log_softmax(-1)
        expected.append(-(log_p.exp() * log_p).sum(-1))
    assert torch.allclose(torch.cat(seen.entropy), torch.cat(expected), atol=1e-9)


BETA = 0.5


def token_value(_prompt: Conversation, answer: Answer) -> float:
    """A bandit of eight arms: a number for each token that can be said first, the end being worth 0."""
    return [1.0, -2.0, 0.4, 3.0, 0.0, 2.0, -1.0][answer.token_ids[0]] if answer.token_ids else 0.0


@pytest.mark.parametrize("trainer", [train_ppo, train_rloo], ids=["ppo", "rloo"])
def test_on_answers_of_one_token_the_transformer_arrives_at_the_bandit_s_optimum(trainer: Any) -> None:
    """π* ∝ π_ref exp(r/β), J* = β ln Z over the vocabulary, by the trainer's own rollouts, penalties and updates."""
    on = trunk()
    prompt = Chat().prompt_ids(asked("1 2 4"))
    with torch.no_grad(), own_attention(on) as model:
        reference = model(input_ids=torch.tensor([prompt])).logits[0, -1].log_softmax(-1)
    rewards = torch.tensor([*(token_value((), _answer(token)) for token in range(7)), 0.0], dtype=torch.float64)
    best = BETA * float((reference + rewards / BETA).logsumexp(0))
    settings: dict[str, Any] = {
        "iterations": 40,
        "epochs": 2,
        "minibatch_prompts": 1,
        "stop_kl": None,
        "rollout": RolloutConfig(prompts=1, samples=64, max_new_tokens=1, missing_end_penalty=0.0, may_all_be_cut=True),
        "kl": KLConfig(coefficient=BETA),
        "adapter": AdapterConfig(rank=4, alpha=8, upper_layers=1),
        "optimiser": OptimiserConfig(learning_rate=1e-2, final_rate=0.02),
    }
    config = PPOConfig(**settings) if trainer is train_ppo else RLOOConfig(**settings)
    for _ in trainer(on, Chat(), [asked("1 2 4")], each(token_value), config):
        pass
    with torch.no_grad(), own_attention(on) as model:
        learned = model(input_ids=torch.tensor([prompt])).logits[0, -1].log_softmax(-1)
    reached = float((learned.exp() * (rewards - BETA * (learned - reference))).sum())
    begun = float((reference.exp() * rewards).sum())
    assert best - begun > 0.1
    assert best - reached < 0.05 * (best - begun)


def _answer(token: int) -> Answer:
    return Answer(text="", token_ids=(token,), logprobs=(0.0,), finished=False, least_gap=0.0)


def test_weights_of_the_critic_and_of_the_policy_are_clipped_apart() -> None:
    """A critic that is far off takes large steps of its own; they do not shrink the policy's."""
    results = []
    for coefficient in (0.1, 1000.0):
        on = trunk()
        changes = {"iterations": 1, "epochs": 1, "minibatch_prompts": 3, "value_coefficient": coefficient}
        list(train("ppo", on, REWARD, changes))
        results.append(weights(on))
    assert all(torch.allclose(one, two, atol=1e-9) for one, two in zip(*results, strict=True))
