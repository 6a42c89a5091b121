"""To what a difference is owed: Shapley values of a game of few players, and the first and last steps of any number.

A game says what every coalition S of k players is worth, v(S). Its value to a player (Shapley 1953, "A value for
n-person games") is the mean, over all orders in which players may come, of what the worth gains as that player comes:

    φ_i = Σ_{S without i} |S|! (k − 1 − |S|)! / k! · (v(S with i) − v(S))

It is the only attribution that is efficient (Σ φ_i = v(all) − v(none)), symmetric, zero for players that change
nothing, and additive in v. A coalition is a bit mask: player i is in it where bit i is set. Knows numbers only; a worth
may be an array (of items, say), whose every place is a game of its own.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def shapley(worth: Sequence[Array] | Array, players: int) -> Array:
    """The values [players, …] of a game whose worth [2^players, …] is told by bit mask.

    Weights are whole numbers and divided by k! at the end: where worths are whole numbers, efficiency is exact.
    """
    table = np.asarray(worth, dtype=float)
    if len(table) != 1 << players:
        raise ValueError(f"{len(table)} worths; {players} players have {1 << players} coalitions")
    found = np.zeros((players, *table.shape[1:]))
    for coalition in range(len(table)):
        inside = coalition.bit_count()
        weight = math.factorial(inside) * math.factorial(max(0, players - 1 - inside))
        for player in range(players):
            if not coalition >> player & 1:
                found[player] += weight * (table[coalition | 1 << player] - table[coalition])
    return found / math.factorial(players)


def first_and_last(worth: Mapping[int, Array], players: int) -> tuple[Array, Array]:
    """What each player brings as the first one to come, and as the last one; both [players, …]. Needs the worths of
    none, each alone, all, and all but each.

    Their mean is the Shapley value where players interact in pairs only: then first = v_i, last = v_i + Σ_j v_ij, and
    φ_i = v_i + ½ Σ_j v_ij. What the means leave of the whole is owed to interactions of three players and more.
    """
    whole = (1 << players) - 1
    first = [worth[1 << player] - worth[0] for player in range(players)]
    last = [worth[whole] - worth[whole ^ 1 << player] for player in range(players)]
    return np.array(first), np.array(last)


def coalitions(players: int, most: int) -> list[int]:
    """The coalitions to measure: all of them for up to `most` players, beyond that those of `first_and_last`. Smaller
    ones come first."""
    whole = (1 << players) - 1
    if players <= most:
        found = set(range(whole + 1))
    else:
        found = (
            {0, whole} | {1 << player for player in range(players)} | {whole ^ 1 << player for player in range(players)}
        )
    return sorted(found, key=lambda coalition: (coalition.bit_count(), coalition))
