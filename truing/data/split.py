"""Which rows training does not see: whole topics drawn by a seed, or a fixed split that the rows' content decides."""

import hashlib
from collections.abc import Sequence

import numpy as np

from truing.core.digest import canonical_json
from truing.core.records import Comparison
from truing.data.groups import Groups

Parts = tuple[list[Comparison], list[Comparison]]


def by_topics(rows: Sequence[Comparison], held_out: float, seed: int) -> Parts:
    """(training, held out): topics, in an order drawn by the seed, until `held_out` (a share, or from 1 on a number) of
    the rows is held out. Rows without a topic are topics of their own."""
    wanted = held_out if held_out >= 1 else held_out * len(rows)
    topics = sorted({row.topic or row.id for row in rows})
    held: set[str] = set()
    count = 0
    for number in np.random.default_rng(seed).permutation(len(topics)):
        if count >= wanted:
            break
        held.add(topics[number])
        count += sum((row.topic or row.id) == topics[number] for row in rows)
    return _parted(rows, [(row.topic or row.id) in held for row in rows])


def by_content(rows: Sequence[Comparison], held_out: float) -> Parts:
    """(training, held out), decided by the sha256 of each row's prompt alone: no seed, order, or other row matters.

    Rows with one prompt, pair or topic go together, with the smallest of their hashes. A share takes every group whose
    hash lies below it (in [0, 1)), so a group stays where it is whatever is added. A number takes groups from the
    smallest hash on, leaving out one that would go beyond it: exactly so many rows wherever single rows are left.
    """
    groups = Groups(len(rows))
    groups.join_equal([row.prompt for row in rows])
    groups.join_equal([row.topic or None for row in rows])
    groups.join_equal([row.pair for row in rows])
    place = [_place(row) for row in rows]
    held = [False] * len(rows)
    left = held_out
    for members in sorted(groups.members(), key=lambda members: min(place[row] for row in members)):
        if held_out < 1:
            taken = min(place[row] for row in members) < held_out
        else:
            taken = len(members) <= left
            left -= len(members) * taken
        for row in members:
            held[row] = taken
    return _parted(rows, held)


def _place(row: Comparison) -> float:
    """The hash of a row's prompt as a number in [0, 1)."""
    sha = hashlib.sha256(canonical_json(list(row.prompt))).digest()
    return int.from_bytes(sha[:6]) / 2**48


def _parted(rows: Sequence[Comparison], held: Sequence[bool]) -> Parts:
    train = [row for row, out in zip(rows, held, strict=True) if not out]
    return train, [row for row, out in zip(rows, held, strict=True) if out]
