"""The fixed split: exact numbers, whole groups, and no dependence on order, seed or the other rows."""

import random

from hypothesis import given
from hypothesis import strategies as st

from tests.data.conftest import comparison, user
from truing.core.records import Comparison
from truing.data.split import by_content

marks = st.sampled_from([None, "a", "b", "c"])
made = st.lists(st.tuples(st.integers(0, 20), marks, marks), min_size=1, max_size=40)


def rows(values: list[tuple[int, str | None, str | None]]) -> list[Comparison]:
    return [
        comparison(id=str(number), prompt=(user(f"question {prompt}"),), pair=pair, topic=topic or "")
        for number, (prompt, pair, topic) in enumerate(values)
    ]


def ids(part: list[Comparison]) -> set[str]:
    return {row.id for row in part}


@given(values=made, share=st.floats(0, 0.99) | st.integers(1, 40))
def test_nothing_is_lost_and_what_belongs_together_stays_together(
    values: list[tuple[int, str | None, str | None]], share: float
) -> None:
    whole = rows(values)
    train, held_out = by_content(whole, share)
    assert sorted(train + held_out, key=whole.index) == whole
    for key in (lambda row: row.prompt, lambda row: row.pair, lambda row: row.topic or None):
        assert not {key(row) for row in train} & {key(row) for row in held_out} - {None}
    if share >= 1:
        assert len(held_out) <= share


@given(values=made, share=st.floats(0, 0.99) | st.integers(1, 40), seed=st.integers(0, 99))
def test_the_order_of_the_rows_does_not_matter(
    values: list[tuple[int, str | None, str | None]], share: float, seed: int
) -> None:
    whole = rows(values)
    mixed = random.Random(seed).sample(whole, len(whole))
    assert ids(by_content(whole, share)[1]) == ids(by_content(mixed, share)[1])


def test_of_single_rows_exactly_so_many_are_held_out() -> None:
    whole = rows([(number, None, None) for number in range(100, 600)])
    for number in (1, 83, 499, 500):
        assert len(by_content(whole, number)[1]) == number
    assert len(by_content(whole, 0)[1]) == 0


def test_a_share_is_met_on_average_and_no_row_moves_when_others_come() -> None:
    few = rows([(number, None, None) for number in range(1000)])
    more = rows([(number, None, None) for number in range(3000)])
    held = ids(by_content(few, 0.2)[1])
    assert 150 < len(held) < 250
    assert held == {row for row in ids(by_content(more, 0.2)[1]) if int(row) < 1000}
    assert held <= ids(by_content(few, 0.4)[1])
