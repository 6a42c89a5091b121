"""Norms that keep less: the same numbers, fewer bytes, and no layer that computes something else."""

import copy

import pytest
import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from transformers.models.gemma2.modeling_gemma2 import Gemma2RMSNorm
from transformers.models.llama.modeling_llama import LlamaRMSNorm

from tests.engine.test_lowrank import ROWS, layer
from truing.engine.lowrank import use_large_products
from truing.engine.norms import keep_less


class Norm(torch.nn.Module):
    """The paper's equation, in single operations and whatever dtype the weights have."""

    def __init__(self) -> None:
        super().__init__()
        self.eps = 1e-3
        self.weight = torch.nn.Parameter(torch.linspace(-1, 2, 12).double())

    def forward(self, x: Tensor) -> Tensor:
        return self.weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.eps))


def results(layer: torch.nn.Module) -> list[Tensor]:
    """Output and the gradients of the input and of every trained weight."""
    x = torch.randn(1, ROWS, 12, generator=torch.Generator().manual_seed(1)).double().requires_grad_(True)
    out = layer(x)
    wanted = [x, *(value for value in layer.parameters() if value.requires_grad)]
    return [out.detach(), *torch.autograd.grad(out.sin().sum(), wanted)]


@pytest.mark.parametrize("trained", [False, True])
def test_values_and_gradients_are_the_layers_own(trained: bool) -> None:
    own = Norm().requires_grad_(trained)
    less = copy.deepcopy(own)
    keep_less(less)
    assert "forward" in vars(less)
    for one, two in zip(results(own), results(less), strict=True):
        assert (one - two).abs().max() < 1e-12


def test_a_low_rank_layer_keeps_nothing_of_its_own_behind_a_norm() -> None:
    own = torch.nn.Sequential(Norm().requires_grad_(False), layer(bias=False))
    use_large_products(own)
    less = copy.deepcopy(own)
    keep_less(less)
    for one, two in zip(results(own), results(less), strict=True):
        assert (one - two).abs().max() < 1e-12
    assert kept(own, ROWS) - kept(less, ROWS) == ROWS * 12


def kept(layer: torch.nn.Module, rows: int) -> int:
    """Numbers of distinct tensors of so many rows that are kept for the backward pass."""
    held: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        if rows in tensor.shape:
            held[tensor.untyped_storage().data_ptr()] = tensor.numel()
        return tensor

    with saved_tensors_hooks(note, lambda tensor: tensor):
        out = layer(torch.ones(1, rows, 12).double().requires_grad_(True))  # held: a freed place is given anew
        assert out.requires_grad
        return sum(held.values())


def test_a_frozen_norm_passes_gradcheck() -> None:
    layer = Norm().requires_grad_(False)
    keep_less(layer)
    torch.autograd.gradcheck(layer, torch.randn(2, 3, 12, dtype=torch.float64, requires_grad=True))


def test_transformers_own_norms_are_known_and_others_left_alone() -> None:
    llama, gemma, layer_norm = LlamaRMSNorm(6, eps=1e-5), Gemma2RMSNorm(6), torch.nn.LayerNorm(6, bias=False)
    half = LlamaRMSNorm(6).bfloat16()
    for module in (llama, gemma, layer_norm, half):
        before = module.weight.detach().clone()
        keep_less(module)
        assert torch.equal(module.weight, before)
    assert [("forward" in vars(module)) for module in (llama, gemma, layer_norm, half)] == [True, False, False, False]
