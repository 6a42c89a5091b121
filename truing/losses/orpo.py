"""Odds ratio preference optimisation (Hong et al. 2024, arXiv:2403.07691): fine-tuning and preference in one, without a
reference."""

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid


def odds_ratio_loss(chosen_mean: Tensor, rejected_mean: Tensor) -> Tensor:
    """−log σ(log (odds(y_w) / odds(y_l))), odds(y) = p/(1 − p): equations 4 and 7 of the paper, L_OR.

    chosen_mean and rejected_mean [pairs]: mean log-probabilities of a token, log p with p = π(y|x)^(1/|y|) → [pairs].
    The paper's loss (equation 6) is L_SFT + λ L_OR with λ of 0.1 to 0.25; L_SFT is the mean negative log-likelihood of
    the chosen answers' tokens. There is no odds ratio where p is 1: p is held one rounding below it.
    """
    return -logsigmoid(_log_odds(chosen_mean) - _log_odds(rejected_mean))


def _log_odds(log_p: Tensor) -> Tensor:
    """log p − log(1 − p), exact for p near 0 and near 1 (Mächler 2012, "Accurately computing log(1 − exp(−|a|))")."""
    log_p = log_p.clamp(max=-torch.finfo(log_p.dtype).eps)
    near_one = log_p > -0.6931471805599453
    small, large = log_p.masked_fill(~near_one, -0.5), log_p.masked_fill(near_one, -1.0)
    return log_p - torch.where(near_one, torch.log(-torch.expm1(small)), torch.log1p(-torch.exp(large)))
