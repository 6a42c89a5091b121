"""A linear layer with one low-rank adapter, as two large matrix products instead of one large and two thin ones.

PEFT computes y = x Wᵀ + s (x Aᵀ) Bᵀ as written: for every layer two thin products, a scaling and a sum over all rows,
each again in the backward pass. On a CPU they cost a sixth of a step, for a twentieth of its operations. With few ranks
the sum W' = W + s B A is far cheaper than that, so here y = x W'ᵀ, and
    ∂L/∂x = g W',   ∂L/∂A = s (g B)ᵀ x,   ∂L/∂B = s gᵀ (x Aᵀ).
W' is made anew in each pass and never kept: only x is, as for any linear layer, and not even x where it carries `again`
(see `norms.py`), a function that makes it anew.

In 16 bits a small s B A would vanish in the sum, and for a few rows (generation) W' costs more than it saves: both take
PEFT's own way.
"""

from typing import Any

import torch
from peft.tuners.lora import Linear
from torch import Tensor
from torch.autograd.function import once_differentiable

_LEAST_ROWS = 128  # below, making W' costs more than the thin products


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, a: Tensor, b: Tensor, scale: float) -> Tensor:
        ctx.scale, ctx.again = scale, getattr(x, "again", None)
        ctx.save_for_backward(None if ctx.again else x, weight, a, b)
        return torch.nn.functional.linear(x, torch.addmm(weight, b, a, alpha=scale), bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, None, None, Tensor, Tensor, None]:
        x, weight, a, b = ctx.saved_tensors
        x = ctx.again() if x is None else x
        to_x = gradient @ torch.addmm(weight, b, a, alpha=ctx.scale) if ctx.needs_input_grad[0] else None
        rows_g, rows_x = gradient.reshape(-1, gradient.shape[-1]), x.reshape(-1, x.shape[-1])
        to_a = ((rows_g @ b).mul_(ctx.scale)).T @ rows_x
        to_b = rows_g.T @ (rows_x @ a.T).mul_(ctx.scale)
        return to_x, None, None, to_a, to_b, None


class LowRankLinear(Linear):  # type: ignore[misc]
    """PEFT's LoRA layer with this file's forward and backward where they pay; everything else is PEFT's."""

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """[…, inputs] → […, outputs]."""
        names = [name for name in self.active_adapters if name in self.lora_A]
        base = self.base_layer
        plain = (
            not (args or kwargs or self.disable_adapters or self.merged)
            and len(names) == 1
            and not self.lora_variant
            and not base.weight.requires_grad
            and base.weight.dtype in (torch.float32, torch.float64)
            and x.dtype == base.weight.dtype
            and x.numel() >= _LEAST_ROWS * x.shape[-1]
        )
        if not plain or not isinstance(self.lora_dropout[names[0]], torch.nn.Identity):
            result: Tensor = super().forward(x, *args, **kwargs)
            return result
        a, b = self.lora_A[names[0]], self.lora_B[names[0]]
        if a.bias is not None or b.bias is not None:
            return super().forward(x)  # type: ignore[no-any-return]
        product: Tensor = _Product.apply(x, base.weight, base.bias, a.weight, b.weight, self.scaling[names[0]])  # type: ignore[no-untyped-call]
        return product


def use_large_products(model: torch.nn.Module) -> None:
    """Give the LoRA layers of linear layers in a model this file's forward. Calling it again changes nothing."""
    for module in model.modules():
        if type(module) is Linear and isinstance(module.base_layer, torch.nn.Linear):
            module.__class__ = LowRankLinear
