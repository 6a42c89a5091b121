"""From rows to steps: what identifies a run, the order of its batches, and the pass below the adapter."""

import os
import shutil
from collections.abc import Generator, Hashable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from truing.core.config import Config
from truing.core.digest import digest, digest_file
from truing.core.errors import InputError
from truing.core.protocols import Store
from truing.core.records import Progress
from truing.core.twins import together
from truing.engine.adapters import adapter_files
from truing.engine.score import lower_states
from truing.engine.tree import Forest, TokenSequence
from truing.engine.trunk import Trunk
from truing.ledger.disk import sync_folder

_CHANGES_NOTHING = {"checkpoint_every"}


def identity(
    what: str,
    trunk: Trunk,
    rows: Sequence[TokenSequence],
    twins: Sequence[Hashable],
    config: Config,
    seed: int,
    start_from: Path | None = None,
) -> str:
    """A digest of all that a run's result depends on: a checkpoint is taken up by the same run only. Twins count by who
    stands with whom, not by their marks. A trunk without a hash (made in memory) counts by its name."""
    first = {mark: number for number, mark in reversed(list(enumerate(twins)))}
    return digest(
        {
            "what": what,
            "trunk": trunk.sha256 or trunk.name,
            "rows": [[row.ids, row.scored_from] for row in rows],
            "twins": [first[mark] for mark in twins],
            "config": config.model_dump(mode="json", exclude=_CHANGES_NOTHING),
            "seed": seed,
            "start_from": None if start_from is None else [digest_file(file) for file in adapter_files(start_from)],
        }
    )


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


def lower_pass(
    trunk: Trunk, forest: Forest, first: int, store: Store | None, file: Path | None = None
) -> Generator[Progress, None, Tensor]:
    """`lower_states` with its progress as records; returns the states [N, width] before layer `first`. With `file` they
    are kept there instead of in memory and in the store; one that an interrupted run of the same inputs left whole is
    read again."""
    if file is not None:
        return (yield from _lower_pass_on_disk(trunk, forest, first, file))
    for item in lower_states(trunk, forest, first, store):
        if isinstance(item, Tensor):
            return item
        yield Progress(stage="lower layers", done=item[0], total=item[1])
    raise AssertionError("lower_states always ends with the states")


def _lower_pass_on_disk(trunk: Trunk, forest: Forest, first: int, file: Path) -> Generator[Progress, None, Tensor]:
    """The states as a map of a file, which the system may drop from memory at will. Raises `InputError` where the disk
    has no room: a full disk would end the process without a word."""
    shape, size = (len(forest), trunk.head.shape[1]), len(forest) * trunk.head.shape[1] * trunk.dtype.itemsize
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(file.parent).free
        if free < size:
            raise InputError(
                f"{file.parent}: the states below the adapter need {size / 1e9:.1f} GB on the disk, and "
                f"{free / 1e9:.1f} GB is free; make room, or train on fewer rows (limit)"
            )
        staging = file.with_suffix(".writing")
        with staging.open("wb") as out:
            out.truncate(size)
        states = torch.from_file(str(staging), shared=True, size=shape[0] * shape[1], dtype=trunk.dtype).view(shape)
        for item in lower_states(trunk, forest, first, into=states):
            if not isinstance(item, Tensor):
                yield Progress(stage="lower layers", done=item[0], total=item[1])
        del states, item
        with staging.open("rb") as out:
            os.fsync(out.fileno())
        staging.replace(file)
        sync_folder(file.parent)
    return torch.from_file(str(file), shared=True, size=shape[0] * shape[1], dtype=trunk.dtype).view(shape)
