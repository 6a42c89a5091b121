"""Rows that belong together (twins: the same words with the opposite aim) are kept or left out as one."""

from collections.abc import Hashable, Sequence

import numpy as np


def together(marks: Sequence[Hashable]) -> list[list[int]]:
    """The numbers of the rows with one mark, in the order in which marks first appear."""
    units: dict[Hashable, list[int]] = {}
    for row, mark in enumerate(marks):
        units.setdefault(mark, []).append(row)
    return list(units.values())


def sample(marks: Sequence[Hashable], limit: int | None, seed: int) -> list[int]:
    """The numbers of about `limit` rows, drawn by the seed, in their order, twins together (None: all of them)."""
    if limit is None or limit >= len(marks):
        return list(range(len(marks)))
    units = together(marks)
    kept: list[int] = []
    for place in np.random.default_rng(seed).permutation(len(units)):
        if len(kept) >= limit:
            break
        kept += units[place]
    return sorted(kept)
