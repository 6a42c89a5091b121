"""The merged product of a low-rank layer against PEFT's own computation, as written in the LoRA paper."""

import pytest
import torch
from peft import LoraConfig
from peft.tuners.lora import Linear
from torch import Tensor

from truing.engine import lowrank
from truing.engine.lowrank import LowRankLinear, use_large_products

ROWS = 2 * lowrank._LEAST_ROWS


def layer(bias: bool, dtype: torch.dtype = torch.float64) -> Linear:
    """PEFT's LoRA layer from 12 to 20 units whose A and B are both random."""
    torch.manual_seed(0)
    base = torch.nn.Linear(12, 20, bias=bias, dtype=dtype).requires_grad_(False)
    made = Linear(base, "default", config=LoraConfig(r=3, lora_alpha=5), r=3, lora_alpha=5).to(dtype)
    torch.nn.init.normal_(made.lora_B["default"].weight)
    return made


def results(layer: torch.nn.Module, x: Tensor, upstream: Tensor) -> list[Tensor]:
    """Output and the gradients of input, A and B."""
    x = x.clone().requires_grad_(True)
    out = layer(x)
    wanted = [x, *(value for value in layer.parameters() if value.requires_grad)]
    return [out.detach(), *torch.autograd.grad(out, wanted, upstream)]


@pytest.mark.parametrize("bias", [False, True])
def test_values_and_gradients_are_those_of_the_thin_products(bias: bool) -> None:
    made = layer(bias)
    x, upstream = torch.randn(1, ROWS, 12).double(), torch.randn(1, ROWS, 20).double()
    thin = results(made, x, upstream)
    holder = torch.nn.ModuleList([made])
    use_large_products(holder)
    assert type(holder[0]) is LowRankLinear
    merged = results(made, x, upstream)
    assert any(not torch.equal(one, two) for one, two in zip(thin, merged, strict=True)), "the same code ran twice"
    for one, two in zip(thin, merged, strict=True):
        assert (one - two).abs().max() < 1e-12


def test_without_its_adapter_a_layer_is_the_base() -> None:
    made = layer(bias=False)
    use_large_products(torch.nn.ModuleList([made]))
    x = torch.randn(ROWS, 12).double()
    made.enable_adapters(False)
    assert torch.equal(made(x), made.base_layer(x))


@pytest.mark.parametrize(("rows", "dtype"), [(lowrank._LEAST_ROWS - 1, torch.float64), (ROWS, torch.bfloat16)])
def test_few_rows_and_16_bits_take_the_thin_products(rows: int, dtype: torch.dtype) -> None:
    made = layer(bias=False, dtype=dtype)
    x = torch.randn(rows, 12).to(dtype)
    before = made(x)
    use_large_products(torch.nn.ModuleList([made]))
    assert torch.equal(before, made(x))


def test_16_bits_would_lose_a_small_adapter() -> None:
    """Why they do: the sum rounds to the weight itself, and the adapter would have no effect at all."""
    weight = torch.ones(4, 4, dtype=torch.bfloat16)
    small = torch.full((4, 1), 0.03, dtype=torch.bfloat16)
    assert torch.equal(torch.addmm(weight, small, small.T), weight)
    assert (small @ small.T).abs().min() > 0
