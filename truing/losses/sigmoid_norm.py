"""DPO with each log-ratio divided by its answer's length: long answers weigh no more than short ones."""

from torch import Tensor
from torch.nn.functional import logsigmoid


def sigmoid_norm_loss(mean_margin: Tensor, beta: float) -> Tensor:
    """−log σ(β (log-ratio(y_w)/|y_w| − log-ratio(y_l)/|y_l|)). mean_margin [pairs] → [pairs].

    The length-normalised DPO of Tülu 3 (Lambert et al. 2024, arXiv:2411.15124), whose β is 5: a mean over
    tokens is that much smaller than a sum.
    """
    return -logsigmoid(beta * mean_margin)
