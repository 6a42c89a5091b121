"""Contrastive preference optimisation (Xu et al. 2024, arXiv:2401.08417): DPO as if the reference were uniform."""

from torch import Tensor
from torch.nn.functional import logsigmoid


def cpo_loss(chosen: Tensor, rejected: Tensor, beta: float) -> Tensor:
    """−log σ(β log π(y_w) − β log π(y_l)), L_prefer of equation 3.

    chosen and rejected [pairs]: summed log-probabilities (nats) → [pairs]. The paper's loss adds L_NLL, the negative
    log-likelihood of the chosen answers, with weight 1: without it, nothing keeps the policy from making
    both unlikely. Its β is 0.1.
    """
    return -logsigmoid(beta * (chosen - rejected))
