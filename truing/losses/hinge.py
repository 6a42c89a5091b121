"""The hinge loss on the reference-adjusted margin: pairs that are told apart well enough are left alone."""

from torch import Tensor


def hinge_loss(margin: Tensor, beta: float) -> Tensor:
    """max(0, 1 − βh). margin h [pairs] → [pairs].

    SLiC-HF (Zhao et al. 2023, arXiv:2305.10425) puts the hinge on log π alone, and adds a term that keeps
    the reference's answers likely; Liu et al. 2023 (RSO, arXiv:2309.06657) adjust it by the reference, as here, with
    β = 0.05 (their γ). The gradient is 0 from h = 1/β on.
    """
    return (1 - beta * margin).clamp(min=0)
