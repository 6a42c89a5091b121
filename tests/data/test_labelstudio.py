"""Label Studio's tasks: pairwise choices, rankings and ratings, one comparison an annotation."""

from datetime import UTC, datetime
from typing import Any

import pytest

from tests.data.conftest import comparison
from truing.data import labelstudio
from truing.data.rows import Ask, RowError

WHEN = "2026-03-09T22:16:08.728353Z"
DATA = {
    "prompt": "q",
    "text1": "no",
    "text2": "yes",
    "items": [{"id": "a", "title": "A", "body": "no"}, {"id": "b", "title": "B", "body": "yes"}],
}


def task(*results: dict[str, Any], data: dict[str, Any] = DATA, **annotation: Any) -> dict[str, Any]:
    done = {
        "id": 5,
        "completed_by": 10,
        "created_at": WHEN,
        "was_cancelled": False,
        "result": list(results),
        **annotation,
    }
    return {"id": 7, "project": 83, "data": data, "annotations": [done], "predictions": []}


def result(kind: str, value: dict[str, Any], to: str = "text1,text2") -> dict[str, Any]:
    return {"id": "x", "from_name": "pw", "to_name": to, "type": kind, "value": value}


EXPECTED = comparison(
    id="7", annotator="10", origin="Label Studio", time=datetime(2026, 3, 9, 22, 16, 8, 728353, tzinfo=UTC)
)


@pytest.mark.parametrize(
    ("results", "side"),
    [
        ([result("pairwise", {"selected": "right"})], "right"),
        ([result("ranker", {"ranker": ["b", "a"]}, "items")], None),
        ([result("ranker", {"ranker": {"rank": ["b", "a"]}}, "items")], None),
        ([result("rating", {"rating": 2}, "text1"), result("rating", {"rating": 5}, "text2")], None),
        ([result("pairwise", {"selected": "right"}), result("textarea", {"text": ["why"]})], "right"),
    ],
)
def test_a_choice_a_ranking_and_ratings_say_the_same(results: list[dict[str, Any]], side: Any) -> None:
    assert labelstudio.recognises(task(*results))
    assert labelstudio.parse(task(*results), "1") == [EXPECTED.model_copy(update={"chosen_side": side})]


def test_names_of_the_data_can_be_given() -> None:
    data = {"question": "q", "answer_a": "no", "answer_b": "yes"}
    chosen = task(result("pairwise", {"selected": "right"}), data=data)
    ask = Ask(columns={"prompt": "question", "left": "answer_a", "right": "answer_b"})
    assert labelstudio.parse(chosen, "1", ask)[0].chosen == "yes"
    with pytest.raises(
        RowError, match=r"no 'prompt'; name it with --columns prompt=NAME \(there are: question, answer_a"
    ):
        labelstudio.parse(chosen, "1")


def test_each_annotation_counts_but_skipped_ones() -> None:
    both = task(result("pairwise", {"selected": "right"}))
    both["annotations"] += task(result("pairwise", {"selected": "left"}), completed_by={"id": 3, "email": "b@x"})[
        "annotations"
    ]
    both["annotations"] += task(was_cancelled=True)["annotations"]
    assert [(one.id, one.annotator, one.chosen) for one in labelstudio.parse(both, "1")] == [
        ("7-1", "10", "yes"),
        ("7-2", "b@x", "no"),
    ]
    with pytest.raises(RowError, match="nobody has annotated it"):
        labelstudio.parse(task(was_cancelled=True), "1")


@pytest.mark.parametrize(
    ("results", "reason"),
    [
        ([], "results of one type, pairwise, ranker or rating; found none"),
        ([result("choices", {"choices": ["A"]})], "found choices"),
        ([result("pairwise", {"selected": "none"})], "'selected' must be left or right, found 'none'"),
        ([result("pairwise", {"selected": "left"})] * 2, "holds 2 results of the type 'pairwise'"),
        ([result("ranker", {"ranker": {"good": ["a"], "bad": ["b"]}})], "sorted into buckets"),
        ([result("ranker", {"ranker": ["a", "z"]})], "not among them: ['z']"),
        ([result("rating", {"rating": 2}, "text1")], "two completions"),
        ([result("rating", {"rating": 2}, "txt")] * 2, "no 'txt'"),
        ([result("rating", {}, "text1"), result("rating", {"rating": 1}, "text2")], "completion 1: the score"),
    ],
)
def test_what_says_no_preference_is_named(results: list[dict[str, Any]], reason: str) -> None:
    with pytest.raises(RowError) as raised:
        labelstudio.parse(task(*results), "1")
    assert reason in str(raised.value)
