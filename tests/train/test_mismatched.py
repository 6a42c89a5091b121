"""Mismatched rows: another prompt's answer, of the row's own label where that can be, and never one too long."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from truing.core.errors import InputError
from truing.engine.tree import TokenSequence
from truing.train.mismatched import mismatched_rows

answers = st.lists(st.tuples(st.integers(1, 4), st.integers(10, 99), st.booleans()), min_size=2, max_size=12)


def row(prompt: int, answer: int) -> TokenSequence:
    return TokenSequence((prompt, prompt, answer), 2)


@given(answers, st.randoms(use_true_random=False))
def test_every_prompt_gets_an_answer_to_another_one_and_of_its_label_if_any_is(drawn, random) -> None:  # type: ignore[no-untyped-def]
    rows, labels = [row(prompt, answer) for prompt, answer, _ in drawn], [label for *_, label in drawn]
    order = random.sample(range(len(rows)), len(rows))
    if len({prompt for prompt, _, _ in drawn}) == 1:
        with pytest.raises(InputError, match=r"row \d+ of \d+ finds none"):
            mismatched_rows(rows, labels, order, context=3)
        return
    for number, found in zip(order, mismatched_rows(rows, labels, order, context=3), strict=True):
        prompt, _, label = drawn[number]
        assert found.ids[:2] == (prompt, prompt)
        assert found.scored_from == 2
        alike = {answer for other, answer, its in drawn if other != prompt and its == label}
        assert found.ids[2] in (alike or {answer for other, answer, _ in drawn if other != prompt})


def test_pairs_side_by_side_get_the_answers_of_the_pair_before_good_for_good() -> None:
    rows = [row(prompt, 10 * prompt + side) for prompt in (1, 2, 3) for side in (0, 1)]
    found = mismatched_rows(rows, [True, False] * 3, range(6), context=3)
    assert [one.ids[::2] for one in found] == [(1, 30), (1, 31), (2, 10), (2, 11), (3, 20), (3, 21)]


def test_an_answer_that_would_pass_the_context_is_passed_over() -> None:
    rows = [row(1, 10), TokenSequence((2, 20, 21), 1), row(3, 30)]
    assert mismatched_rows(rows, [True] * 3, [0, 1, 2], context=3)[2] == row(3, 10)
    with pytest.raises(InputError, match="row 1 of 2 finds none that fits into the context of 3 tokens"):
        mismatched_rows(rows[:2], [True] * 2, [0, 1], context=3)
