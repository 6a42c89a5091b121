"""PPO, RLOO and GRPO, each by its own losses on drawn actions, arrive at the bandit's known optimum."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from tests.losses.bandit import REFERENCE, REWARD, optimum
from truing.losses.kl import k1, k3, kl_loss
from truing.losses.policy_gradient import grpo_advantages, rloo_advantages
from truing.losses.ppo import advantages, clipped_policy_loss, clipped_value_loss, whitened

BETA, STEPS, DRAWS, GROUP = 1.0, 200, 2048, 4
LOG_REFERENCE = REFERENCE.log()
Update = Callable[[Tensor, Tensor, Tensor], Tensor]


def learnt(loss_of: Update, more: list[Tensor] | None = None, epochs: int = 2) -> Tensor:
    """The policy after training three logits from the reference: `loss_of(log π, drawn actions, their log π)`."""
    generator = torch.Generator().manual_seed(7)
    theta = LOG_REFERENCE.clone().requires_grad_()
    adam = torch.optim.Adam([theta, *(more or [])], lr=0.05)
    schedule = torch.optim.lr_scheduler.LambdaLR(adam, lambda step: 1 - step / (STEPS * epochs))
    for _ in range(STEPS):
        with torch.no_grad():
            before = theta.log_softmax(0)
            actions = torch.multinomial(before.exp(), DRAWS, replacement=True, generator=generator)
        for _ in range(epochs):
            adam.zero_grad()
            loss_of(theta.log_softmax(0)[actions], actions, before[actions]).backward()  # type: ignore[no-untyped-call]
            adam.step()
            schedule.step()
    return theta.detach().softmax(0)


def ppo(whiten: bool) -> Tensor:
    value = torch.zeros((), dtype=torch.float64, requires_grad=True)

    def loss_of(logprobs: Tensor, actions: Tensor, drawn: Tensor) -> Tensor:
        reward = REWARD[actions] - BETA * k1(drawn, LOG_REFERENCE[actions])
        old = value.detach().expand(len(actions))
        gained = advantages(reward[:, None], old[:, None], 1.0, 0.95)[:, 0]
        used = whitened(gained) if whiten else gained
        policy_loss = clipped_policy_loss(logprobs, drawn, used, 0.2).mean()
        return policy_loss + clipped_value_loss(value.expand(len(actions)), old, gained + old, 0.2).mean()

    return learnt(loss_of, [value])


def grouped(advantages_of: Callable[[Tensor], Tensor], cost: Callable[[Tensor, Tensor], Tensor] = k1) -> Tensor:
    def loss_of(logprobs: Tensor, actions: Tensor, drawn: Tensor) -> Tensor:
        reward = REWARD[actions] - BETA * cost(drawn, LOG_REFERENCE[actions])
        return clipped_policy_loss(logprobs, drawn, advantages_of(reward.view(-1, GROUP)).flatten(), 0.2).mean()

    return learnt(loss_of)


def in_the_loss(divergence: Callable[[Tensor, Tensor], Tensor], divide_by_std: bool = False) -> Tensor:
    """One epoch: the divergence's estimate is meant for tokens that π itself drew."""

    def loss_of(logprobs: Tensor, actions: Tensor, drawn: Tensor) -> Tensor:
        rewards = REWARD[actions].view(-1, GROUP)
        gained = (grpo_advantages(rewards) if divide_by_std else rloo_advantages(rewards)).flatten()
        gradient = clipped_policy_loss(logprobs, drawn, gained, 0.2)
        return (gradient + BETA * divergence(logprobs, LOG_REFERENCE[actions])).mean()

    return learnt(loss_of, epochs=1)


def distance(policy: Tensor) -> float:
    """The largest relative error of π, J and KL."""
    best, value, _, kl = optimum(BETA)
    found_kl = float((policy * (policy.log() - LOG_REFERENCE)).sum())
    found = float((policy * REWARD).sum()) - BETA * found_kl
    errors = [*((policy - best).abs() / best).tolist(), abs(found / value - 1), abs(found_kl / kl - 1)]
    return max(errors)


@pytest.mark.parametrize(
    "train",
    [
        pytest.param(lambda: ppo(whiten=False), id="ppo"),
        pytest.param(lambda: ppo(whiten=True), id="ppo, advantages whitened"),
        pytest.param(lambda: grouped(rloo_advantages), id="rloo"),
        pytest.param(lambda: grouped(lambda reward: grpo_advantages(reward, divide_by_std=False)), id="dr. grpo"),
        # At the optimum r − β log(π/π_ref) is equal for all actions: a deviation divides zeros.
        pytest.param(lambda: grouped(grpo_advantages), id="grpo with the divergence in the reward"),
        pytest.param(lambda: in_the_loss(kl_loss), id="the divergence in the loss"),
    ],
)
def test_with_the_right_divergence_it_arrives_at_the_optimum(train: Callable[[], Tensor]) -> None:
    assert distance(train()) < 0.01


@pytest.mark.parametrize(
    "train",
    [
        pytest.param(lambda: in_the_loss(kl_loss, divide_by_std=True), id="grpo with the divergence in the loss"),
        pytest.param(lambda: grouped(rloo_advantages, k3), id="k3 in the reward"),
    ],
)
def test_what_is_known_to_arrive_elsewhere_does(train: Callable[[], Tensor]) -> None:
    assert distance(train()) > 0.05


def test_k3_in_the_loss_arrives_at_the_optimum_of_the_other_divergence() -> None:
    """max E[r] − β KL(π_ref ‖ π) has π_a = β π_ref(a) / (λ − r_a), with λ such that π sums to 1."""
    low, high = float(REWARD.max()) + 1e-9, 100.0
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if float((BETA * REFERENCE / (middle - REWARD)).sum()) > 1 else (low, middle)
    other = BETA * REFERENCE / (low - REWARD)
    found = in_the_loss(k3)
    assert float(((found - other).abs() / other).max()) < 0.01
    assert float(((found - optimum(BETA)[0]).abs() / other).max()) > 0.05
