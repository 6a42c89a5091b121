"""Kahneman–Tversky optimisation (Ethayarajh et al. 2024, arXiv:2402.01306) on good and bad answers, paired or not.

An answer is valued by how far its log-ratio is from a baseline z0, an estimate of KL(π ‖ π_ref): a gain or a loss is
felt relative to what one has, and less and less the larger it is.
"""

import torch
from torch import Tensor


def kto_baseline(mismatched: Tensor) -> Tensor:
    """z0: the mean log-ratio of answers to prompts that they were not written for, at least 0; no gradient.

    mismatched [m], in nats. The paper's estimate (section 4): biased, but cheap where samples of π are not; and a KL is
    never negative.
    """
    return mismatched.detach().mean().clamp(min=0)


def kto_loss(
    ratio: Tensor,
    good: Tensor,
    baseline: Tensor,
    beta: float,
    desirable_weight: float = 1.0,
    undesirable_weight: float = 1.0,
) -> Tensor:
    """λ_D (1 − σ(β(r − z0))) for a good answer, λ_U (1 − σ(β(z0 − r))) for a bad one: equation 7 of the paper, without
    the constant λ_y. ratio r [answers] in nats, good [answers] bool, baseline z0 [] → [answers].

    The paper's β is 0.1; it advises λ_D n_good / (λ_U n_bad) between 1 and 4/3 where one kind is rarer. The gradient is
    −λ β σ'(β(r − z0)): largest near the baseline, and 0 far from it on either side, so that an answer that seems
    hopelessly mislabelled is let go.
    """
    sign = torch.where(good, 1.0, -1.0).to(ratio.dtype)
    weight = torch.where(good, desirable_weight, undesirable_weight).to(ratio.dtype)
    return weight * torch.sigmoid(-sign * beta * (ratio - baseline))
