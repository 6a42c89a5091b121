"""Argilla's records, as `records.to_json` writes them: labels, rankings and ratings, one comparison a user."""

from typing import Any

import pytest

from tests.data.conftest import comparison
from truing.data import argilla
from truing.data.rows import Ask, RowError


def record(responses: dict[str, Any], **fields: str) -> dict[str, Any]:
    return {
        "id": "r1",
        "fields": {"prompt": "q", "response_a": "no", "response_b": "yes", **fields},
        "metadata": {"source": "web"},
        "suggestions": {"better": {"value": "response_a", "score": 0.9, "agent": "a model"}},
        "responses": responses,
        "vectors": {},
        "_server_id": "s1",
    }


def by(value: Any, user: str = "ann") -> dict[str, Any]:
    return {"value": value, "user_id": user}


EXPECTED = comparison(id="r1", annotator="ann", origin="Argilla")


@pytest.mark.parametrize(
    "responses",
    [
        {"better": [by("response_b")]},
        {"ranking": [by(["response_b", "response_a"])]},
        {"ranking": [by([{"value": "response_a", "rank": 2}, {"value": "response_b", "rank": 1}])]},
        {"response_a-rating": [by(2)], "response_b-rating": [by(4)], "why": [by("because")]},
    ],
)
def test_a_label_a_ranking_and_ratings_say_the_same(responses: dict[str, Any]) -> None:
    assert argilla.recognises(record(responses))
    assert argilla.parse(record(responses), "1") == [EXPECTED]


def test_each_user_is_an_annotator_and_suggestions_are_nobody() -> None:
    found = argilla.parse(record({"better": [by("response_b"), by("response_a", "bob"), by("tie", "cal")]}), "1")
    assert [(one.id, one.annotator, one.chosen, one.tie) for one in found] == [
        ("r1-ann", "ann", "yes", False),
        ("r1-bob", "bob", "no", False),
        ("r1-cal", "cal", "no", True),
    ]
    with pytest.raises(RowError, match="nobody has answered it"):
        argilla.parse(record({}), "1")


def test_equal_ranks_and_equal_ratings_tie() -> None:
    ranks = by([{"value": "response_a", "rank": 1}, {"value": "response_b", "rank": 1}])
    for responses in ({"ranking": [ranks]}, {"response_a": [by(3)], "response_b": [by(3)]}):
        (found,) = argilla.parse(record(responses), "1")
        assert found.tie


def test_the_prompts_field_and_the_question_can_be_named() -> None:
    two = record({"better": [by("response_a")], "safer": [by("response_b")]}, task="q")
    with pytest.raises(RowError, match=r"2 questions name|no response ranks"):
        argilla.parse(two, "1")
    del two["fields"]["prompt"]
    assert argilla.parse(two, "1", Ask(columns={"prompt": "task", "question": "safer"})) == [EXPECTED]
    with pytest.raises(RowError, match="there is no field 'instruction'"):
        argilla.parse(two, "1")


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("better", "no response ranks, rates or names"),
        (["response_a"], "no response"),
        (None, "no response"),
        (3, "no response"),
    ],
)
def test_a_response_that_says_nothing_of_the_fields_is_named(value: Any, reason: str) -> None:
    with pytest.raises(RowError, match=reason):
        argilla.parse(record({"better": [by(value)]}), "1")
