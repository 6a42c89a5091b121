"""Leave-one-out and group-relative advantages: their identities, and which of them is unbiased."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from truing.losses.policy_gradient import answer_logprobs, grpo_advantages, rloo_advantages

THETA = torch.tensor([0.3, -0.9, 0.8], dtype=torch.float64)
REWARD = torch.tensor([0.0, 1.0, 5.0], dtype=torch.float64)
GROUP = 3


@given(st.integers(0, 1000), st.integers(1, 5), st.integers(2, 6))
@settings(max_examples=40, deadline=None)
def test_each_answer_is_measured_against_the_others(seed: int, groups: int, k: int) -> None:
    rewards = torch.randn(groups, k, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    found = rloo_advantages(rewards)
    for group in range(groups):
        for one in range(k):
            others = [float(rewards[group, other]) for other in range(k) if other != one]
            assert float(found[group, one]) == pytest.approx(float(rewards[group, one]) - sum(others) / (k - 1))
    assert torch.allclose(found.sum(1), torch.zeros(groups, dtype=torch.float64), atol=1e-9)
    assert torch.allclose(grpo_advantages(rewards, divide_by_std=False), found * (k - 1) / k, atol=1e-12)
    assert torch.allclose(rloo_advantages(rewards + 100), found, atol=1e-9)


def test_group_relative_advantages_know_no_scale_and_equal_rewards_give_zeros() -> None:
    rewards = torch.tensor([[1.0, 2.0, 4.0], [10.0, 20.0, 40.0], [7.0, 7.0, 7.0]], dtype=torch.float64)
    found = grpo_advantages(rewards)
    assert torch.allclose(found[0], found[1], atol=1e-5)
    assert not found[2].any()


def scores() -> Tensor:
    """∇θ log π(a) of each action [3, 3]."""
    return torch.eye(3, dtype=torch.float64) - THETA.softmax(0)


def estimates(advantages: Tensor, actions: Tensor) -> Tensor:
    """Each group's estimate of the policy gradient [groups, 3]."""
    return (advantages[:, :, None] * scores()[actions]).mean(1)


def test_by_monte_carlo_leave_one_out_is_unbiased_and_division_by_the_deviation_is_not() -> None:
    policy = THETA.softmax(0)
    exact = policy * (REWARD - (policy * REWARD).sum())
    generator = torch.Generator().manual_seed(1)
    actions = torch.multinomial(policy, 60_000 * GROUP, replacement=True, generator=generator).view(-1, GROUP)
    rewards = REWARD[actions]

    def errors(advantages: Tensor) -> Tensor:
        """How many standard errors each number of the mean estimate is from the truth."""
        found = estimates(advantages, actions)
        return (found.mean(0) - exact).abs() / (found.std(0) / math.sqrt(len(found)))

    assert float(errors(rloo_advantages(rewards)).max()) < 4
    assert float(errors(grpo_advantages(rewards, divide_by_std=False)).max()) > 10  # too short by (k−1)/k
    shares = estimates(grpo_advantages(rewards), actions).mean(0) / exact
    assert float(shares.max() / shares.min()) > 1.05  # another direction, too


def test_leave_one_out_varies_less_than_no_baseline() -> None:
    generator = torch.Generator().manual_seed(2)
    actions = torch.multinomial(THETA.softmax(0), 6000, replacement=True, generator=generator).view(-1, GROUP)
    rewards = REWARD[actions] + 10
    assert estimates(rloo_advantages(rewards), actions).var(0).sum() < estimates(rewards, actions).var(0).sum() / 10


def test_an_answer_s_log_probability_is_its_tokens_sum_or_mean() -> None:
    logprobs, answer = torch.tensor([-1.0, -2.0, -4.0]), torch.tensor([0, 1, 1])
    assert answer_logprobs(logprobs, answer, 2).tolist() == [-1.0, -6.0]
    assert answer_logprobs(logprobs, answer, 2, per_token=True).tolist() == [-1.0, -3.0]
