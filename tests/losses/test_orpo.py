"""ORPO's odds ratio: its value from probabilities themselves, its gradient, and probabilities near 0 and 1."""

import math

import pytest
import torch

from truing.losses.orpo import odds_ratio_loss


@pytest.mark.parametrize(("chosen", "rejected"), [(0.6, 0.3), (0.2, 0.9), (0.5, 0.5), (0.99999, 1e-8)])
def test_the_value_is_that_of_the_odds(chosen: float, rejected: float) -> None:
    odds = (chosen / (1 - chosen)) / (rejected / (1 - rejected))
    means = torch.tensor([chosen, rejected], dtype=torch.float64).log()
    assert odds_ratio_loss(*means).item() == pytest.approx(math.log1p(1 / odds), rel=1e-9)


def test_the_gradient_is_the_papers() -> None:
    """∇L_OR = −δ(d) h(d), δ = 1/(1 + odds ratio), h = ∇log p_w/(1 − p_w) − ∇log p_l/(1 − p_l) (equations 8 to 10)."""
    means = torch.tensor([0.6, 0.3], dtype=torch.float64).log().requires_grad_()
    odds_ratio_loss(means[0], means[1]).backward()
    delta = 1 / (1 + (0.6 / 0.4) / (0.3 / 0.7))
    assert means.grad is not None
    assert means.grad.tolist() == pytest.approx([-delta / 0.4, delta / 0.7])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("mean", [0.0, -1e-12, -1e-6, math.log(0.5), -50.0, -1e4])
def test_certain_and_impossible_answers_give_finite_losses_and_gradients(dtype: torch.dtype, mean: float) -> None:
    means = torch.tensor([mean, -1.0], dtype=dtype, requires_grad=True)
    loss = odds_ratio_loss(means[0], means[1]) + odds_ratio_loss(means[1], means[0])
    loss.backward()
    assert means.grad is not None
    assert torch.isfinite(loss)
    assert torch.isfinite(means.grad).all()


def test_even_answers_cost_ln_2() -> None:
    means = torch.tensor([-0.3, -2.0], dtype=torch.float64)
    assert torch.allclose(odds_ratio_loss(means, means), torch.full((2,), math.log(2), dtype=torch.float64))
