"""How far a policy has moved from its reference: estimators of KL(π ‖ π_ref) from drawn tokens, and the coefficient β.

Of a token drawn from π let d = log π − log π_ref (nats) and r = π_ref/π = exp(−d). Schulman 2020, "Approximating KL
divergence", names three estimators of one token's divergence, given what came before:

    k1 = d                  unbiased, of high variance, negative for about every second token
    k2 = d²/2               biased (by third order in d), of low variance, never negative
    k3 = r − 1 − ln r       unbiased, of low variance, never negative

What they are worth as a *value* says nothing of their *gradient*. Differentiated through the drawn tokens' log π,

    ∇k1 = ∇log π            expectation 0: as a loss, k1 does nothing at all
    ∇k2 = d ∇log π          expectation ∇KL(π ‖ π_ref): the right one
    ∇k3 = (1 − r) ∇log π    expectation ∇KL(π_ref ‖ π): another divergence's

And where an estimator is subtracted from the reward, as a number, its policy gradient is E[k ∇log π]:

    k1                      ∇KL(π ‖ π_ref), the right one
    k3                      ∇KL(π ‖ π_ref) − ∇KL(π_ref ‖ π): near the reference next to nothing

So: k1 in the reward, or k2's gradient in the loss; `kl_loss` gives that gradient the value of k3. (Derived; the tests
hold each line against exact sums.)
"""

import torch
from torch import Tensor


def k1(logprobs: Tensor, reference: Tensor) -> Tensor:
    """d of each token, from log-probabilities [T] of the policy and the reference (nats) → [T]."""
    return logprobs - reference


def k2(logprobs: Tensor, reference: Tensor) -> Tensor:
    """d²/2 of each token: [T], [T] → [T]."""
    return (logprobs - reference).square() / 2


def k3(logprobs: Tensor, reference: Tensor) -> Tensor:
    """r − 1 − ln r of each token: [T], [T] → [T]."""
    log_ratio = reference - logprobs
    return torch.expm1(log_ratio) - log_ratio


def kl_loss(logprobs: Tensor, reference: Tensor) -> Tensor:
    """A divergence to add to a loss: the value is k3's, the gradient (straight through) k2's. [T], [T] → [T]."""
    gradient = k2(logprobs, reference)
    return k3(logprobs, reference).detach() + gradient - gradient.detach()


def adapted(coefficient: float, kl: float, target: float, horizon: float, answers: int) -> float:
    """The next β: β · (1 + clip(KL/target − 1, −0.2, 0.2) · n/horizon), after n answers whose divergence was `kl`.

    `kl` and `target` in nats an answer. Where KL grows as β falls, β comes to rest where KL = target. (Ziegler et al.
    2019, arXiv:1909.08593, section 2.2.)
    """
    error = min(max(kl / target - 1, -0.2), 0.2)
    return coefficient * (1 + error * answers / horizon)
