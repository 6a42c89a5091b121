"""Groups are the connected components of what was joined."""

from hypothesis import given
from hypothesis import strategies as st

from truing.data.groups import Groups

pairs = st.lists(st.tuples(st.integers(0, 11), st.integers(0, 11)), max_size=15)


@given(joined=pairs)
def test_two_things_are_in_one_group_where_a_path_joins_them(joined: list[tuple[int, int]]) -> None:
    groups = Groups(12)
    reached = {thing: {thing} for thing in range(12)}
    for one, other in joined:
        groups.join(one, other)
        both = reached[one] | reached[other]
        for thing in both:
            reached[thing] = both
    assert groups.members() == [sorted(group) for thing, group in reached.items() if min(group) == thing]
    assert all(groups.of(thing) == min(group) for thing, group in reached.items())


def test_equal_marks_join_and_none_does_not() -> None:
    groups = Groups(5)
    groups.join_equal(["a", None, "b", "a", None])
    assert groups.members() == [[0, 3], [1], [2], [4]]
