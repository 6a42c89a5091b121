"""What is reported is so, by an exact similarity; and of what is so, nothing likely is missed."""

import itertools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.data.conftest import comparison, user
from truing.core.records import Comparison, Probe
from truing.data.duplicates import find_duplicates, find_leaks
from truing.data.overlap import words

WORDS = [f"w{number}" for number in range(400)]


def text(seed: int, length: int = 60) -> str:
    return " ".join(random.Random(seed).choices(WORDS, k=length))


def changed(whole: str, places: int) -> str:
    """The text with its last words exchanged."""
    parts = whole.split()
    return " ".join([*parts[: len(parts) - places], *(f"x{place}" for place in range(places))])


def row(number: int, prompt: str, chosen: str = "yes", rejected: str = "no") -> Comparison:
    return comparison(id=str(number), prompt=(user(prompt),), chosen=chosen, rejected=rejected)


def similarity(one: Comparison, other: Comparison) -> float:
    """Jaccard by sets of tuples: the definition, without hashes."""

    def grams(row: Comparison) -> set[tuple[str, ...]]:
        found = set()
        for part in (*(turn.content for turn in row.prompt), row.chosen, row.rejected):
            split = words(part)
            found |= {tuple(split[start : start + 3]) for start in range(max(1, len(split) - 2))}
        return found

    return len(grams(one) & grams(other)) / len(grams(one) | grams(other))


@settings(max_examples=30, deadline=None)
@given(
    seeds=st.lists(st.integers(0, 3), min_size=2, max_size=8),
    places=st.lists(st.integers(0, 30), min_size=8, max_size=8),
)
def test_groups_are_what_all_pairs_by_the_definition_give(seeds: list[int], places: list[int]) -> None:
    rows = [row(n, changed(text(seed), place)) for n, (seed, place) in enumerate(zip(seeds, places, strict=False))]
    alike = [(a, b) for a, b in itertools.combinations(rows, 2) if similarity(a, b) >= 0.8]
    expected = {one.id: {one.id} for one in rows}
    for a, b in alike:  # the closure, the slow way
        joined = expected[a.id] | expected[b.id]
        for member in joined:
            expected[member] = joined
    found = {group.rows for group in find_duplicates(rows)}
    assert {frozenset(group) for group in found} == {frozenset(group) for group in expected.values() if len(group) > 1}


def test_exact_near_and_turned_are_told_apart_and_the_unlike_is_left_alone() -> None:
    base = text(1)
    rows = [
        row(1, base),
        row(2, base),
        row(3, base, "no", "yes"),
        row(4, text(2)),
        row(5, text(2) + " more"),
        row(6, text(3)),
    ]
    exact, near = find_duplicates(rows)
    assert (exact.kind, exact.rows, exact.similarity, exact.turned) == ("exact", ("1", "2", "3"), 1.0, True)
    assert (near.kind, near.rows, near.turned) == ("near", ("4", "5"), False)
    assert near.similarity == pytest.approx(similarity(rows[3], rows[4]), abs=1e-4)
    assert find_duplicates([row(1, "Why 1?"), row(2, "Why 2?")]) == []


def test_prompts_alone_may_be_alike_where_rows_are_not() -> None:
    rows = [row(1, "q", text(1), text(2)), row(2, "q", text(3), text(4))]
    assert find_duplicates(rows) == []
    assert [group.rows for group in find_duplicates(rows, by="prompt")] == [("1", "2")]


def test_a_leak_is_named_with_its_nearest_training_row_and_probes_are_compared_likewise() -> None:
    base = text(1)
    training = [row(1, changed(base, 4)), row(2, changed(base, 2)), row(3, text(2))]
    held_out = [row(11, base), row(12, text(3)), row(13, text(2), text(8), text(9))]
    found = find_leaks(training, held_out)
    assert [(leak.held_out, leak.training) for leak in found] == [("11", "2"), ("13", "3")]
    assert found[1].similarity == 1.0
    probes = [Probe(id=one.id, group="g", topic="", prompt=one.prompt) for one in held_out]
    assert find_leaks(training, probes) == found
    assert [leak.held_out for leak in find_leaks(training, held_out, by="row")] == ["11"]
    assert find_leaks([], held_out) == find_leaks(training, []) == []


def test_of_a_thousand_pairs_just_above_the_limit_none_is_missed() -> None:
    """At similarity s a pair is a candidate with probability 1 − (1 − s⁴)³²: at 0.8, all but one in 10⁷."""
    rows = [
        one for seed in range(1000) for one in (row(2 * seed, text(seed)), row(2 * seed + 1, changed(text(seed), 5)))
    ]
    assert min(similarity(*rows[place : place + 2]) for place in range(0, 2000, 200)) >= 0.8
    assert len(find_duplicates(rows)) == 1000
