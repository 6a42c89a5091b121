"""A scalar head: the state of a token after the final norm → one number. A reward at an answer's last token, or a value
at every token (what a policy gradient subtracts). The output layer over the vocabulary never runs.

On disk it stands beside an adapter in PEFT's form (`adapters.py`), whose truing.json names the trunk of both.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import Parameter

from truing.core.errors import InputError
from truing.engine.score import TOKENS_AT_ONCE, batches
from truing.engine.tree import Forest, Ints
from truing.engine.trunk import Trunk

FILE = "head.safetensors"


@dataclass(frozen=True)
class ScalarHead:
    """v = w · h + b: weight [width], bias []; float32 at least, whatever the trunk's dtype."""

    weight: Parameter
    bias: Parameter

    def __call__(self, hidden: Tensor) -> Tensor:
        """States [..., width] → [...]."""
        return hidden.to(self.weight.dtype) @ self.weight + self.bias

    def parameters(self) -> dict[str, Parameter]:
        """Its parameters by name, as an adapter's (`adapters.adapter_parameters`)."""
        return {"head.weight": self.weight, "head.bias": self.bias}


def new_head(trunk: Trunk, seed: int, scale: float = 0.0) -> ScalarHead:
    """A head whose weight is drawn from N(0, scale² / (width + 1)), as Stiennon et al. 2020 (arXiv:2009.01325) do with
    scale 1; 0 begins at zero. Its bias is 0."""
    width = trunk.head.shape[1]
    dtype = torch.promote_types(trunk.dtype, torch.float32)
    drawn = torch.randn(width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    weight = (drawn * scale / math.sqrt(width + 1)).to(trunk.device, dtype)
    return ScalarHead(Parameter(weight), Parameter(torch.zeros((), device=trunk.device, dtype=dtype)))


def values_at(
    trunk: Trunk, head: ScalarHead, forest: Forest, nodes: Ints, below: Tensor | None = None, start: int = 0
) -> Tensor:
    """The head's values [nodes] at some nodes of a forest; a node may be named several times. `below` [N, width], if
    given, are all its nodes' states before layer `start`. Differentiable in the head and the adapter in use."""
    hidden = trunk.run_forest(forest, start=start, below=below)
    return head(trunk.norm(hidden.index_select(0, trunk.tensor(nodes))))


def end_values(
    trunk: Trunk, head: ScalarHead, forest: Forest, below: Tensor | None = None, start: int = 0
) -> Iterator[tuple[list[int], Tensor]]:
    """The value [sequences] at each sequence's last token, in parts: yields (numbers of sequences, their values), in
    order and without gradients."""
    for part in batches(forest, range(len(forest.paths)), TOKENS_AT_ONCE):
        piece = forest.select(part)
        states = None if below is None else below[torch.from_numpy(piece.source)]
        with torch.no_grad():  # never across a yield: the caller would run without gradients, too
            found = values_at(trunk, head, piece, ends(piece), states, start)
        yield part, found


def ends(forest: Forest) -> Ints:
    """[sequences] the node of each sequence's last token: of an encoded answer, its end of turn."""
    return np.array([path[-1] for path in forest.paths], dtype=np.int64)


def save_head(head: ScalarHead, folder: Path) -> None:
    """Write head.safetensors into an adapter's folder."""
    tensors = {"weight": head.weight.detach().cpu().contiguous(), "bias": head.bias.detach().cpu()}
    save_file(tensors, folder / FILE, {"format": "pt"})


def load_head(trunk: Trunk, folder: Path) -> ScalarHead:
    """Read a folder's head onto a trunk. Raises `InputError` where it is missing, damaged, or of another width."""
    path, width = folder / FILE, trunk.head.shape[1]
    if not path.is_file():
        raise InputError(
            f"{folder}: {FILE} is missing, so this adapter has no scalar head and is no reward model; "
            "train one with `truing train reward`"
        )
    try:
        tensors = load_file(path, device=str(trunk.device))
    except SafetensorError as error:
        raise InputError(f"{path}: the file is damaged ({error}); fetch it again, or train the model anew") from None
    if {name: tuple(tensor.shape) for name, tensor in tensors.items()} != {"weight": (width,), "bias": ()}:
        found = ", ".join(f"{name} {list(tensor.shape)}" for name, tensor in sorted(tensors.items()))
        raise InputError(
            f"{path}: the head does not fit: it holds {found}, and {trunk.name} needs bias [], weight [{width}]; "
            "load it on its own base"
        )
    return ScalarHead(Parameter(tensors["weight"], False), Parameter(tensors["bias"], False))
