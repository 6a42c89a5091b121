"""Simple preference optimisation (Meng et al. 2024, arXiv:2405.14734): no reference, lengths divided out, a margin."""

from torch import Tensor
from torch.nn.functional import logsigmoid


def simpo_loss(chosen_mean: Tensor, rejected_mean: Tensor, beta: float, gamma: float) -> Tensor:
    """−log σ(β log π(y_w)/|y_w| − β log π(y_l)/|y_l| − γ), equation 6 of the paper.

    chosen_mean and rejected_mean [pairs]: mean log-probabilities of a token (nats) → [pairs]. The reward is what
    generation ranks answers by. The paper's β is 2 to 2.5, its γ 0.3 to 1.6 (2 and 1 for Llama-3-Base).
    """
    return -logsigmoid(beta * (chosen_mean - rejected_mean) - gamma)
