"""Descriptions of comparisons: closed forms, and what swapping the answers must do to them."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.data.conftest import assistant, comparison, user
from truing.core.records import Comparison
from truing.data.statistics import describe

lengths = st.lists(st.tuples(st.integers(1, 30), st.integers(1, 30)), min_size=1, max_size=20)


def rows(pairs: list[tuple[int, int]]) -> list[Comparison]:
    """Comparisons of so many words: (chosen, rejected)."""
    return [
        comparison(id=str(number), chosen=" ".join("c" * chosen), rejected=" ".join("r" * rejected))
        for number, (chosen, rejected) in enumerate(pairs)
    ]


def test_counts_by_hand() -> None:
    told = describe(
        [
            comparison(group="harmful", topic="bombs", annotator="ann", chosen="one two three", rejected="one"),
            comparison(group="harmful", topic="bombs", annotator="bob", tie=True),
            comparison(topic="", annotator="", prompt=(user("a b"), assistant("c"), user("d e f"))),
            comparison(group="benign", topic="pipes", annotator="ann"),
        ]
    )
    assert told.rows == 4
    assert told.groups == {"(none)": 1, "benign": 1, "harmful": 2}
    assert (told.topics, told.annotators, told.multi_turn, told.ties) == (2, 2, 1, 1)
    assert (told.median_prompt_words, told.median_chosen_words, told.median_rejected_words) == (1.0, 1.0, 1.0)
    assert told.chosen_longer == (1 + 3 / 2) / 4


def test_the_length_correlation_of_two_lengths_is_its_closed_form() -> None:
    """Chosen answers of a words, rejected ones of b: length says all, and its sign says which are longer."""
    assert describe(rows([(9, 2)] * 5)).length_correlation == pytest.approx(1.0)
    assert describe(rows([(2, 9)] * 5)).length_correlation == pytest.approx(-1.0)
    # k of n pairs turned round: of two equally common lengths, r = 1 − 2k/n.
    assert describe(rows([(9, 2)] * 7 + [(2, 9)] * 3)).length_correlation == pytest.approx(1 - 2 * 3 / 10)


def test_it_is_not_defined_where_all_answers_are_equally_long() -> None:
    told = describe(rows([(4, 4)] * 3))
    assert told.length_correlation is None
    assert told.chosen_longer == 0.5


@given(pairs=lengths)
def test_swapping_the_answers_turns_both_measures_round(pairs: list[tuple[int, int]]) -> None:
    told, swapped = (describe(rows(each)) for each in (pairs, [(r, c) for c, r in pairs]))
    assert told.chosen_longer == pytest.approx(1 - swapped.chosen_longer)
    if told.length_correlation is None:
        assert swapped.length_correlation is None
    else:
        assert swapped.length_correlation == pytest.approx(-told.length_correlation, abs=1e-12)
        both = describe(rows([*pairs, *((r, c) for c, r in pairs)]))
        assert both.length_correlation == pytest.approx(0.0, abs=1e-12)


@given(pairs=lengths)
def test_the_correlation_is_the_point_biserial_formula(pairs: list[tuple[int, int]]) -> None:
    """r = (M₁ − M₀) / (2 s): with equally many chosen and rejected, √(pq) is ½."""
    chosen, rejected = (np.array(side, dtype=float) for side in zip(*pairs, strict=True))
    spread = np.concatenate([chosen, rejected]).std()
    told = describe(rows(pairs)).length_correlation
    if spread == 0:
        assert told is None
    else:
        assert told is not None
        assert math.isclose(told, (chosen.mean() - rejected.mean()) / (2 * spread), abs_tol=1e-12)


def test_equal_lengths_within_pairs_say_nothing() -> None:
    assert describe(rows([(n, n) for n in range(1, 9)])).length_correlation == pytest.approx(0.0, abs=1e-12)
