"""Root-mean-square norms (Zhang and Sennrich 2019, arXiv:1910.07467) whose output need not be kept.

    y = w ⊙ x / ρ,   ρ = √(mean(x²) + ε)        ∂L/∂x = (t − x · mean(t ⊙ x) / ρ²) / ρ,   t = w ⊙ ∂L/∂y

Written in single operations, the backward pass goes over the elements some ten times; here it is four. And since x is
kept anyway, the output carries `again`, which makes it anew: a low-rank layer that reads it (`lowrank.py`) keeps that
instead.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


class _Norm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
        inverse = _inverse(x, epsilon)
        ctx.save_for_backward(x, weight, inverse)
        out: Tensor = (x * inverse).mul_(weight)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        x, weight, inverse = ctx.saved_tensors
        to_x = to_weight = None
        if ctx.needs_input_grad[0]:
            to_x = gradient * weight
            along = torch.linalg.vecdot(to_x, x).unsqueeze(-1).mul_(inverse * inverse / x.shape[-1])
            to_x.addcmul_(x, along, value=-1).mul_(inverse)
        if ctx.needs_input_grad[1]:
            to_weight = (gradient * x).mul_(inverse).flatten(0, -2).sum(0)
        return to_x, to_weight, None


def _inverse(x: Tensor, epsilon: float) -> Tensor:
    """1 / ρ, [..., 1]."""
    length: Tensor = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    return length.square_().div_(x.shape[-1]).add_(epsilon).rsqrt_()


def norm(module: Any, x: Tensor) -> Tensor:
    """The layer's own y, [..., width] → [..., width]."""
    weight, epsilon = module.weight, _epsilon(module)
    if not torch.is_grad_enabled() or not (x.requires_grad or weight.requires_grad):
        return (x * _inverse(x, epsilon)).mul_(weight)
    out: Tensor = _Norm.apply(x, weight, epsilon)  # type: ignore[no-untyped-call]
    x, weight = x.detach(), weight.detach()
    out.again = lambda: (x * _inverse(x, epsilon)).mul_(weight)  # type: ignore[attr-defined]
    return out


def keep_less(model: torch.nn.Module) -> None:
    """Let a model's norms compute by `norm`, class by class, where that gives their own numbers. Weights in half
    precision are left alone: their norms compute in float32."""
    known: dict[type, bool] = {}
    for module in model.modules():
        if [name for name, _ in module.named_parameters()] == ["weight"] and _epsilon(module):
            kind = type(module)
            if kind not in known:
                known[kind] = _same(module)
            if known[kind]:
                module.forward = norm.__get__(module)


def _epsilon(module: Any) -> float:
    """What transformers calls it differs; 0.0 where there is none."""
    return float(getattr(module, "variance_epsilon", None) or getattr(module, "eps", None) or 0.0)


def _same(module: Any) -> bool:
    """Whether `norm` gives what the layer itself gives, but for rounding (to float32, whatever the weights' dtype)."""
    weight = module.weight
    if weight.dim() != 1 or weight.dtype not in (torch.float32, torch.float64):
        return False
    generator = torch.Generator().manual_seed(0)
    x = (3 * torch.randn(2, 5, len(weight), generator=generator) + 1).to(weight)
    held = weight.detach().clone()
    with torch.no_grad():
        weight.copy_(torch.rand(weight.shape, generator=generator).to(weight) + 0.5)  # ones or zeros would tell nothing
        try:
            return torch.allclose(module(x), norm(module, x), rtol=1e-5, atol=1e-6)
        except (TypeError, RuntimeError, ValueError):
            return False
        finally:
            weight.copy_(held)
