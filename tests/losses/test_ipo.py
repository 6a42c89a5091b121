"""IPO: the margin that it reaches, where DPO would not stop."""

import math

import pytest
import torch

from truing.losses.dpo import dpo_loss
from truing.losses.ipo import ipo_loss


@pytest.mark.parametrize(("tau", "expected"), [(0.1, 0.9933), (0.5, 0.7311), (1.0, 0.6225)])
def test_with_certain_labels_two_actions_end_at_the_papers_policy(tau: float, expected: float) -> None:
    """The reference is uniform, and the first action always preferred: π(y1) = σ(0.5/τ)."""
    logits = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    search = torch.optim.LBFGS([logits], tolerance_grad=1e-10, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        search.zero_grad()
        policy = logits.log_softmax(-1)
        loss = ipo_loss(policy[0] - policy[1], tau)
        loss.backward()
        return loss

    search.step(closure)
    assert logits.detach().softmax(-1)[0].item() == pytest.approx(expected, abs=5e-5)
    assert expected == pytest.approx(1 / (1 + math.exp(-0.5 / tau)), abs=5e-5)


@pytest.mark.parametrize("strength", [0.1, 0.5, 5.0])
def test_ipo_turns_back_beyond_its_margin_and_dpo_pushes_on_for_any_beta(strength: float) -> None:
    """Where one answer always wins, DPO's policy becomes deterministic: its gradient never changes sign."""
    target = 1 / (2 * strength)
    for factor, sign in ((0.1, -1.0), (0.9, -1.0), (1.1, 1.0), (50.0, 1.0)):
        margin = torch.tensor(factor * target, dtype=torch.float64, requires_grad=True)
        (pulled,) = torch.autograd.grad(ipo_loss(margin, strength), margin)
        (pushed,) = torch.autograd.grad(dpo_loss(margin, strength), margin)
        assert math.copysign(1.0, pulled.item()) == sign
        assert pushed.item() < 0


def test_under_label_noise_the_optimum_is_the_mean_of_the_two_targets() -> None:
    """p (h − t)² + (1 − p)(−h − t)² is least at h = (2p − 1) t, t = 1/(2τ): finite and linear in p."""
    p, tau = 0.8, 0.25
    h = torch.tensor((2 * p - 1) / (2 * tau), dtype=torch.float64, requires_grad=True)
    (p * ipo_loss(h, tau) + (1 - p) * ipo_loss(-h, tau)).backward()
    assert h.grad is not None
    assert h.grad.item() == pytest.approx(0.0, abs=1e-12)
