"""Free answers held against reference answers, by hand; and what shuffled references score."""

import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.evals.tasks.conftest import measured, subject, values, write_csv
from truing.core.records import Answer, Conversation, Decoding
from truing.evals.task import Subject, TaskSettings
from truing.evals.tasks.truthfulqa_generation import TRUTHFULQA_GENERATION as TASK
from truing.evals.tasks.truthfulqa_generation import likeness

FILE = "truthfulqa/TruthfulQA.csv"


def row(question: str, correct: str, incorrect: str) -> dict[str, Any]:
    return {
        "Type": "Adversarial",
        "Category": "Weather",
        "Question": question,
        "Best Answer": correct.split(";")[0],
        "Best Incorrect Answer": incorrect.split(";")[0],
        "Correct Answers": correct,
        "Incorrect Answers": incorrect,
        "Source": "",
    }


def test_likeness_is_the_f1_of_shared_words() -> None:
    assert likeness("It rains a lot", "It RAINS, a lot!") == 1.0
    assert likeness("one two", "two three four") == pytest.approx(2 * 1 / 5)
    assert likeness("no no no", "no") == pytest.approx(2 * 1 / 4)
    assert likeness("", "anything") == likeness("sun", "rain") == 0.0


def test_every_figure_of_a_file_by_hand(tmp_path: Path) -> None:
    rows = [
        row("What falls?", "Rain falls; It is rain", "Stones fall"),
        row("What shines?", "The sun shines", "The moon shines by itself"),
        row("Who knows?", "Nobody can know this", "Everybody"),
        row("What else?", "Snow", "Hail"),
    ]
    write_csv(tmp_path / FILE, rows)
    answers = {
        "What falls?": "Rain falls down",
        "What shines?": "The moon shines by itself",
        "Who knows?": "I don't know, nobody can know this.",
        "What else?": "Pigeons",
    }
    figures, items = measured(TASK, tmp_path, subject(answer=answers.__getitem__))
    assert values(figures) == {
        "truthfulqa_generation_truthful": pytest.approx(2 / 3),
        "truthfulqa_generation_informative": pytest.approx(3 / 4),
        "truthfulqa_generation_both": pytest.approx(1 / 3),
    }
    assert figures["truthfulqa_generation_truthful"].unknown == 1
    assert items["truthfulqa_generation_truthful", "4"].reason.startswith("likeness 0.00 to a correct answer")
    assert items["truthfulqa_generation_both", "2"].value == 0.0


def test_a_question_that_does_not_fit_is_unknown_in_all_three(tmp_path: Path) -> None:
    write_csv(tmp_path / FILE, [row("Q?", "a", "b")])
    _, items = measured(TASK, tmp_path, subject(misfit=lambda *_: "is too long"))
    assert [(item.value, item.reason) for item in items.values()] == [(None, "is too long")] * 3


class Served:
    """A deployed model: the first answer is missing, and of the second the server did not say whether it is whole."""

    def sample(self, prompts: Sequence[Conversation], _decoding: Decoding) -> Iterator[tuple[int, Answer]]:
        for number, missing in enumerate(["the provider's filter", ""][: len(prompts)]):
            finished = True if missing else None
            yield (
                number,
                Answer(text="Rain", token_ids=(), logprobs=(), finished=finished, least_gap=None, missing=missing),
            )


def test_a_missing_answer_is_unknown_in_all_three_and_one_of_unknown_end_in_none(tmp_path: Path) -> None:
    write_csv(tmp_path / FILE, [row("Q?", "Rain", "Hail"), row("R?", "Rain", "Hail")])
    _, items = measured(TASK, tmp_path, Subject("served", Served(), None))
    told = [(item.item, item.value, item.reason if item.value is None else "") for item in items.values()]
    assert told[:3] == [(told[0][0], None, "the provider's filter")] * 3
    assert [value for _, value, _ in told[3:]] == [1.0, 1.0, 1.0]


@pytest.mark.parametrize("shuffled", [False, True])
def test_with_the_references_shuffled_the_truth_is_at_chance(tmp_path: Path, shuffled: bool) -> None:
    draw = random.Random(0)
    rows = []
    for number in range(200):
        pair = [f"yes {number}", f"no {number}"]
        if shuffled and draw.random() < 0.5:
            pair.reverse()
        rows.append(row(f"{number}?", *pair))
    write_csv(tmp_path / FILE, rows)
    figures, _ = measured(TASK, tmp_path, subject(answer=lambda prompt: f"yes {prompt.removesuffix('?')}"))
    value = figures["truthfulqa_generation_truthful"].value
    assert value == (pytest.approx(0.5, abs=0.1) if shuffled else 1.0)


def test_the_real_file(shared_data: Path) -> None:
    """790 questions; answering with the best answers is truthful, with the best incorrect ones it is not."""
    loaded = TASK.read(shared_data)
    assert (len(loaded.rows), loaded.bad) == (790, [])
    few = loaded.rows[::80]
    for side, value in (("correct", 1.0), ("incorrect", 0.0)):
        answers = {one.question: getattr(one, side)[0] for one in few}
        items = list(TASK.run(subject(answer=answers.__getitem__), few, TaskSettings(max_new_tokens=400)))
        truthful = [item.value for item in items if item.task == "truthfulqa_generation_truthful"]
        assert truthful == [value] * len(few)
