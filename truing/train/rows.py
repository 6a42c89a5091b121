"""From rows to steps: the order of a run's batches, and the pass below the adapter that all of them share."""

from collections.abc import Generator, Hashable, Iterator, Sequence

import numpy as np
from torch import Tensor

from truing.core.protocols import Store
from truing.core.records import Progress
from truing.core.twins import together
from truing.engine.score import lower_states
from truing.engine.tree import Forest
from truing.engine.trunk import Trunk


def steps_in(rows: int, epochs: int, batch_rows: int) -> int:
    """The number of optimiser steps of a run; an epoch's last batch may be smaller."""
    return epochs * -(-rows // batch_rows)


def schedule(
    twins: Sequence[Hashable], epochs: int, batch_rows: int, seed: int
) -> Iterator[tuple[int, float, list[int]]]:
    """(step, epoch so far, row numbers) for a whole run, over `len(twins)` rows. Rows with the same mark in `twins`
    stand side by side, so that one step sees the same words with the opposite aim: what they share cancels in its
    gradient. Each epoch is a fresh permutation that depends on the seed and the epoch alone, so that a resumed run
    takes the very steps that are left."""
    units = together(twins)
    step = 0
    per_epoch = steps_in(len(twins), 1, batch_rows)
    for epoch in range(epochs):
        places = np.random.default_rng([seed, epoch]).permutation(len(units))
        order = [row for place in places for row in units[place]]
        for start in range(0, len(order), batch_rows):
            yield step, step / per_epoch, order[start : start + batch_rows]
            step += 1


def lower_pass(trunk: Trunk, forest: Forest, first: int, store: Store | None) -> Generator[Progress, None, Tensor]:
    """`lower_states` with its progress as records; returns the states [N, width] before layer `first`."""
    for item in lower_states(trunk, forest, first, store):
        if isinstance(item, Tensor):
            return item
        yield Progress(stage="lower layers", done=item[0], total=item[1])
    raise AssertionError("lower_states always ends with the states")
