"""GSM8K by hand: what number an answer says, cut answers, both figures, what cannot be used; chance."""

import random
from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.evals.tasks.conftest import measured, real, subject, values, write_lines
from truing.core.records import Answer, Conversation, Decoding
from truing.evals.task import Subject, TaskSettings
from truing.evals.tasks.gsm8k import GSM8K, numbers_in

FILE = "gsm8k/test.jsonl"


def row(number: int, answer: str = "4") -> dict[str, str]:
    return {"question": f"What is {number}?", "answer": f"It is <<2+2=4>>4.\n#### {answer}"}


class Cut:
    """Answers that were all cut, or none was given at all."""

    def __init__(self, text: str, missing: str = "", finished: bool | None = False) -> None:
        self.text, self.missing, self.finished = text, missing, finished

    def sample(self, prompts: Sequence[Conversation], _decoding: Decoding) -> Iterator[tuple[int, Answer]]:
        for number in range(len(prompts)):
            yield (
                number,
                Answer(
                    text=self.text,
                    token_ids=(),
                    logprobs=(),
                    finished=self.finished,
                    least_gap=None,
                    missing=self.missing,
                ),
            )


@pytest.mark.parametrize(
    ("text", "strict", "flexible"),
    [
        ("2 + 2 = 4\n#### 4", 4, 4),
        ("#### $1,234.50", "1234.50", "1234.50"),
        ("**#### 7**", 7, 7),
        ("#### **7**", 7, 7),
        ("#### -3", -3, -3),
        ("#### 5\nNow another: 6\n#### 6", 5, 6),
        ("She has 12 apples left.", None, 12),
        ("It costs -$5.", None, -5),
        ("10 - 5 apples", None, 5),
        ("ages 3-5", None, 5),
        ("1,450,000 people", None, 1450000),
        ("1,2345", None, 2345),
        ("half, that is .5", None, "0.5"),
        ("#### none, but 8", None, 8),
        ("I do not know.", None, None),
        ("", None, None),
    ],
)
def test_the_numbers_that_an_answer_says(text: str, strict: object, flexible: object) -> None:
    wanted = tuple(None if value is None else Decimal(str(value)) for value in (strict, flexible))
    assert numbers_in(text, cut=False) == wanted


@given(
    value=st.decimals(allow_nan=False, allow_infinity=False, places=2, min_value=-(10**9), max_value=10**9),
    commas=st.booleans(),
)
def test_a_number_is_read_back_however_it_is_written(value: Decimal, commas: bool) -> None:
    text = f"so it is\n#### {value:,f}" if commas else f"so it is\n#### {value:f}"
    assert numbers_in(text, cut=False) == (value, value)


@pytest.mark.parametrize(
    ("text", "said"),
    [("First, 2 + 2 = 4", None), ("#### 42", None), ("#### 42.", None), ("#### 42\n", 42), ("#### 42 apples, 7", 42)],
)
def test_a_cut_answer_says_only_what_stands_whole_behind_the_mark(text: str, said: int | None) -> None:
    assert numbers_in(text, cut=True) == (said, said)


def test_every_figure_of_a_file_by_hand(tmp_path: Path) -> None:
    """Of four answers one is right in form, one right as the last number alone, one wrong, one without a number."""
    write_lines(tmp_path / FILE, [row(n) for n in range(4)])
    said = ["#### 4.0", "It is 4.", "#### 5", "I cannot say."]
    system = subject(answer=lambda prompt: said[int(prompt.split("What is ")[1][0])])
    figures, items = measured(GSM8K, tmp_path, system)
    assert values(figures) == {"gsm8k_strict": 1 / 4, "gsm8k_flexible": 2 / 4}
    assert items["gsm8k_strict", "2"].reason == "says no number, 4 is right"
    assert items["gsm8k_flexible", "3"].reason == "says 5, 4 is right"
    assert figures["gsm8k_strict"].unknown == 0


def test_what_is_asked_word_for_word(tmp_path: Path) -> None:
    write_lines(tmp_path / FILE, [row(1)])
    system = subject()
    measured(GSM8K, tmp_path, system)
    assert system.sampler.asked == [  # type: ignore[attr-defined]
        "What is 1?\n\nShow your working. Then end with a line of its own that says #### and the answer, as a number "
        "without a unit."
    ]


@pytest.mark.parametrize(
    ("sampler", "reason"),
    [
        (Cut("2 + 2 = 4, and"), "was cut before its answer"),
        (Cut("I begin with", finished=None), "may have been cut before its answer"),
        (Cut("", "an empty reply", None), "an empty reply"),
    ],
)
def test_an_answer_that_was_cut_or_is_missing_is_unknown(tmp_path: Path, sampler: Cut, reason: str) -> None:
    write_lines(tmp_path / FILE, [row(1)])
    figures, items = measured(GSM8K, tmp_path, Subject("cut", sampler, None))
    for name in ("gsm8k_strict", "gsm8k_flexible"):
        assert (figures[name].value, figures[name].unknown) == (None, 1)
        assert items[name, "1"].reason == reason


def test_a_problem_that_does_not_fit_is_unknown(tmp_path: Path) -> None:
    write_lines(tmp_path / FILE, [row(1), row(2)])
    system = subject(
        lambda *_: 0.0, lambda _: "#### 4", lambda prompt, _: "is long" if "2?" in prompt[-1].content else ""
    )
    figures, items = measured(GSM8K, tmp_path, system)
    assert (figures["gsm8k_strict"].value, figures["gsm8k_strict"].unknown) == (1.0, 1)
    assert items["gsm8k_flexible", "2"].reason == "is long"


def test_under_shuffled_answers_a_model_that_knows_them_is_hardly_ever_right(tmp_path: Path) -> None:
    known = list(range(100, 300))
    shuffled = random.Random(0).sample(known, len(known))
    for keys, right in ((known, 1.0), (shuffled, 0.0)):
        write_lines(tmp_path / FILE, [row(n, str(key)) for n, key in zip(known, keys, strict=True)])
        system = subject(answer=lambda prompt: f"#### {prompt.split('What is ')[1][:3]}")
        figures, _ = measured(GSM8K, tmp_path, system)
        assert figures["gsm8k_strict"].value == pytest.approx(right, abs=0.03)


def test_rows_that_cannot_be_used_are_listed(tmp_path: Path) -> None:
    rows = [row(0), {"question": "What?", "answer": "It is 4."}, row(1, "four"), {"question": "", "answer": "#### 4"}]
    write_lines(tmp_path / FILE, [*rows, {"question": 5, "answer": "#### 4"}, row(2, "1,000 ")])
    loaded = GSM8K.read(tmp_path)
    assert [(one.id, one.answer) for one in loaded.rows] == [("1", 4), ("6", 1000)]
    assert [(one.line, one.reason) for one in loaded.bad] == [
        (2, "'answer' ends in 'It is 4.'; '#### ' and a number is expected"),
        (3, "'answer' ends in ' four'; '#### ' and a number is expected"),
        (4, "'question' is missing or empty"),
        (5, "'question' is 5; a text is expected"),
    ]


def test_the_task_has_room_for_the_working() -> None:
    assert GSM8K.max_new_tokens > TaskSettings().max_new_tokens


def test_the_real_file(shared_data: Path) -> None:
    loaded = real(GSM8K, shared_data)
    assert (len(loaded.rows), loaded.bad) == (1319, [])
