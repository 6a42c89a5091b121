"""APO: which way each likelihood goes is what its two forms differ in."""

import pytest
import torch

from truing.losses.apo import apo_down_loss, apo_zero_loss
from truing.losses.dpo import dpo_loss


def gradient(loss: object, chosen: float, rejected: float) -> list[float]:
    ratios = torch.tensor([chosen, rejected], dtype=torch.float64, requires_grad=True)
    loss(ratios[0], ratios[1], 0.5).backward()  # type: ignore[operator]
    assert ratios.grad is not None
    return ratios.grad.tolist()


def test_values_on_numbers_worked_out_by_hand() -> None:
    chosen, rejected = torch.tensor(2.0, dtype=torch.float64), torch.tensor(-4.0, dtype=torch.float64)
    low, high = 0.2689414213699951, 0.9525741268224334  # σ(−1), σ(3)
    assert apo_zero_loss(chosen, rejected, 0.5).item() == pytest.approx(low + 0.11920292202211755)  # σ(−2)
    assert apo_down_loss(chosen, rejected, 0.5).item() == pytest.approx((1 - low) + (1 - high))


@pytest.mark.parametrize(("chosen", "rejected"), [(0.0, 0.0), (-2.0, 3.0), (4.0, -1.0)])
def test_zero_lifts_the_chosen_answer_and_lowers_the_rejected_one(chosen: float, rejected: float) -> None:
    up, down = gradient(apo_zero_loss, chosen, rejected)
    assert up < 0 < down  # descent goes against the gradient


def test_down_lowers_both_once_they_are_told_apart() -> None:
    both = gradient(apo_down_loss, 2.0, -6.0)
    assert min(both) > 0
    # Negative control: DPO sees their difference alone, and would lift the chosen one.
    assert gradient(lambda chosen, rejected, beta: dpo_loss(chosen - rejected, beta), 2.0, -6.0)[0] < 0
