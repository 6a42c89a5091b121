"""Twins are kept or left out as one, whatever the limit, and the seed decides which."""

from hypothesis import given
from hypothesis import strategies as st

from truing.core.twins import sample

marks = st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=30)


@given(marks, st.integers(1, 30), st.integers(0, 99))
def test_a_limit_keeps_twins_together_and_stops_as_soon_as_it_is_reached(
    twins: list[str], limit: int, seed: int
) -> None:
    kept = sample(twins, limit, seed)
    assert kept == sorted(set(kept)) == sample(twins, limit, seed)
    for mark in set(twins):
        assert {row in kept for row, other in enumerate(twins) if other == mark} in ({True}, {False})
    largest = max(twins.count(mark) for mark in set(twins))
    assert min(limit, len(twins)) <= len(kept) < min(limit, len(twins)) + largest


def test_without_a_limit_every_row_is_kept_and_another_seed_draws_others() -> None:
    assert sample("aabb", None, 0) == [0, 1, 2, 3] == sample("aabb", 9, 0)
    assert sample(range(50), 10, 1) != sample(range(50), 10, 2)
