"""SimPO: the margin that it asks for, and its gradient."""

import math

import pytest
import torch

from truing.losses.simpo import simpo_loss


def test_where_the_difference_of_means_is_gamma_over_beta_the_loss_is_ln_2() -> None:
    chosen = torch.tensor(-1.0, dtype=torch.float64)
    assert simpo_loss(chosen, chosen - 1.0 / 2.0, beta=2.0, gamma=1.0).item() == pytest.approx(math.log(2))


def test_the_value_and_the_gradient_on_numbers_worked_out_by_hand() -> None:
    """∇ = −β σ(γ − β(m_w − m_l)) (∇m_w − ∇m_l), the paper's gradient analysis."""
    means = torch.tensor([-0.5, -1.5], dtype=torch.float64, requires_grad=True)
    loss = simpo_loss(means[0], means[1], beta=2.0, gamma=0.5)
    assert loss.item() == pytest.approx(math.log1p(math.exp(-1.5)))
    loss.backward()
    slope = 2.0 / (1 + math.exp(1.5))
    assert means.grad is not None
    assert means.grad.tolist() == pytest.approx([-slope, slope])
