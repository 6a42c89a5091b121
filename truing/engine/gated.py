"""Gated feed-forward layers that keep two wide states for the backward pass instead of four.

    y = W_down (act(W_gate x) ⊙ W_up x)

Autograd keeps the gate, its activation, the other branch and their product. Gate and branch are enough: the activation
and the product are computed again when they are needed, which costs one pass over the elements and saves a quarter of
what a layer keeps.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.autograd.graph import saved_tensors_hooks


class _Gated(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, gate: Tensor, up: Tensor, activation: Any) -> Tensor:
        ctx.save_for_backward(gate, up)
        ctx.activation = activation
        product: Tensor = activation(gate) * up
        return product

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        gate, up = (tensor.detach() for tensor in ctx.saved_tensors)
        gate.requires_grad_(True)
        with torch.enable_grad():
            active = ctx.activation(gate)
        to_up = gradient * active.detach()
        (to_gate,) = torch.autograd.grad(active, gate, gradient * up)
        return to_gate, to_up, None


def feed_forward(module: Any, x: Tensor) -> Tensor:
    """The layer's own y, [..., width] → [..., width]."""
    gate, up = module.gate_proj(x), module.up_proj(x)
    if not torch.is_grad_enabled() or not gate.requires_grad:
        return module.down_proj(module.act_fn(gate) * up)  # type: ignore[no-any-return]
    product: Tensor = _Gated.apply(gate, up, module.act_fn)  # type: ignore[no-untyped-call]
    gate, up, address, size = gate.detach(), up.detach(), product.data_ptr(), product.numel()

    def keep(tensor: Tensor) -> Tensor | torch.Size:
        """The product itself, in whatever shape it is looked at, is not kept: its shape is."""
        mine = tensor.data_ptr() == address and tensor.numel() == size and tensor.is_contiguous()
        return tensor.shape if mine else tensor.detach()

    def give(kept: Tensor | torch.Size) -> Tensor:
        return (module.act_fn(gate) * up).reshape(kept) if isinstance(kept, torch.Size) else kept

    with saved_tensors_hooks(keep, give):
        return module.down_proj(product)  # type: ignore[no-any-return]


def keep_less(model: torch.nn.Module) -> None:
    """Let the gated layers of a model compute by `feed_forward`, class by class, where that gives their own numbers."""
    parts = {"gate_proj", "up_proj", "down_proj", "act_fn"}
    known: dict[type, bool] = {}
    for module in model.modules():
        if parts <= {name for name, _ in module.named_children()}:
            kind = type(module)
            if kind not in known:
                known[kind] = _same(module)
            if known[kind]:
                module.forward = feed_forward.__get__(module)


def _same(module: Any) -> bool:
    """Whether `feed_forward` gives what the layer itself gives."""
    weight = module.gate_proj.weight
    with torch.no_grad():
        x = torch.randn(2, 3, weight.shape[1], generator=torch.Generator().manual_seed(0)).to(weight)
        try:
            return torch.equal(module(x), feed_forward(module, x))
        except (TypeError, RuntimeError):
            return False
