"""Policy gradients without a critic: an answer is judged against the other answers to the same prompt.

All take the rewards of groups of k answers, [groups, k], and return advantages of that shape. They go into
`ppo.clipped_policy_loss`, token by token or, with `answer_logprobs`, answer by answer.
"""

import torch
from torch import Tensor


def rloo_advantages(rewards: Tensor) -> Tensor:
    """REINFORCE leave-one-out: A_i = R_i − mean of the others = k/(k−1) · (R_i − mean R).

    (Kool et al. 2019; for language models Ahmadian et al. 2024, arXiv:2402.14740.) The baseline of an answer does not
    depend on it, so E[A_i ∇log π(y_i)] is the policy gradient exactly. rewards [groups, k], k ≥ 2.
    """
    k = rewards.shape[1]
    return k / (k - 1) * (rewards - rewards.mean(1, keepdim=True))


def grpo_advantages(rewards: Tensor, divide_by_std: bool = True) -> Tensor:
    """Group-relative advantages: (R_i − mean R) / std R (GRPO, Shao et al. 2024, arXiv:2402.03300, section 4.1.2).

    With `divide_by_std` false (Dr. GRPO, Liu et al. 2025, arXiv:2503.20783) they are RLOO's times (k−1)/k: another step
    size, the same direction. The division weighs prompts by how alike their answers' rewards are: easy and hopeless
    prompts then count most. It leaves the optimum where it is if the divergence from the reference is part of R, and
    moves it if that is a term of the loss. A group of equal rewards gets zeros. rewards [groups, k], k ≥ 2.
    """
    centred = rewards - rewards.mean(1, keepdim=True)
    return centred / (rewards.std(1, keepdim=True, correction=0) + 1e-6) if divide_by_std else centred


def answer_logprobs(logprobs: Tensor, answer: Tensor, count: int, per_token: bool = False) -> Tensor:
    """The log-probability [count] of each answer as one action: the sum over its tokens, or with `per_token` their mean
    (GSPO, Zheng et al. 2025, arXiv:2507.18071, equation 7). logprobs [T]; answer [T] says whose a token is."""
    sums = torch.zeros(count, dtype=logprobs.dtype, device=logprobs.device).index_add(0, answer, logprobs)
    return sums / torch.bincount(answer, minlength=count) if per_token else sums
