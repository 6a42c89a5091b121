"""GAE against its definition, clipping against its cases, whitening, and the gradient at the policy that drew."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from truing.losses.ppo import (
    advantages,
    clipped_policy_loss,
    clipped_value_loss,
    explained_variance,
    outside_clip,
    whitened,
)


def batch(seed: int, lengths: list[int]) -> tuple[Tensor, Tensor]:
    """Rewards and values of answers of these lengths, with zeros after their ends."""
    generator = torch.Generator().manual_seed(seed)
    inside = torch.arange(max(lengths))[None, :] < torch.tensor(lengths)[:, None]
    shape = (len(lengths), max(lengths))
    rewards, values = (torch.randn(shape, generator=generator, dtype=torch.float64) * inside for _ in range(2))
    return rewards, values


def direct(rewards: list[float], values: list[float], discount: float, trace: float) -> list[float]:
    """Â_t = Σ_l (γλ)^l δ_{t+l}, term by term, of one answer alone."""
    n = len(rewards)
    after = [*values[1:], 0.0]
    surprises = [rewards[t] + discount * after[t] - values[t] for t in range(n)]
    return [sum((discount * trace) ** (later - t) * surprises[later] for later in range(t, n)) for t in range(n)]


@given(st.integers(0, 1000), st.lists(st.integers(1, 9), min_size=1, max_size=4), st.floats(0, 1), st.floats(0, 1))
@settings(max_examples=60, deadline=None)
def test_advantages_are_the_direct_sum_whatever_stands_beside_an_answer(
    seed: int, lengths: list[int], discount: float, trace: float
) -> None:
    rewards, values = batch(seed, lengths)
    found = advantages(rewards, values, discount, trace)
    for row, length in enumerate(lengths):
        expected = direct(rewards[row, :length].tolist(), values[row, :length].tolist(), discount, trace)
        assert found[row, :length].tolist() == pytest.approx(expected, abs=1e-9)
        assert not found[row, length:].any()


def test_without_discounts_an_advantage_is_what_is_still_to_come_minus_the_value() -> None:
    rewards, values = batch(0, [7, 3])
    to_come = rewards.flip(1).cumsum(1).flip(1)
    assert torch.allclose(advantages(rewards, values, 1.0, 1.0), to_come - values, atol=1e-12)
    one_step = rewards + torch.cat([values[:, 1:], torch.zeros(2, 1, dtype=torch.float64)], 1) - values
    assert torch.allclose(advantages(rewards, values, 1.0, 0.0), one_step, atol=1e-12)


def test_whitening_scales_to_one_and_shifts_only_when_asked() -> None:
    numbers = torch.tensor([1.0, 2.0, 3.0, 10.0], dtype=torch.float64)
    full, scaled = whitened(numbers), whitened(numbers, shift_mean=False)
    assert float(full.mean()) == pytest.approx(0, abs=1e-12)
    assert float(scaled.mean()) == pytest.approx(4.0, abs=1e-12)
    for result in (full, scaled):
        assert float(result.var(correction=0)) == pytest.approx(1, abs=1e-6)
    assert not whitened(torch.full((3,), 5.0)).any()  # equal numbers say nothing, and are no division by zero


def test_where_the_policy_is_the_one_that_drew_the_gradient_is_the_policy_gradient() -> None:
    theta = torch.tensor([0.2, -0.4, 1.0], dtype=torch.float64, requires_grad=True)
    actions, gains = torch.tensor([0, 2, 2, 1]), torch.tensor([1.0, -2.0, 0.5, 3.0], dtype=torch.float64)
    logprobs = theta.log_softmax(0)[actions]
    (clipped,) = torch.autograd.grad(clipped_policy_loss(logprobs, logprobs.detach(), gains, 0.2).sum(), theta)
    (plain,) = torch.autograd.grad(-(gains * theta.log_softmax(0)[actions]).sum(), theta)
    assert torch.allclose(clipped, plain, atol=1e-12)


@pytest.mark.parametrize(
    ("ratio", "advantage", "learns"),
    [(1.3, 1.0, False), (1.3, -1.0, True), (0.7, 1.0, True), (0.7, -1.0, False), (1.1, 1.0, True), (0.9, -1.0, True)],
)
def test_beyond_the_clip_nothing_pulls_further_and_everything_pulls_back(
    ratio: float, advantage: float, learns: bool
) -> None:
    logprob = torch.tensor([ratio]).log().requires_grad_()
    loss = clipped_policy_loss(logprob, torch.zeros(1), torch.tensor([advantage]), 0.2)
    (gradient,) = torch.autograd.grad(loss.sum(), logprob)
    assert bool(gradient != 0) == learns
    assert bool(outside_clip(logprob, torch.zeros(1), 0.2)) == (abs(ratio - 1) > 0.2)


def test_a_value_is_held_near_its_old_one() -> None:
    old, returns = torch.zeros(3), torch.tensor([1.0, 1.0, 1.0])
    values = torch.tensor([0.1, 0.5, -0.5], requires_grad=True)
    losses = clipped_value_loss(values, old, returns, 0.2)
    assert losses.tolist() == pytest.approx([0.9**2 / 2, 0.8**2 / 2, 1.5**2 / 2])
    (gradient,) = torch.autograd.grad(losses.sum(), values)
    assert gradient.tolist() == pytest.approx([-0.9, 0.0, -1.5])


def test_explained_variance_of_a_perfect_an_ignorant_and_a_wrong_critic() -> None:
    returns = torch.tensor([1.0, 2.0, 3.0])
    assert explained_variance(returns + 5, returns) == pytest.approx(1)
    assert explained_variance(torch.full((3,), 2.0), returns) == pytest.approx(0)
    assert (explained_variance(-returns, returns) or 0) < 0
    assert explained_variance(returns, torch.ones(3)) is None
