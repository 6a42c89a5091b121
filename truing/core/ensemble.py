"""Several reward models as one: how their scores are put together (Coste et al. 2023, arXiv:2310.02743, section 3.2).

A policy that is trained against one reward model finds its errors; members of different seeds err in different places.
Members' rewards must share their zero: `train.reward` gives each a mean of 0 over the training answers.
"""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

Combine = Literal["mean", "min", "mean_minus_variance"]


def combine(scores: NDArray[np.float64], how: Combine, variance_weight: float = 0.0) -> NDArray[np.float64]:
    """Scores [members, answers] → [answers]: the members' mean, the worst of them, or mean − λ · variance, the variance
    being (1/k) Σ (rᵢ − mean)² over the k members."""
    if how == "mean":
        result = scores.mean(axis=0)
    elif how == "min":
        result = scores.min(axis=0)
    else:
        result = scores.mean(axis=0) - variance_weight * scores.var(axis=0)
    return np.asarray(result, dtype=np.float64)
