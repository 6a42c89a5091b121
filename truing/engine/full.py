"""Full fine-tuning beside the frozen trunk: trained copies of whole weights, put in place and taken out again.

A copy is made of every tensor that may change and of no other; while it is in use the modules hold it instead of the
trunk's own, so that the bare trunk stays at hand as the reference. Memory is one more copy of those tensors, and in
training their gradients and AdamW's two moments: four times their size beside the trunk. On disk: the changed tensors.
"""

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors.torch import load_file, save_file
from torch.nn import Module, Parameter

from truing.core.errors import InputError

if TYPE_CHECKING:
    from truing.engine.trunk import Trunk

WEIGHTS = "full.safetensors"


@dataclass
class FullWeights:
    """Trained tensors by name, the trunk's own, and the modules that hold each (tied weights are held by several)."""

    own: dict[str, Parameter]
    base: dict[str, Parameter]
    places: dict[str, list[tuple[Module, str]]]

    def put(self, weights: dict[str, Parameter]) -> None:
        """Let the modules hold these weights."""
        for name, parameter in weights.items():
            for module, leaf in self.places[name]:
                setattr(module, leaf, parameter)


def switch(trunk: "Trunk", name: str | None) -> None:
    """Put the full weights `name` in use, or none of them."""
    if trunk.full_in_use is not None:
        trunk.full[trunk.full_in_use].put(trunk.full[trunk.full_in_use].base)
    if name is not None:
        trunk.full[name].put(trunk.full[name].own)
    trunk.full_in_use = name


def add(trunk: "Trunk", name: str, names: list[str]) -> None:
    """Copy the tensors `names` of the trunk as full weights `name`, and put them in use.

    Raises `InputError` where the trunk carries low-rank adapters, or its weights are of half precision.
    """
    if trunk.peft is not None:
        raise InputError("full fine-tuning needs the trunk without low-rank adapters; remove them first")
    if trunk.dtype not in (torch.float32, torch.float64):
        raise InputError(
            f"full fine-tuning needs dtype float32: steps smaller than {trunk.dtype}'s spacing would be lost; "
            "load the model so, or train a low-rank adapter"
        )
    switch(trunk, None)
    places, base = _places(trunk), dict(trunk.model.named_parameters())
    own = {key: Parameter(base[key].detach().clone(), requires_grad=False) for key in names}
    trunk.full[name] = FullWeights(own, {key: base[key] for key in names}, {key: places[key] for key in names})
    switch(trunk, name)


def names_above(trunk: "Trunk", first: int | None) -> list[str]:
    """The tensors of the layers from `first` on and of the final norm; None: every tensor of the model."""
    if first is None:
        return [name for name, _ in trunk.model.named_parameters()]
    modules = list(trunk.layers[first:])
    if trunk.family is not None:
        modules.append(getattr(trunk.model.base_model, trunk.family.norm))
    wanted = {id(parameter) for module in modules for parameter in module.parameters()}
    return [name for name, parameter in trunk.model.named_parameters() if id(parameter) in wanted]


def first_layer(trunk: "Trunk", name: str) -> int:
    """The lowest layer that full weights may change; 0 where they reach below all layers."""
    mine = set(trunk.full[name].own)
    highest = range(len(trunk.layers), 0, -1)
    return next((first for first in highest if mine <= set(names_above(trunk, first))), 0)


def save(trunk: "Trunk", name: str, folder: Path) -> None:
    """Write the tensors into a folder."""
    tensors = {key: trunk.full[name].own[key].detach().contiguous() for key in sorted(trunk.full[name].own)}
    save_file(tensors, folder / WEIGHTS, {"format": "pt"})


def load(trunk: "Trunk", name: str, folder: Path) -> None:
    """Read a folder's tensors as full weights `name`, and put them in use. Raises `InputError` if they do not fit."""
    add(trunk, name, _fitting(trunk, folder))
    copy(trunk, name, folder)


def copy(trunk: "Trunk", name: str, folder: Path) -> None:
    """Fill full weights from a folder of the same tensors. Raises `InputError` if they are not the same."""
    own = trunk.full[name].own
    if _fitting(trunk, folder) != list(own):
        raise InputError(f"{folder}: {WEIGHTS} holds other tensors than are trained here; use the same upper_layers")
    with torch.no_grad():
        for key, tensor in load_file(folder / WEIGHTS).items():
            own[key].copy_(tensor)


def _fitting(trunk: "Trunk", folder: Path) -> list[str]:
    """The names of a folder's tensors, in the model's order."""
    from safetensors import safe_open

    shapes = {name: list(parameter.shape) for name, parameter in trunk.model.named_parameters()}
    with safe_open(folder / WEIGHTS, framework="pt") as file:
        found = {key: list(file.get_slice(key).get_shape()) for key in file.keys()}  # noqa: SIM118 (safe_open is no dict)
    for key, shape in found.items():
        if shapes.get(key) != shape:
            raise InputError(f"{folder}: {WEIGHTS} holds {key} {shape}, the model {shapes.get(key)}; use its own base")
    return [name for name in shapes if name in found]


def _places(trunk: "Trunk") -> dict[str, list[tuple[Module, str]]]:
    """Where each of the model's tensors is held, by the name under which it is listed once."""
    holders: dict[int, list[tuple[Module, str]]] = defaultdict(list)
    for module in trunk.model.modules():
        for leaf, parameter in module.named_parameters(recurse=False):
            holders[id(parameter)].append((module, leaf))
    return {name: holders[id(parameter)] for name, parameter in trunk.model.named_parameters()}
