"""The hinge: its value, and that it leaves alone what is told apart."""

import torch

from truing.losses.hinge import hinge_loss


def test_values_and_gradients_on_both_sides_of_the_hinge() -> None:
    margin = torch.tensor([-10.0, 0.0, 19.0, 21.0], dtype=torch.float64, requires_grad=True)
    loss = hinge_loss(margin, 0.05)
    assert torch.allclose(loss, torch.tensor([1.5, 1.0, 0.05, 0.0], dtype=torch.float64))
    loss.sum().backward()
    assert margin.grad is not None
    assert margin.grad.tolist() == [-0.05, -0.05, -0.05, 0.0]
