"""The critic's head: one number from each hidden state, V(s) = w · h + b, h after the final norm.

It starts at zero: a new critic expects nothing, and says so until it has learned. On disk it is head.safetensors beside
the adapter whose states it reads.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import Parameter

from truing.core.errors import InputError
from truing.engine.trunk import Trunk

FILE = "head.safetensors"


@dataclass(frozen=True)
class ValueHead:
    """weight [width], bias []; float32 at least, whatever the trunk's dtype."""

    weight: Parameter
    bias: Parameter

    def __call__(self, hidden: Tensor) -> Tensor:
        """States [..., width] → [...]."""
        return hidden.to(self.weight.dtype) @ self.weight + self.bias

    def parameters(self) -> dict[str, Parameter]:
        """Its parameters by name."""
        return {"head.weight": self.weight, "head.bias": self.bias}


def new_head(trunk: Trunk) -> ValueHead:
    """A head that says 0."""
    dtype = torch.promote_types(trunk.dtype, torch.float32)
    shapes = (trunk.head.shape[1],), ()
    weight, bias = (Parameter(torch.zeros(shape, device=trunk.device, dtype=dtype)) for shape in shapes)
    return ValueHead(weight, bias)


def load_head(trunk: Trunk, folder: Path) -> ValueHead:
    """Read a folder's head onto a trunk. Raises `InputError` where it is missing or of another width."""
    path, width = folder / FILE, trunk.head.shape[1]
    if not path.is_file():
        raise InputError(f"{folder}: {FILE} is missing, so there is no critic to begin with; leave critic_from out")
    tensors = load_file(path, device=str(trunk.device))
    if {name: tuple(tensor.shape) for name, tensor in tensors.items()} != {"weight": (width,), "bias": ()}:
        found = ", ".join(f"{name} {list(tensor.shape)}" for name, tensor in sorted(tensors.items()))
        raise InputError(
            f"{path}: the head does not fit: it holds {found}, and {trunk.name} needs bias [], weight [{width}]; "
            "begin with one of its own base"
        )
    return ValueHead(Parameter(tensors["weight"]), Parameter(tensors["bias"]))
