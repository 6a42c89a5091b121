"""IPO: the margin that it reaches, where DPO would not stop."""

import math

import pytest
import torch

from truing.losses.dpo import dpo_loss
from truing.losses.ipo import ipo_loss


def policy_after(loss: str, strength: float, steps: int = 1500) -> float:
    """π(y1) after descent on a single pair that is always preferred, two actions, a uniform reference."""
    logits = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    descent = torch.optim.Adam([logits], lr=0.05)
    for _ in range(steps):
        descent.zero_grad()
        policy = logits.log_softmax(-1)
        margin = policy[0] - policy[1]
        (ipo_loss(margin, strength) if loss == "ipo" else dpo_loss(margin, strength)).backward()
        descent.step()
    return float(logits.detach().softmax(-1)[0])


@pytest.mark.parametrize(("tau", "expected"), [(0.1, 0.9933), (0.5, 0.7311), (1.0, 0.6225)])
def test_with_certain_labels_two_actions_end_at_the_papers_policy(tau: float, expected: float) -> None:
    assert policy_after("ipo", tau) == pytest.approx(expected, abs=5e-5)
    assert expected == pytest.approx(1 / (1 + math.exp(-0.5 / tau)), abs=5e-5)


@pytest.mark.parametrize("beta", [1.0, 5.0])
def test_dpo_becomes_deterministic_on_the_same_labels(beta: float) -> None:
    """Negative control: more steps take DPO further, whatever β; IPO stays where it is."""
    fewer, more = policy_after("dpo", beta, 500), policy_after("dpo", beta)
    assert 0.7311 < fewer < more
    assert more > 0.99
    assert policy_after("ipo", 0.5, 500) == pytest.approx(policy_after("ipo", 0.5), abs=1e-6)


def test_under_label_noise_the_optimum_is_the_mean_of_the_two_targets() -> None:
    """p (h − t)² + (1 − p)(−h − t)² is least at h = (2p − 1) t, t = 1/(2τ): finite and linear in p."""
    p, tau = 0.8, 0.25
    h = torch.tensor((2 * p - 1) / (2 * tau), dtype=torch.float64, requires_grad=True)
    (p * ipo_loss(h, tau) + (1 - p) * ipo_loss(-h, tau)).backward()
    assert h.grad is not None
    assert h.grad.item() == pytest.approx(0.0, abs=1e-12)
