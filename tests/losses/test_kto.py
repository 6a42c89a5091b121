"""KTO: values by hand, where its gradient points and where it vanishes, and its baseline."""

import math

import pytest
import torch

from truing.losses.kto import kto_baseline, kto_loss

GOOD = torch.tensor([True, False])


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def test_values_on_numbers_worked_out_by_hand() -> None:
    ratio, z0 = torch.tensor([3.0, 3.0], dtype=torch.float64), torch.tensor(1.0, dtype=torch.float64)
    loss = kto_loss(ratio, GOOD, z0, 0.5, desirable_weight=2.0, undesirable_weight=0.5)
    assert loss.tolist() == pytest.approx([2 * (1 - sigmoid(1.0)), 0.5 * (1 - sigmoid(-1.0))])


@pytest.mark.parametrize("ratio", [-40.0, -2.0, 0.0, 3.0, 40.0])
def test_good_answers_are_pulled_up_and_bad_ones_down_most_near_the_baseline(ratio: float) -> None:
    """∂/∂r = ∓β σ'(β(r − z0)): never larger than β/4, and next to nothing far away."""
    beta, z0 = 0.5, 1.0
    ratios = torch.full((2,), ratio, dtype=torch.float64, requires_grad=True)
    kto_loss(ratios, GOOD, torch.tensor(z0, dtype=torch.float64), beta).sum().backward()
    slope = beta * sigmoid(beta * (ratio - z0)) * sigmoid(beta * (z0 - ratio))
    assert ratios.grad is not None
    assert ratios.grad.tolist() == pytest.approx([-slope, slope], abs=1e-15)
    assert slope <= beta / 4
    assert (slope < 1e-7) == (abs(ratio) == 40)


def test_a_policy_that_is_its_reference_has_half_of_each_weight() -> None:
    zeros = torch.zeros(2, dtype=torch.float64)
    assert kto_loss(zeros, GOOD, kto_baseline(zeros), 0.1, 1.0, 3.0).tolist() == [0.5, 1.5]


def test_the_baseline_is_a_mean_that_is_never_negative_and_takes_no_gradient() -> None:
    ratios = torch.tensor([1.0, 2.0, -0.3], dtype=torch.float64, requires_grad=True)
    assert kto_baseline(ratios).item() == pytest.approx(0.9)
    assert kto_baseline(-ratios).item() == 0.0
    assert not kto_baseline(ratios).requires_grad
