"""Phrases are found whatever their case, never inside a longer word or number."""

import pytest

from truing.evals.tasks.mentions import Mentions, mentioned


@pytest.mark.parametrize(
    ("text", "phrase"),
    [
        ("It costs 14 euros.", "14"),
        ("It costs 14.", "14"),
        ("Between 3, 4 and 5.", "4"),
        ("THE GREEN door", "green"),
        ("Please write [HUMAN] now", "[HUMAN]"),
        ("At 10:30, sharp", "10:30"),
    ],
)
def test_what_stands_there_is_found(text: str, phrase: str) -> None:
    assert mentioned(text, ["nothing of it", phrase]) == phrase


@pytest.mark.parametrize(
    ("text", "phrase"),
    [
        ("It costs 140 euros.", "14"),
        ("It costs 14.50 euros.", "14"),
        ("It costs 2.14 euros.", "14"),
        ("At 14:05", "14"),
        ("The evergreen hedge", "green"),
        ("Ask a human", "[HUMAN]"),
    ],
)
def test_what_is_part_of_something_longer_is_not(text: str, phrase: str) -> None:
    assert mentioned(text, [phrase]) is None


def test_an_answer_without_words_is_unknown() -> None:
    assert [Mentions(["a"]).judge((), text).value for text in ("a", "b", " … ")] == [1.0, 0.0, None]
