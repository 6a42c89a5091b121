"""Scores make comparisons: the best against the worst or all pairs, and equal scores a tie."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.data.conftest import comparison
from truing.data import scores
from truing.data.rows import Ask, RowError

# The shape of openbmb/UltraFeedback, shortened.
ULTRA = {
    "source": "evol_instruct",
    "instruction": "q",
    "models": ["m1", "m2"],
    "completions": [
        {"model": "m1", "response": "no", "overall_score": 3.0, "annotations": {"honesty": {"Rating": "2"}}},
        {"model": "m2", "response": "yes", "overall_score": 8.5, "annotations": {"honesty": {"Rating": "N/A"}}},
    ],
    "correct_answers": ["None"],
}
numbers = st.lists(st.integers(1, 4), min_size=2, max_size=6)


def listed(values: list[int]) -> dict[str, object]:
    return {"prompt": "q", "generations": [f"answer {n}" for n in range(len(values))], "ratings": values}


def test_ultrafeedback_and_lists_of_texts_and_numbers() -> None:
    assert scores.recognises(ULTRA)
    assert scores.parse(ULTRA, "1") == [comparison(origin="evol_instruct")]
    assert scores.parse({"prompt": "q", "completions": ["no", "yes"], "scores": [0, 1]}, "1") == [comparison()]


@given(values=numbers)
def test_best_against_worst(values: list[int]) -> None:
    (found,) = scores.parse(listed(values), "1")
    chosen, rejected = (values[int(answer.split()[1])] for answer in (found.chosen, found.rejected))
    assert (chosen, rejected) == (max(values), min(values))
    assert found.tie == (len(set(values)) == 1)
    assert found.chosen != found.rejected


@given(values=numbers)
def test_all_pairs_are_all_pairs_and_no_id_comes_twice(values: list[int]) -> None:
    found = scores.parse(listed(values), "1", Ask(pairs="all"))
    places = [tuple(int(answer.split()[1]) for answer in (one.chosen, one.rejected)) for one in found]
    assert {frozenset(one) for one in places} == set(map(frozenset, itertools.combinations(range(len(values)), 2)))
    assert len({one.id for one in found}) == len(found) == len(places)
    for one, (chosen, rejected) in zip(found, places, strict=True):
        assert values[chosen] > values[rejected] or (one.tie and values[chosen] == values[rejected])


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"ratings": [1]}, "there are 2 completions, and not as many scores"),
        ({"ratings": [1, None]}, "completion 2: the score must be a number, found None"),
        ({"ratings": [1, float("nan")]}, "completion 2: the score must be a number, found nan"),
        ({"ratings": [1, "5"]}, "completion 2: the score must be a number, found '5'"),
        ({"generations": ["a", ""]}, "completion 2 is empty"),
        ({"generations": ["a"], "ratings": [1]}, "there must be two completions or more"),
        ({"ratings": None}, "the row has none of the keys scores, ratings"),
        ({"prompt": None}, "the row has none of the keys prompt, instruction"),
        (
            {"generations": [{"text": "a", "score": 1}, {"text": "b"}]},
            "completion 2 has none of the keys overall_score",
        ),
    ],
)
def test_what_cannot_be_compared_is_named(change: dict[str, object], reason: str) -> None:
    with pytest.raises(RowError) as raised:
        scores.parse({**listed([1, 2]), **change}, "1")
    assert str(raised.value).startswith(reason)
