"""Binary classifier optimisation (Jung et al. 2024, arXiv:2404.04656): is the answer good? The implied reward says so.

The cross-entropy of a classifier whose logit is the reward bounds the DPO loss from above; shifting all rewards by
their middle δ tightens the bound (the paper's section 3).
"""

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid


def bco_loss(ratio: Tensor, good: Tensor, shift: Tensor, beta: float) -> Tensor:
    """−log σ(β(r − δ)) for a good answer, −log σ(−β(r − δ)) for a bad one.

    ratio r [answers] in nats, good [answers] bool, shift δ [] in nats (the paper's δ is a reward: β times this one) →
    [answers]. The paper's β is 0.01.
    """
    sign = torch.where(good, 1.0, -1.0).to(ratio.dtype)
    return -logsigmoid(sign * beta * (ratio - shift))


def seen_ratios(ratio: Tensor, good: Tensor) -> Tensor:
    """[4] float64: the sum and the number of good answers' log-ratios, then of bad ones'. Batches add up."""
    kinds = [(ratio.detach()[kind].double().sum(), kind.double().sum()) for kind in (good, ~good)]
    return torch.stack([number for kind in kinds for number in kind])


def reward_shift(seen: Tensor) -> Tensor:
    """δ = ½ (mean over good answers + mean over bad ones), of all log-ratios in `seen` [4]; 0 before any was seen, as
    a policy that starts from its reference has no other. Where only one kind was seen, its mean."""
    kinds = [total / count for total, count in (seen[:2], seen[2:]) if count > 0]
    return torch.stack(kinds).mean() if kinds else seen.new_zeros(())
