"""Keys are told apart exactly, and the first line of each is remembered."""

from contextlib import closing

from hypothesis import given
from hypothesis import strategies as st

from truing.data.seen import Seen


@given(keys=st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=3)))
def test_it_does_what_a_dictionary_does(keys: list[str]) -> None:
    first: dict[str, int] = {}
    with closing(Seen()) as seen:
        for line, key in enumerate(keys, start=1):
            assert seen.first(key, line) == first.get(key)
            first.setdefault(key, line)
        assert len(seen) == len(first)
