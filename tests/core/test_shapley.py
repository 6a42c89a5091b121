"""Shapley values by their axioms and by closed forms, on games whose answer is known beforehand."""

import itertools
import math
from collections.abc import Callable
from fractions import Fraction
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from truing.core.shapley import coalitions, first_and_last, shapley

Worth = Callable[[frozenset[int]], float]


def members(mask: int) -> frozenset[int]:
    return frozenset(place for place in range(mask.bit_length()) if mask >> place & 1)


def game(players: int, worth: Worth) -> NDArray[np.float64]:
    return np.array([worth(members(mask)) for mask in range(1 << players)], dtype=float)


def by_orders(table: NDArray[np.float64], players: int) -> list[Fraction]:
    """The definition, in whole numbers: the mean gain over all orders of coming."""
    gains = [Fraction(0)] * players
    for order in itertools.permutations(range(players)):
        mask = 0
        for player in order:
            gains[player] += Fraction(table[mask | 1 << player]) - Fraction(table[mask])
            mask |= 1 << player
    return [gain / math.factorial(players) for gain in gains]


@st.composite
def games(draw: st.DrawFn) -> tuple[int, NDArray[np.float64]]:
    players = draw(st.integers(1, 5))
    worths = st.lists(st.integers(-20, 20), min_size=1 << players, max_size=1 << players)
    return players, np.array(draw(worths), dtype=float)


@given(games())
def test_it_is_the_mean_over_all_orders_and_efficient(drawn: tuple[int, NDArray[np.float64]]) -> None:
    players, table = drawn
    found = shapley(table, players)
    assert found == pytest.approx([float(value) for value in by_orders(table, players)])
    assert found.sum() == pytest.approx(table[-1] - table[0], abs=1e-12)


@given(games(), st.integers(0, 4), st.floats(-5, 5))
def test_a_dummy_gets_what_it_always_adds(drawn: tuple[int, NDArray[np.float64]], place: int, adds: float) -> None:
    players, table = drawn
    dummy = place % players
    for mask in range(len(table)):
        if mask >> dummy & 1:
            table[mask] = table[mask ^ 1 << dummy] + adds
    assert shapley(table, players)[dummy] == pytest.approx(adds, abs=1e-9)


@given(games(), st.randoms(use_true_random=False))
def test_names_do_not_matter_and_two_that_do_the_same_get_the_same(
    drawn: tuple[int, NDArray[np.float64]], random: Random
) -> None:
    players, table = drawn
    order = list(range(players))
    random.shuffle(order)
    renamed = np.empty_like(table)
    for mask in range(len(table)):
        renamed[sum(1 << order[player] for player in members(mask))] = table[mask]
    assert shapley(renamed, players)[order] == pytest.approx(shapley(table, players), abs=1e-9)
    sizes = game(players, lambda inside: len(inside) ** 2)  # worth by number alone
    assert shapley(sizes, players) == pytest.approx([players] * players)


def test_games_add_up_and_every_place_of_an_array_is_a_game() -> None:
    random = np.random.default_rng(0)
    a, b = random.normal(size=(2, 16, 3, 7))
    both = shapley(a + 2 * b, 4)
    assert both.shape == (4, 3, 7)
    assert both == pytest.approx(shapley(a, 4) + 2 * shapley(b, 4))
    assert both[:, 1, 2] == pytest.approx(shapley(a[:, 1, 2] + 2 * b[:, 1, 2], 4))
    assert both.mean(axis=(1, 2)) == pytest.approx(shapley((a + 2 * b).mean(axis=(1, 2)), 4))


def test_closed_forms() -> None:
    # gloves: two left ones and one right one, a pair is worth 1 (Shapley 1953: 1/6, 1/6, 2/3)
    gloves = game(3, lambda inside: float(2 in inside and bool(inside & {0, 1})))
    assert shapley(gloves, 3) == pytest.approx([1 / 6, 1 / 6, 2 / 3])
    # weights that add, and each pair's interaction divided in halves
    own, pairs = [2.0, 3.0, -1.0, 0.5], {(0, 1): 5.0, (1, 3): -4.0, (2, 3): 1.0}

    def worth(inside: frozenset[int]) -> float:
        return sum(own[one] for one in inside) + sum(v for (a, b), v in pairs.items() if {a, b} <= inside)

    expected = [own[one] + sum(v for pair, v in pairs.items() if one in pair) / 2 for one in range(4)]
    table = game(4, worth)
    assert shapley(table, 4) == pytest.approx(expected)
    # then the mean of first and last is the value, and nothing is left
    first, last = first_and_last(dict(enumerate(table)), 4)
    assert first == pytest.approx(own)
    assert (first + last) / 2 == pytest.approx(expected)


def test_three_together_are_what_first_and_last_leave() -> None:
    """The control: with an interaction of three, v = 6 where all are there, means of first and last give 3 each."""
    table = game(3, lambda inside: 6.0 * (len(inside) == 3))
    first, last = first_and_last(dict(enumerate(table)), 3)
    assert ((first + last) / 2).tolist() == [3, 3, 3]
    assert shapley(table, 3).tolist() == [2, 2, 2]


def test_worths_that_are_too_few_are_refused() -> None:
    with pytest.raises(ValueError, match="3 worths; 2 players have 4 coalitions"):
        shapley([1.0, 2.0, 3.0], 2)


@pytest.mark.parametrize(("players", "runs"), [(1, 2), (2, 4), (4, 16), (5, 12), (7, 16)])
def test_coalitions_are_all_or_what_first_and_last_need(players: int, runs: int) -> None:
    found = coalitions(players, most=4)
    assert len(found) == len(set(found)) == runs
    assert (found[0], found[-1]) == (0, (1 << players) - 1)
    first_and_last({mask: np.zeros(1) for mask in found}, players)
