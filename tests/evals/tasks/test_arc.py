"""ARC by hand: both accuracies, where length decides, odd numbers of choices, what cannot be used; chance."""

import random
from pathlib import Path
from typing import Any

import pytest

from tests.evals.tasks.conftest import measured, real, subject, values, write_lines
from truing.core.errors import InputError
from truing.evals.task import TaskSettings
from truing.evals.tasks.arc import ARC_CHALLENGE, ARC_EASY, question

FILE = "arc/ARC-Challenge-Test.jsonl"


def row(number: int, choices: list[str], key: str = "A", labels: str = "ABCDE") -> dict[str, Any]:
    given = [{"text": text, "label": label} for text, label in zip(choices, labels, strict=False)]
    return {"id": f"q{number}", "question": {"stem": f"Why {number}?", "choices": given}, "answerKey": key}


def test_every_figure_of_a_file_by_hand(tmp_path: Path) -> None:
    """ℓ = −1, −2 and −3 of the choices in turn: summed, the first is the likeliest; by length (1, 4, 12 letters: −1,
    −½, −¼) the last is."""
    choices = ["a", "bbbb", "cccccccccccc"]
    write_lines(tmp_path / FILE, [row(0, choices), row(1, choices, "C"), row(2, choices, "2", "123")])
    sums = {" a": -1.0, " bbbb": -2.0, " cccccccccccc": -3.0}
    figures, items = measured(ARC_CHALLENGE, tmp_path, subject(lambda _, choice: sums[choice]))
    assert values(figures) == {"arc_challenge": pytest.approx(1 / 3), "arc_challenge_norm": pytest.approx(1 / 3)}
    assert items["arc_challenge", "q0"].detail == {"margin": 1.0}
    assert items["arc_challenge_norm", "q0"].detail == {"margin": -0.75}
    assert items["arc_challenge_norm", "q1"].value == 1.0
    assert items["arc_challenge_norm", "q2"].answer == "cccccccccccc"


def test_length_is_counted_in_characters_not_in_bytes(tmp_path: Path) -> None:
    """éé has two characters and four bytes: by characters −1 each, less likely than −0.8; by bytes −0.5, more."""
    write_lines(tmp_path / FILE, [row(0, ["éé", "abcde"])])
    sums = {" éé": -2.0, " abcde": -4.0}
    figures, _ = measured(ARC_CHALLENGE, tmp_path, subject(lambda _, choice: sums[choice]))
    assert values(figures) == {"arc_challenge": 1.0, "arc_challenge_norm": 0.0}


def test_what_is_asked_word_for_word(tmp_path: Path) -> None:
    write_lines(tmp_path / "arc/ARC-Easy-Test.jsonl", [row(7, ["x", "y z"])])
    (one,) = ARC_EASY.read(tmp_path).rows
    assert question(one).context == "Question: Why 7?\nAnswer:"
    assert question(one).choices == (" x", " y z")


def test_ties_and_what_does_not_fit(tmp_path: Path) -> None:
    long = row(1, ["a", "b"])
    long["question"]["stem"] = "too long"
    write_lines(tmp_path / FILE, [row(0, ["a", "b"]), long])
    for ties, value in (("strict", 0.0), ("right", 1.0)):
        settings = TaskSettings(ties=ties)  # type: ignore[arg-type]
        figures, items = measured(ARC_CHALLENGE, tmp_path, subject(lambda *_: -1.0), settings)
        assert values(figures) == {"arc_challenge": value, "arc_challenge_norm": value}
        assert figures["arc_challenge_norm"].unknown == 1
        assert items["arc_challenge_norm", "q1"].reason == "takes 9 tokens, more than 8"


@pytest.mark.parametrize("shuffled", [False, True])
def test_under_shuffled_keys_a_model_that_knows_them_is_at_chance(tmp_path: Path, shuffled: bool) -> None:
    draw = random.Random(0)
    keys = [draw.choice("ABCD") if shuffled else "B" for _ in range(400)]
    write_lines(tmp_path / FILE, [row(n, ["w", "x", "y", "z"], key) for n, key in enumerate(keys)])
    figures, _ = measured(ARC_CHALLENGE, tmp_path, subject(lambda _, choice: 0.0 if choice == " x" else -1.0))
    assert figures["arc_challenge"].value == (pytest.approx(1 / 4, abs=0.07) if shuffled else 1.0)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"answerKey": "E"}, "'answerKey' is 'E', which is none of the choices' labels A, B"),
        ({"answerKey": 1}, "'answerKey' is 1, which is none of the choices' labels A, B"),
        ({"question": "Why?"}, "'question' must be an object with 'stem' and a list of 'choices'"),
        ({"question": {"stem": "Why?", "choices": ["a", "b"]}}, "'choices' must hold objects with 'text' and 'label'"),
        ({"question": {"stem": "Why?", "choices": []}}, "the choices are labelled with nothing; two different"),
        ({"question": row(0, ["a", "b"], labels="AA")["question"]}, "the choices are labelled A, A; two different"),
        ({"question": row(0, ["a", "a"])["question"]}, "the right choice stands twice among the choices"),
        ({"question": row(0, ["a", ""])["question"]}, "'text' is ''; a text is expected"),
        ({"id": "q0"}, "the id 'q0' stands twice, first in line 1"),
        ({"id": 5}, "'id' is 5; a text is expected"),
    ],
)
def test_a_row_that_cannot_be_used_is_listed(tmp_path: Path, changes: dict[str, Any], reason: str) -> None:
    write_lines(tmp_path / FILE, [row(0, ["a", "b"]), {**row(1, ["a", "b"]), **changes}])
    loaded = ARC_CHALLENGE.read(tmp_path)
    assert [one.id for one in loaded.rows] == ["q0"]
    assert (loaded.bad[0].line, loaded.bad[0].reason.startswith(reason)) == (2, True), loaded.bad[0].reason


def test_a_column_that_is_nowhere_is_one_sentence(tmp_path: Path) -> None:
    write_lines(tmp_path / FILE, [{"id": "1", "question": {"stem": "Why?"}}])
    with pytest.raises(InputError, match=r"ARC-Challenge-Test.jsonl: there is no column 'answerKey'"):
        ARC_CHALLENGE.read(tmp_path)


@pytest.mark.parametrize(("task", "count"), [(ARC_CHALLENGE, 1172), (ARC_EASY, 2376)])
def test_the_real_files(shared_data: Path, task: Any, count: int) -> None:
    loaded = real(task, shared_data)
    assert len(loaded.rows) + len(loaded.bad) == count
    assert {len(one.choices) for one in loaded.rows} <= {3, 4, 5}
