"""HHH by hand: each category, their mean, transcripts, what cannot be used; labels that say nothing."""

import json
import random
from pathlib import Path
from typing import Any

import pytest

from tests.evals.tasks.conftest import measured, real, subject, values
from truing.core.errors import InputError
from truing.core.records import Message
from truing.evals.tasks.hhh import HHH

CATEGORIES = ("helpful", "honest", "harmless", "other")


def example(number: int, **changes: Any) -> dict[str, Any]:
    return {"input": f"Question {number}", "target_scores": {"good": 1, "bad": 0}, **changes}


def write(folder: Path, **examples: list[Any]) -> None:
    """The four files in BIG-bench's form; a category that is not given has one example."""
    for category in CATEGORIES:
        path = folder / "hhh" / category / "task.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        content = {"name": category, "examples": examples.get(category, [example(0)])}
        path.write_text(json.dumps(content), encoding="utf-8")


def test_every_figure_of_files_by_hand(tmp_path: Path) -> None:
    """Likes "good" but where a question is marked: helpful 2 of 3, honest 0 of 1, harmless and other 1 of 1."""
    write(tmp_path, helpful=[example(0), example(1), example(2, input="Hard?")], honest=[example(0, input="Hard?")])

    def likelihood(prompt: str, answer: str) -> list[float]:
        return [-1.0 if (answer == "good") == (prompt != "Hard?") else -3.0]

    figures, items = measured(HHH, tmp_path, subject(likelihood=likelihood))
    assert values(figures) == {
        "hhh_helpful": pytest.approx(2 / 3),
        "hhh_honest": 0.0,
        "hhh_harmless": 1.0,
        "hhh_other": 1.0,
        "hhh_mean": pytest.approx((2 / 3 + 0 + 1 + 1) / 4),
    }
    assert items["hhh_helpful", "helpful-3"].detail == {"margin": -2.0}
    assert items["hhh_helpful", "helpful-3"].answer == "bad"


def test_an_answer_must_beat_all_others(tmp_path: Path) -> None:
    write(tmp_path, other=[example(0, target_scores={"worse": 0, "good": 1, "bad": 0})])
    score = {"good": -2.0, "bad": -3.0, "worse": -1.0}
    figures, items = measured(HHH, tmp_path, subject(likelihood=lambda _, answer: [score[answer]]))
    assert (figures["hhh_other"].value, items["hhh_other", "other-1"].answer) == (0.0, "worse")


def test_a_transcript_is_a_conversation(tmp_path: Path) -> None:
    write(tmp_path, honest=[example(0, input="Hello\n\nAssistant: Hi!\n\nHuman: Is the moon far?")])
    (row,) = [row for row in HHH.read(tmp_path).rows if row.category == "honest"]
    assert row.prompt == (
        Message(role="user", content="Hello"),
        Message(role="assistant", content="Hi!"),
        Message(role="user", content="Is the moon far?"),
    )


@pytest.mark.parametrize("shuffled", [False, True])
def test_under_shuffled_labels_a_perfect_judge_is_at_chance(tmp_path: Path, shuffled: bool) -> None:
    draw = random.Random(0)
    sets = {
        category: [
            example(
                n, target_scores={"bad": 1, "good": 0} if shuffled and draw.random() < 0.5 else {"good": 1, "bad": 0}
            )
            for n in range(100)
        ]
        for category in CATEGORIES
    }
    write(tmp_path, **sets)
    figures, _ = measured(HHH, tmp_path, subject(likelihood=lambda _, answer: [-1.0 if answer == "good" else -2.0]))
    assert figures["hhh_mean"].value == (pytest.approx(1 / 2, abs=0.08) if shuffled else 1.0)


def test_rows_that_cannot_be_used_are_listed_with_their_place(tmp_path: Path) -> None:
    bad = [
        example(1, target_scores={"good": 1, "bad": 1}),
        example(2, target_scores={"good": 0, "bad": 0}),
        example(3, target_scores={"good": 0.5, "bad": 0}),
        example(4, target_scores=["good"]),
        example(5, input=""),
        "no object",
        example(6, input="Hello\n\nAssistant: Hi!"),
    ]
    write(tmp_path, harmless=[example(0), *bad, example(9)])
    loaded = HHH.read(tmp_path)
    assert [row.id for row in loaded.rows if row.category == "harmless"] == ["harmless-1", "harmless-9"]
    assert [(one.line, one.unit, one.reason) for one in loaded.bad] == [
        (2, "row", "2 answers are marked as right and 0 as wrong, expected one and some"),
        (3, "row", "0 answers are marked as right and 2 as wrong, expected one and some"),
        (4, "row", "'target_scores' must be an object of answers, each with 1 or 0"),
        (5, "row", "'target_scores' must be an object of answers, each with 1 or 0"),
        (6, "row", "'input' is missing or empty"),
        (7, "row", "'no object' is no object"),
        (8, "row", "the prompt must end with a user turn"),
    ]


def test_an_answer_that_stands_twice_is_not_lost_in_silence(tmp_path: Path) -> None:
    write(tmp_path)
    twice = '{"input": "a", "target_scores": {"x": 1, "x": 0, "y": 0}}'
    once = '{"input": "b", "target_scores": {"x": 1, "y": 0}}'
    text = f'{{"examples": [{twice}, {once}]}}'
    (tmp_path / "hhh/other/task.json").write_text(text, encoding="utf-8")
    loaded = HHH.read(tmp_path)
    assert [(one.line, one.reason) for one in loaded.bad] == [(1, "a key stands twice in one object; keep one")]
    assert [row.id for row in loaded.rows if row.category == "other"] == ["other-2"]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("[]", "expected an object with a list of 'examples'"),
        ("{", "cannot be read as JSON"),
        ('{"examples": []}', "the file is empty"),
        ('{"examples": [{"input": "a"}]}', "there is no column 'target_scores'; the columns are input"),
    ],
)
def test_a_file_of_another_form_is_one_sentence(tmp_path: Path, content: str, told: str) -> None:
    write(tmp_path)
    (tmp_path / "hhh/other/task.json").write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match=f"hhh/other/task.json: {told}"):
        HHH.read(tmp_path)


def test_the_real_files(shared_data: Path) -> None:
    loaded = real(HHH, shared_data)
    assert (len(loaded.rows) + len(loaded.bad), {row.category for row in loaded.rows}) == (221, set(CATEGORIES))
