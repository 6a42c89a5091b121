"""Will a run fit into memory? Predicted before its first pass; smaller micro-batches where it would not.

The peak of what the process does not hold yet:

    weights (mapped from their file: the system counts them as free to drop, but they are needed)
      +  trained numbers × (gradient + AdamW's two averages)  +  lower states  +  the larger of
      preparing: a pass without gradient, or the copies made while the store takes or gives the lower states
      training:  what every trained layer keeps of the largest micro-batch, one layer's gradients, tiles of logits

Micro-batches are halved until the run fits: a result depends on them by rounding only. Where one row or pair alone does
not fit, the lower states go to a file; where that is not enough either, the run is refused.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from torch.nn import Parameter

from truing.core.errors import InputError
from truing.engine.memory import SLACK, Shape, available_bytes
from truing.engine.score import TOKENS_AT_ONCE, batches
from truing.engine.tree import Forest, Ints
from truing.engine.trunk import Trunk
from truing.train.checkpoint import Checkpoints
from truing.train.records import TrainStart

STATES_AT_ONCE = 3  # lower states, while the store takes or gives them: themselves, their file's bytes, and a copy
_OPTIMISER = 3  # numbers for each trained one: its gradient and AdamW's two averages


@dataclass(frozen=True)
class Fit:
    """What a run will use, and the predicted peak above what the process holds, in bytes (None: not predicted)."""

    microbatch_tokens: int
    lower_on_disk: bool
    needed: int | None
    available: int


@dataclass(frozen=True)
class Load:
    """What is to be trained: `order` holds each step's rows, each of `group` sequences of the forest; `layers` carry an
    adapter; `weights` and `trained` count the model's numbers and those that are trained."""

    shape: Shape
    forest: Forest
    order: Sequence[Sequence[int]]
    group: int
    layers: int
    weights: int
    trained: int

    def peak(self, tokens: int, lower_on_disk: bool = False) -> int:
        """The predicted peak, in bytes, with micro-batches of at most `tokens`."""
        states = self.shape.states(len(self.forest))
        copies = (STATES_AT_ONCE - 1) * states
        if lower_on_disk:
            states = copies = 0
        passing = max(self.shape.passing(piece) for piece in self._largest(TOKENS_AT_ONCE))
        training = max(
            self.layers * self.shape.kept(piece) + self.shape.passing(piece) for piece in self._largest(tokens)
        )
        fixed = _OPTIMISER * self.trained * self.shape.itemsize
        weights = self.weights * self.shape.itemsize
        return weights + states + max(copies, round(SLACK * (fixed + max(passing, training))))

    def smallest(self) -> int:
        """The nodes of the largest row alone: no micro-batch can be smaller."""
        return max(len(self._nodes([row])) for row in range(len(self.forest.paths) // self.group))

    def _largest(self, tokens: int) -> list[Forest]:
        """The micro-batches that may need the most: the largest by nodes, and by the depths of its nodes together."""
        parts = [part for batch in self.order for part in batches(self.forest, batch, tokens, self.group)]
        nodes = [self._nodes(part) for part in parts]
        size = max(range(len(parts)), key=lambda number: len(nodes[number]))
        deep = max(range(len(parts)), key=lambda number: int(self.forest.depth[nodes[number]].sum()))
        return [self.forest.select(self._sequences(parts[number])) for number in {size, deep}]

    def _sequences(self, part: Sequence[int]) -> list[int]:
        return [row * self.group + member for row in part for member in range(self.group)]

    def _nodes(self, part: Sequence[int]) -> Ints:
        return np.unique(np.concatenate([self.forest.paths[number] for number in self._sequences(part)]))


def load_of(
    trunk: Trunk,
    forest: Forest,
    order: Sequence[Sequence[int]],
    group: int,
    first: int,
    parameters: Mapping[str, Parameter],
) -> Load | None:
    """The load of training a trunk's layers from `first` on; None where it cannot be told: on the padded path, which
    pads by itself, and on a GPU, whose memory is another."""
    if trunk.padded or trunk.device.type != "cpu":
        return None
    shape = Shape.of(trunk.model.config, trunk.dtype.itemsize)
    weights = sum(parameter.numel() for parameter in trunk.model.parameters())
    trained = sum(parameter.numel() for parameter in parameters.values())
    return Load(shape, forest, order, group, len(trunk.layers) - first, weights, trained)


def begin(load: Load | None, kept: Checkpoints, asked_tokens: int, may_use_disk: bool = True) -> TrainStart:
    """Settle a run's micro-batches: those of its checkpoint where it has one and they fit, so that it ends in the bits
    of a run that was never killed. Lower states go to a file only where `may_use_disk`: rows that change with every
    iteration are not worth one. Raises `InputError` where the run cannot fit."""
    tokens = kept.microbatch_tokens or asked_tokens
    if load is None:
        found = Fit(tokens, lower_on_disk=False, needed=None, available=available_bytes())
    else:
        found = fit(load, tokens, may_use_disk=may_use_disk and kept.path is not None)
    kept.begin(found.microbatch_tokens)
    return TrainStart(
        done=kept.done,
        computed=kept.computed,
        microbatch_tokens=found.microbatch_tokens,
        asked_tokens=asked_tokens,
        needed_bytes=found.needed,
        available_bytes=found.available,
        lower_on_disk=found.lower_on_disk,
    )


def fit(load: Load, tokens: int, may_use_disk: bool) -> Fit:
    """The largest micro-batches, at most `tokens`, with which the run fits. Raises `InputError` where none do."""
    available, smallest = available_bytes(), load.smallest()
    for lower_on_disk in (False, True) if may_use_disk else (False,):
        allowed = tokens
        while (needed := load.peak(allowed, lower_on_disk)) > available and allowed > smallest:
            allowed = max(allowed // 2, smallest)
        if needed <= available:
            return Fit(allowed, lower_on_disk, needed, available)
    raise InputError(
        f"training needs {gigabytes(needed)} of memory even with one row or pair at a time ({smallest} tokens in the "
        f"largest), and {gigabytes(available)} is available: shorten the longest rows, lower adapter.upper_layers "
        f"({load.layers} layers are trained), or free memory"
    )


def gigabytes(count: int) -> str:
    """Bytes as people read them."""
    return f"{count / 1e9:.2f} GB" if count >= 1e8 else f"{count / 1e6:.1f} MB"
