"""Direct preference optimisation (Rafailov et al. 2023, arXiv:2305.18290) and its two answers to noisy labels.

h = (log π(y_w) − log π_ref(y_w)) − (log π(y_l) − log π_ref(y_l)) is the reference-adjusted margin, in nats; β scales
it. At the start, π = π_ref gives h = 0 and every loss here is ln 2. With labels right with probability p, the optimum
of the sigmoid loss is h* = logit(p)/β.
"""

from torch import Tensor
from torch.nn.functional import logsigmoid

from truing.losses.kl import k3


def adjusted_margin(chosen: Tensor, rejected: Tensor, reference_chosen: Tensor, reference_rejected: Tensor) -> Tensor:
    """h [pairs] from summed log-probabilities [pairs] each, in nats."""
    return (chosen - reference_chosen) - (rejected - reference_rejected)


def dpo_loss(margin: Tensor, beta: float) -> Tensor:
    """−log σ(βh), equation 7 of the paper. margin [pairs] → [pairs]."""
    return -logsigmoid(beta * margin)


def conservative_dpo_loss(margin: Tensor, beta: float, flip_rate: float) -> Tensor:
    """−(1−ε) log σ(βh) − ε log σ(−βh): labels are flipped at rate ε (cDPO, E. Mitchell 2023, "A note on DPO with noisy
    preferences"). Its optimum h* = ln((1−ε)/ε)/β is finite, so that the margin stops growing. ε in [0, ½)."""
    _check(flip_rate)
    return -(1 - flip_rate) * logsigmoid(beta * margin) - flip_rate * logsigmoid(-beta * margin)


def robust_dpo_loss(margin: Tensor, beta: float, flip_rate: float) -> Tensor:
    """(−(1−ε) log σ(βh) + ε log σ(−βh)) / (1−2ε) (rDPO, Chowdhury et al. 2024, arXiv:2403.00409, equation 12): under
    label flips of rate ε its expectation is the clean loss exactly. ε in [0, ½)."""
    _check(flip_rate)
    clean, flipped = logsigmoid(beta * margin), logsigmoid(-beta * margin)
    return (-(1 - flip_rate) * clean + flip_rate * flipped) / (1 - 2 * flip_rate)


def _check(flip_rate: float) -> None:
    if not 0 <= flip_rate < 0.5:
        raise ValueError(f"the flip rate is {flip_rate}; it must be at least 0 and below 0.5")


def kl_estimate(logprobs: Tensor, reference_logprobs: Tensor) -> Tensor:
    """The mean of k3 = r − 1 − ln r with r = π_ref/π per token (Schulman 2020, "Approximating KL divergence"), in nats.

    Unbiased for KL(π ‖ π_ref) only on tokens drawn from π; on a dataset's answers it is a distance, not that
    divergence.
    """
    return k3(logprobs, reference_logprobs).mean()
