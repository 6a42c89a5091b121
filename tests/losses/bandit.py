"""A bandit of three arms whose KL-regularised optimum is known: π* ∝ π_ref · exp(r/β), J* = β ln Z."""

import math

import torch
from torch import Tensor

REFERENCE = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
REWARD = torch.tensor([0.0, 1.0, 2.0], dtype=torch.float64)
KL = 3


def optimum(beta: float) -> tuple[Tensor, float, float, float]:
    """(π*, J*, E[r], KL*) of max E[r] − β KL(π ‖ π_ref)."""
    tilted = REFERENCE * (REWARD / beta).exp()
    z = float(tilted.sum())
    policy = tilted / z
    mean = float((policy * REWARD).sum())
    return policy, beta * math.log(z), mean, mean / beta - math.log(z)
