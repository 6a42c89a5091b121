"""Proximal policy optimisation (Schulman et al. 2017, arXiv:1707.06347) and the advantages that it learns from.

An answer is an episode: the state s_t is the prompt with the tokens before t, the action is token t, and V(s_t) is read
where token t is predicted, before it is known. Batches of answers of unequal lengths are [answers, tokens], filled up
with zeros at the end: a zero reward and a zero value after the last token are what an ended episode has, so that no
mask is needed here.
"""

import torch
from torch import Tensor


def advantages(rewards: Tensor, values: Tensor, discount: float, trace: float) -> Tensor:
    """Generalised advantage estimation (Schulman et al. 2016, arXiv:1506.02438, equation 16).

        Â_t = Σ_l (γλ)^l δ_{t+l},    δ_t = r_t + γ V(s_{t+1}) − V(s_t),    V after the last token = 0

    rewards, values [answers, tokens], zeros after each answer's end; `discount` γ, `trace` λ → [answers, tokens]. With
    γ = λ = 1 it is the sum of rewards still to come minus V(s_t).
    """
    result = torch.zeros_like(rewards)
    later = torch.zeros_like(rewards[:, 0])
    next_value = torch.zeros_like(later)
    for place in reversed(range(rewards.shape[1])):
        surprise = rewards[:, place] + discount * next_value - values[:, place]
        later = surprise + discount * trace * later
        result[:, place] = later
        next_value = values[:, place]
    return result


def whitened(numbers: Tensor, shift_mean: bool = True) -> Tensor:
    """Numbers [T] scaled to variance 1, and shifted to mean 0 unless `shift_mean` is false.

    Advantages are whitened fully. Rewards keep their mean: shifting it would change what a longer answer earns.
    """
    variance, mean = torch.var_mean(numbers, correction=0)
    result = (numbers - mean) * (variance + 1e-8).rsqrt()
    return result if shift_mean else result + mean


def clipped_policy_loss(logprobs: Tensor, drawn: Tensor, advantages: Tensor, clip: float) -> Tensor:
    """−min(ρA, clip(ρ, 1−ε, 1+ε) A) with ρ = π/π_drawn, equation 7 of the paper.

    logprobs of the policy and of the policy that drew, and advantages, of one shape [T] (tokens, or whole answers with
    summed log-probabilities) → [T]. Where π is still the policy that drew, its gradient is −A ∇log π.
    """
    ratio = (logprobs - drawn).exp()
    return -torch.minimum(ratio * advantages, ratio.clamp(1 - clip, 1 + clip) * advantages)


def outside_clip(logprobs: Tensor, drawn: Tensor, clip: float) -> Tensor:
    """True where ρ has left [1−ε, 1+ε]: [T], [T] → [T]."""
    return ((logprobs - drawn).exp() - 1).abs() > clip


def clipped_value_loss(values: Tensor, old_values: Tensor, returns: Tensor, clip: float) -> Tensor:
    """½ max((V − R)², (V_clipped − R)²), V kept within ±`clip` of the value that the batch began with. [T] each → [T].

    (As in the code of the 2017 paper's authors; arXiv:2403.17031 describes it.)
    """
    near = old_values + (values - old_values).clamp(-clip, clip)
    return torch.maximum((values - returns).square(), (near - returns).square()) / 2


def explained_variance(values: Tensor, returns: Tensor) -> float | None:
    """1 − Var(R − V)/Var(R) over tokens [T]: 1 for a perfect critic, 0 for one that knows only the mean, below 0 for a
    worse one. None where all returns are equal: there is nothing to explain."""
    spread = returns.var(correction=0)
    return None if spread == 0 else float(1 - (returns - values).var(correction=0) / spread)
