"""The critic's head: one number from each hidden state, V(s) = w · h + b, h after the final norm.

It starts at zero: a new critic expects nothing, and says so until it has learned. On disk it is one safetensors file
beside the adapter whose states it reads.
"""

from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from truing.core.errors import InputError

FILE = "value_head.safetensors"


class ValueHead(torch.nn.Module):
    """weight [width], bias [], in the trunk's dtype."""

    def __init__(self, width: int, dtype: torch.dtype, device: torch.device) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(width, dtype=dtype, device=device))
        self.bias = torch.nn.Parameter(torch.zeros((), dtype=dtype, device=device))

    def forward(self, hidden: Tensor) -> Tensor:
        """[..., width] → [...]."""
        return hidden @ self.weight + self.bias


def save_value_head(head: ValueHead, folder: Path) -> None:
    """Write the head into a folder."""
    save_file({name: tensor.detach().contiguous() for name, tensor in head.state_dict().items()}, folder / FILE)


def load_value_head(head: ValueHead, folder: Path) -> None:
    """Fill a head from a folder. Raises `InputError` where there is none, or one of another width."""
    if not (folder / FILE).is_file():
        raise InputError(f"{folder}: {FILE} is missing, so this is not a critic")
    saved = load_file(folder / FILE)
    shapes = {name: list(tensor.shape) for name, tensor in saved.items()}
    wanted = {name: list(tensor.shape) for name, tensor in head.state_dict().items()}
    if shapes != wanted:
        raise InputError(f"{folder}: {FILE} holds {shapes}, but this model needs {wanted}; use its own critic")
    head.load_state_dict(saved)
