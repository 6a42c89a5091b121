"""Gated layers that keep less: the same numbers, fewer bytes, and no layer that computes something else."""

import copy
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from truing.engine.gated import keep_less


class Gated(torch.nn.Module):
    """A layer as transformers writes it; `doubled` makes it one of another kind."""

    def __init__(self, doubled: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.gate_proj, self.up_proj = torch.nn.Linear(6, 40).double(), torch.nn.Linear(6, 40).double()
        self.down_proj, self.act_fn = torch.nn.Linear(40, 6).double(), torch.nn.SiLU()
        self.factor = 2 if doubled else 1

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.down_proj(self.act_fn(self.gate_proj(x)) * self.up_proj(x)) * self.factor
        return out


def results(layer: torch.nn.Module) -> list[Tensor]:
    """Output and the gradients of the input and of every weight."""
    x = torch.randn(1, 9, 6, generator=torch.Generator().manual_seed(1)).double().requires_grad_(True)
    out = layer(x)
    return [out.detach(), *torch.autograd.grad(out.square().sum(), [x, *layer.parameters()])]


def kept(layer: torch.nn.Module) -> int:
    """Numbers of distinct tensors, parameters left out, that are kept for the backward pass."""
    weights = {value.untyped_storage().data_ptr() for value in layer.parameters()}
    held: dict[int, Any] = {}

    def note(tensor: Tensor) -> Tensor:
        held[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with saved_tensors_hooks(note, lambda tensor: tensor):
        layer(torch.ones(1, 9, 6).double().requires_grad_(True))
    return sum(tensor.numel() for key, tensor in held.items() if key not in weights)


def test_values_and_gradients_are_the_layers_own_and_less_is_kept() -> None:
    own = Gated()
    less = copy.deepcopy(own)
    keep_less(less)
    assert "forward" in vars(less)
    for one, two in zip(results(own), results(less), strict=True):
        assert (one - two).abs().max() < 1e-12
    assert kept(less) <= kept(own) - 2 * 9 * 40


def test_a_layer_that_computes_something_else_is_left_alone() -> None:
    other = Gated(doubled=True)
    keep_less(other)
    assert "forward" not in vars(other)
