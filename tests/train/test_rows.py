"""The order of a run's rows: every epoch takes each row once, twins side by side, and the seed fixes it all."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from truing.engine.tree import TokenSequence
from truing.train.rows import schedule, steps_in
from truing.train.sft import opening_of

marks = st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=30)


@given(marks, st.integers(1, 3), st.integers(1, 7), st.integers(0, 99))
def test_every_epoch_takes_each_row_once_and_twins_side_by_side(
    twins: list[str], epochs: int, batch_rows: int, seed: int
) -> None:
    steps = list(schedule(twins, epochs, batch_rows, seed))
    assert [step for step, _, _ in steps] == list(range(steps_in(len(twins), epochs, batch_rows)))
    assert max(len(batch) for _, _, batch in steps) <= batch_rows
    rows = [row for _, _, batch in steps for row in batch]
    for epoch in range(epochs):
        taken = rows[epoch * len(twins) : (epoch + 1) * len(twins)]
        assert sorted(taken) == list(range(len(twins)))
        changes = sum(twins[one] != twins[other] for one, other in pairwise(taken))
        assert changes == len(set(twins)) - 1


def test_epochs_and_seeds_differ_and_the_same_seed_does_not() -> None:
    def order(seed: int) -> list[list[int]]:
        return [batch for _, _, batch in schedule(range(20), 2, 20, seed)]

    assert order(1) == order(1) != order(2)
    assert order(1)[0] != order(1)[1]


def test_an_opening_scores_only_the_first_tokens_and_a_longer_one_changes_nothing() -> None:
    row = TokenSequence((1, 2, 3, 4, 5, 6), scored_from=2)
    assert opening_of(row, 3) == TokenSequence((1, 2, 3, 4, 5), scored_from=2)
    assert opening_of(row, 4) == opening_of(row, 9) == opening_of(row, None) == row
