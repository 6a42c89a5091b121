"""Noise contrastive alignment on pairs (Chen et al. 2024, arXiv:2402.05369): each answer's likelihood counts, not only
their difference."""

from torch import Tensor
from torch.nn.functional import logsigmoid


def nca_pair_loss(chosen_ratio: Tensor, rejected_ratio: Tensor, beta: float) -> Tensor:
    """−log σ(β r_w) − ½ log σ(−β r_w) − ½ log σ(−β r_l), the paper's NCA for K = 2 with certain labels.

    Log-ratios [pairs] in nats → [pairs]. As a function of r_w alone its optimum is ln 2 / β: the chosen answer becomes
    likelier by a bounded amount, where DPO may make both unlikely. The paper's β (its α) is 0.01.
    """
    return -logsigmoid(beta * chosen_ratio) - 0.5 * (
        logsigmoid(-beta * chosen_ratio) + logsigmoid(-beta * rejected_ratio)
    )
