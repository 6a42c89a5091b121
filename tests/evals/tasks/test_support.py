"""Is a sentence supported? By hand, and on sentences with labels: the printed error, recomputed; and a control."""

import json
import random
from pathlib import Path
from typing import Any

import pytest

from truing.evals.tasks.support import MEASURED, AbsenceJudge, SupportJudge, stem
from truing.judges.validate import JudgeAccuracy

ROWS: list[dict[str, Any]] = [
    json.loads(line) for line in Path(__file__).with_name("support.jsonl").read_text(encoding="utf-8").splitlines()
]
PASSAGES = (
    "The mill of Anna Berg was built in 1787. It ground barley for four villages.",
    "The bridge beside it was finished in 1840, and no cart may cross it.",
)


def supports(sentence: str) -> bool | None:
    return SupportJudge(PASSAGES).supports(sentence)


@pytest.mark.parametrize(
    "sentence",
    [
        "The mill was built in 1787.",
        "Anna Berg's mill ground barley.",
        "Barley was ground for 4 villages.",
        "Anna Berg: builds a mill",
        "No cart may cross the bridge.",
        "1. The mill was built in 1787 [1].",
        "- The bridge was finished in 1840 [1, 2].",
    ],
)
def test_the_words_of_two_neighbouring_sentences_support(sentence: str) -> None:
    assert supports(sentence) is True


@pytest.mark.parametrize(
    "sentence",
    [
        "The mill was built in 1840.",  # the bridge's year
        "The mill of Carla Berg was built in 1787.",
        "It ground barley for five villages.",
        "The mill was not built in 1787.",
        "The mill burned down.",
    ],
)
def test_another_number_name_or_denial_does_not(sentence: str) -> None:
    assert supports(sentence) is False


@pytest.mark.parametrize("sentence", ["It is so.", "I don't know who it was.", "The passages do not say it.", "…"])
def test_what_claims_nothing_is_neither(sentence: str) -> None:
    assert supports(sentence) is None


def test_an_answer_is_the_share_of_its_claims() -> None:
    judge = SupportJudge(PASSAGES)
    outcome = judge.judge((), "The mill was built in 1787. It burned down. I do not know more. It ground barley.")
    assert outcome.value == pytest.approx(2 / 3)
    assert outcome.reason == "not supported: 'It burned down.'"
    assert judge.judge((), "I do not know.").value is None


@pytest.mark.parametrize(
    ("answer", "value"),
    [
        ("I do not know.", 1.0),
        ("The passages do not say what it costs.", 1.0),
        ("The price is not mentioned in the text.", 1.0),
        ("There is no information on the price.", 1.0),
        ("It costs 5 euros.", 0.0),
        ("It does not cost anything.", 0.0),
        ("It does not include breakfast.", 0.0),
        ("Breakfast is not provided.", 0.0),
        ("", None),
    ],
)
def test_saying_that_the_passages_do_not_tell_is_an_admission(answer: str, value: float | None) -> None:
    assert AbsenceJudge().judge((), answer).value == value


def test_stems() -> None:
    assert stem("copies") == stem("copy")
    assert stem("baked") == stem("baking")
    assert stem("stopped") == stem("stop")
    assert (stem("twelve"), stem("12"), stem("thirty")) == ("12", "12", "30")
    assert len({stem(word) for word in ("bed", "bee", "bell", "one", "1")}) == 5


def accuracy(rows: list[dict[str, Any]], data: str, passages: list[list[str]]) -> JudgeAccuracy:
    counts = {
        side: [
            SupportJudge(given).supports(one) for row, given in zip(rows, passages, strict=True) for one in row[side]
        ]
        for side in ("supported", "unsupported")
    }
    return JudgeAccuracy(
        data=data,
        hits=counts["supported"].count(True),
        misses=counts["supported"].count(False),
        rejections=counts["unsupported"].count(False),
        false_alarms=counts["unsupported"].count(True),
        unknown=sum(found.count(None) for found in counts.values()),
    )


@pytest.mark.parametrize(("printed", "half"), [(MEASURED[0], ROWS[10:]), (MEASURED[1], ROWS[:10])])
def test_the_printed_error_is_recomputed(printed: JudgeAccuracy, half: list[dict[str, Any]]) -> None:
    assert accuracy(half, printed.data, [row["passages"] for row in half]) == printed


def test_on_passages_about_something_else_nothing_is_supported() -> None:
    """The negative control: each row's sentences held against the passages of another row."""
    others = [row["passages"] for row in ROWS]
    shift = random.Random(0).randrange(1, len(others))
    found = accuracy(ROWS, "", others[shift:] + others[:shift])
    assert found.hits <= 0.02 * 100
    assert found.false_alarms <= 0.02 * 100


def test_the_labelled_sentences_are_balanced_and_stand_once() -> None:
    said = [one for row in ROWS for side in ("supported", "unsupported") for one in row[side]]
    assert all(len(row["supported"]) == len(row["unsupported"]) == 5 for row in ROWS)
    assert len(set(said)) == len(said) == 200
