"""Rewards from comparisons: Bradley and Terry's model (1952, Biometrika 39:324), with margins, ties and centring.

An answer y to a prompt x has a reward r; the chosen answer w beats the rejected one l with probability σ(r_w − r_l).
Only differences count, so a reward is known up to a constant. Rewards and margins are in nats (log-odds).
"""

import math

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid


def bradley_terry_loss(chosen: Tensor, rejected: Tensor, margin: Tensor | float = 0.0) -> Tensor:
    """−log σ(r_w − r_l − m): rewards [pairs] each → [pairs]. The margin m ≥ 0 asks strong preferences for more (Touvron
    et al. 2023, arXiv:2307.09288, equation 2); 0 is the plain model. At equal rewards and m = 0 it is ln 2."""
    return -logsigmoid(chosen - rejected - margin)


def tie_loss(first: Tensor, second: Tensor, threshold: float) -> Tensor:
    """−log P(tie) under Rao and Kupper's model (1967, JASA 62:194): two answers closer than they can be told apart tie.

    With threshold η > 0: P(first wins) = σ(d − η), P(second wins) = σ(−d − η), d = r_first − r_second, and so
    P(tie) = (e^{2η} − 1) σ(d − η) σ(−d − η), largest at d = 0. Decided pairs carry η as a margin.
    Rewards [pairs] each → [pairs]. Raises `ValueError` for η ≤ 0, under which there are no ties.
    """
    if threshold <= 0:
        raise ValueError(f"the threshold of ties is {threshold}; it must be above 0")
    difference = first - second
    return -logsigmoid(difference - threshold) - logsigmoid(-difference - threshold) - _log_expm1(2 * threshold)


def centring_loss(chosen: Tensor, rejected: Tensor) -> Tensor:
    """(r_w + r_l)²: pulls each pair's rewards to a mean of zero and leaves their difference alone (Eisenstein et al.
    2023, arXiv:2312.09244, appendix). Rewards [pairs] each → [pairs]."""
    return torch.square(chosen + rejected)


def _log_expm1(x: float) -> float:
    """log(eˣ − 1) for x > 0, where eˣ would overflow, too."""
    return x + math.log(-math.expm1(-x))
