"""KL estimators against exact sums over three actions, their gradients, and where the coefficient comes to rest."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from tests.losses.bandit import KL, REFERENCE, REWARD, optimum
from truing.losses.kl import adapted, k1, k2, k3, kl_loss

LOG_REFERENCE = REFERENCE.log()
THETA = torch.tensor([0.3, -0.9, 0.8], dtype=torch.float64)


def divergence(log_p: Tensor, log_q: Tensor) -> Tensor:
    """KL(p ‖ q), exactly."""
    return (log_p.exp() * (log_p - log_q)).sum()


def gradient(of: Tensor, theta: Tensor) -> Tensor:
    return torch.autograd.grad(of, theta)[0]


def expected(estimate: object, theta: Tensor, as_reward: bool = False) -> Tensor:
    """The expectation under π of an estimator's gradient as a loss, or of the policy gradient that it makes as a cost:
    drawn tokens are constants, so that π's weights take no gradient in the first case."""
    logprobs = theta.log_softmax(0)
    weights = logprobs.exp().detach()
    values = estimate(logprobs, LOG_REFERENCE)  # type: ignore[operator]
    total = (weights * values.detach() * logprobs).sum() if as_reward else (weights * values).sum()
    return gradient(total, theta)


def test_k1_and_k3_are_unbiased_and_k2_is_not() -> None:
    logprobs = THETA.log_softmax(0)
    exact = divergence(logprobs, LOG_REFERENCE)
    means = [float((logprobs.exp() * estimate(logprobs, LOG_REFERENCE)).sum()) for estimate in (k1, k2, k3)]
    assert means[0] == pytest.approx(float(exact), abs=1e-12)
    assert means[2] == pytest.approx(float(exact), abs=1e-12)
    assert abs(means[1] - float(exact)) > 1e-2
    near = (LOG_REFERENCE + 0.01 * THETA).log_softmax(0)
    drawn = float((near.exp() * k2(near, LOG_REFERENCE)).sum())
    assert drawn == pytest.approx(float(divergence(near, LOG_REFERENCE)), rel=1e-2)


def test_by_monte_carlo_the_means_agree_within_their_standard_errors_and_k3_varies_least() -> None:
    generator = torch.Generator().manual_seed(0)
    logprobs = (LOG_REFERENCE + 0.5 * THETA).log_softmax(0)
    drawn = torch.multinomial(logprobs.exp(), 200_000, replacement=True, generator=generator)
    exact = float(divergence(logprobs, LOG_REFERENCE))
    spreads = []
    for estimate in (k1, k3):
        values = estimate(logprobs[drawn], LOG_REFERENCE[drawn])
        spreads.append(float(values.std()))
        assert abs(float(values.mean()) - exact) < 4 * spreads[-1] / math.sqrt(len(drawn))
    assert spreads[1] < spreads[0] / 2
    assert bool((k1(logprobs[drawn], LOG_REFERENCE[drawn]) < 0).any())


def test_as_a_loss_k1_does_nothing_k2_is_right_and_k3_follows_the_other_divergence() -> None:
    theta = THETA.clone().requires_grad_()
    forward = gradient(divergence(theta.log_softmax(0), LOG_REFERENCE), theta)
    backward = gradient(divergence(LOG_REFERENCE, theta.log_softmax(0)), theta)
    assert torch.allclose(expected(k1, theta), torch.zeros(3, dtype=torch.float64), atol=1e-12)
    assert torch.allclose(expected(k2, theta), forward, atol=1e-12)
    assert torch.allclose(expected(k3, theta), backward, atol=1e-12)
    assert not torch.allclose(forward, backward, atol=1e-2)
    assert torch.allclose(expected(kl_loss, theta), forward, atol=1e-12)
    value = kl_loss(theta.log_softmax(0), LOG_REFERENCE)
    assert torch.allclose(value.detach(), k3(theta.log_softmax(0), LOG_REFERENCE).detach(), atol=1e-12)


def test_in_the_reward_k1_is_right_and_k3_is_the_difference_of_two_divergences() -> None:
    theta = THETA.clone().requires_grad_()
    forward = gradient(divergence(theta.log_softmax(0), LOG_REFERENCE), theta)
    backward = gradient(divergence(LOG_REFERENCE, theta.log_softmax(0)), theta)
    assert torch.allclose(expected(k1, theta, as_reward=True), forward, atol=1e-12)
    assert torch.allclose(expected(k3, theta, as_reward=True), forward - backward, atol=1e-12)


@given(st.floats(-20, 0), st.floats(-20, 0))
def test_k2_and_k3_are_never_negative(logprob: float, reference: float) -> None:
    pair = torch.tensor([logprob], dtype=torch.float64), torch.tensor([reference], dtype=torch.float64)
    assert float(k2(*pair)) >= 0
    assert float(k3(*pair)) >= -1e-12


def test_the_coefficient_rests_where_the_divergence_is_the_target() -> None:
    """On the bandit KL*(β) is known and falls as β grows: from either side β comes to the β of the target."""
    for start in (0.2, 5.0):
        coefficient = start
        for _ in range(4000):
            coefficient = adapted(coefficient, optimum(coefficient)[KL], target=0.1, horizon=1000, answers=16)
        assert optimum(coefficient)[KL] == pytest.approx(0.1, rel=1e-3)
        assert adapted(coefficient, 0.1, target=0.1, horizon=1000, answers=16) == coefficient


@given(st.floats(0.01, 10), st.floats(-1, 100), st.integers(1, 512))
def test_one_change_of_the_coefficient_is_at_most_a_fifth_of_the_batch_s_share(
    coefficient: float, kl: float, answers: int
) -> None:
    following = adapted(coefficient, kl, target=6.0, horizon=10_000, answers=answers)
    assert abs(following / coefficient - 1) <= 0.2 * answers / 10_000 + 1e-12
    assert (following > coefficient) == (kl > 6.0) or following == coefficient


def test_the_bandit_s_closed_form_is_the_known_one() -> None:
    policy, value, mean, kl = optimum(1.0)
    assert torch.allclose(policy, torch.tensor([0.1790, 0.2919, 0.5291], dtype=torch.float64), atol=1e-4)
    assert (value, mean, kl) == pytest.approx((1.0272, 1.3501, 0.3228), abs=1e-4)
    assert float((policy * REWARD).sum()) - kl == pytest.approx(value, abs=1e-12)
