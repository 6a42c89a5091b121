"""Sensitivity, specificity and their intervals in closed form, and an oracle with a known error."""

import math

import pytest

from truing.core.records import Conversation, Message, Outcome
from truing.judges.validate import JudgeAccuracy, validate_judge

PROMPT: Conversation = (Message(role="user", content="?"),)


class Says:
    """Judges by the answer's first letter: y, n, or unknown."""

    version = "test"

    def judge(self, prompt: Conversation, answer: str) -> Outcome:  # noqa: ARG002 (of the protocol)
        return Outcome(value={"y": 1.0, "n": 0.0}.get(answer[0]))


def rows(**counts: int) -> list[tuple[Conversation, str, bool]]:
    """`yes_n=3`: three rows with the label yes on which the judge says n."""
    return [
        (PROMPT, name.split("_")[1], name.startswith("yes")) for name, count in counts.items() for _ in range(count)
    ]


def test_each_verdict_is_counted_under_its_label_and_unknown_under_neither() -> None:
    found = validate_judge(Says(), rows(yes_y=7, yes_n=3, no_n=16, no_y=4, yes_x=2, no_x=1), "made up")
    expected = JudgeAccuracy(data="made up", hits=7, misses=3, rejections=16, false_alarms=4, unknown=3)
    assert found == expected
    assert (found.sensitivity, found.specificity, found.agreement) == (0.7, 0.8, 23 / 30)


def test_an_answer_that_could_not_be_judged_moves_no_share() -> None:
    without = validate_judge(Says(), rows(yes_y=7, yes_n=3, no_n=16, no_y=4), "a")
    with_unknown = validate_judge(Says(), rows(yes_y=7, yes_n=3, no_n=16, no_y=4, yes_x=100, no_x=50), "a")
    assert with_unknown.model_copy(update={"unknown": 0}) == without


def test_swapping_the_labels_turns_hits_into_false_alarms() -> None:
    made = rows(yes_y=7, yes_n=3, no_n=16, no_y=4)
    found = validate_judge(Says(), [(prompt, answer, not label) for prompt, answer, label in made], "a")
    assert (found.hits, found.misses, found.rejections, found.false_alarms) == (4, 16, 3, 7)


def test_the_true_share_follows_from_the_rate_that_a_judge_reports_and_its_error() -> None:
    """share = (rate + specificity − 1) / (sensitivity + specificity − 1) (Rogan and Gladen 1978)."""
    found = JudgeAccuracy(data="a", hits=30, misses=10, rejections=54, false_alarms=6)
    assert found.sensitivity is not None
    assert found.specificity is not None
    rate = (found.hits + found.false_alarms) / 100
    share = (rate + found.specificity - 1) / (found.sensitivity + found.specificity - 1)
    assert share == pytest.approx(40 / 100)


def test_where_no_row_carries_a_label_its_share_is_unknown_and_never_a_number() -> None:
    negatives = JudgeAccuracy(data="a", hits=0, misses=0, rejections=9, false_alarms=1)
    assert (negatives.sensitivity, negatives.specificity, negatives.agreement) == (None, 0.9, 0.9)
    assert negatives.intervals()[0] == (0.0, 1.0)
    nothing = JudgeAccuracy(data="a", hits=0, misses=0, rejections=0, false_alarms=0, unknown=5)
    assert (nothing.sensitivity, nothing.specificity, nothing.agreement) == (None, None, None)


def test_the_intervals_are_wilsons() -> None:
    """The ends p solve |p̂ − p| = z √(p (1 − p) / n), the definition (Wilson 1927)."""
    sensitivity, specificity = JudgeAccuracy(data="a", hits=45, misses=5, rejections=80, false_alarms=20).intervals()
    z = 1.959963984540054
    for interval, share, n in ((sensitivity, 0.9, 50), (specificity, 0.8, 100)):
        for end in interval:
            assert abs(share - end) == pytest.approx(z * math.sqrt(end * (1 - end) / n), rel=1e-9)


def test_a_perfect_score_on_few_rows_is_not_certainty() -> None:
    few = JudgeAccuracy(data="a", hits=5, misses=0, rejections=5, false_alarms=0).intervals()[0]
    many = JudgeAccuracy(data="a", hits=500, misses=0, rejections=5, false_alarms=0).intervals()[0]
    assert few.high == many.high == 1.0
    assert few.low < 0.6 < 0.99 < many.low
