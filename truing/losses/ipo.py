"""Identity preference optimisation (Azar et al. 2023, arXiv:2310.12036): a margin to reach, and no further."""

from torch import Tensor


def ipo_loss(margin: Tensor, tau: float) -> Tensor:
    """(h − 1/(2τ))², equation 17 of the paper. margin h [pairs] → [pairs].

    h is the difference of *summed* log-ratios, as the paper writes it; some libraries divide them by the answers'
    lengths first. The optimum is finite even where labels are certain: with two actions, a uniform reference and
    p = 1, π(y_w) = σ(1/(2τ)), where DPO goes to 1 for every β. The paper's experiments take τ of 0.1, 0.5 and 1.
    """
    return (margin - 1 / (2 * tau)) ** 2
