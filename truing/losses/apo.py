"""Anchored preference optimisation (D'Oosterlinck et al. 2024, arXiv:2408.06266): where the likelihoods should go is
said, not only how far apart. Both take log-ratios [pairs] in nats and give [pairs]; the paper's β is 0.1."""

from torch import Tensor


def apo_zero_loss(chosen_ratio: Tensor, rejected_ratio: Tensor, beta: float) -> Tensor:
    """1 − σ(β r_w) + σ(β r_l), equation 7: chosen answers become likelier than under the reference, rejected ones less
    likely. For chosen answers that are better than the model's own."""
    return (-beta * chosen_ratio).sigmoid() + (beta * rejected_ratio).sigmoid()


def apo_down_loss(chosen_ratio: Tensor, rejected_ratio: Tensor, beta: float) -> Tensor:
    """σ(β r_w) + 1 − σ(β (r_w − r_l)), equation 8: both become less likely, the rejected ones more so. For chosen
    answers that are worse than the model's own."""
    return (beta * chosen_ratio).sigmoid() + (-beta * (chosen_ratio - rejected_ratio)).sigmoid()
