"""TruthfulQA's files (Lin et al. 2022, arXiv:2109.07958; Apache-2.0, github.com/sylinrl/TruthfulQA).

`mc_task.json` is the 2025 version (790 questions, with a binary form), `hf_multiple_choice_817.json` the older strings
that lm-evaluation-harness scores, `TruthfulQA.csv` the questions with all their reference answers.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from truing.core.records import Record
from truing.data.published import read_published, text_of
from truing.data.rows import BadRow, RowError


class TruthfulQuestion(Record):
    """A question. `best` stands against each of `best_against` (MC1); `true` and `false` are the answers of MC2 and
    MC3; `binary` are the best and the best incorrect answer, where the file has that form."""

    id: str
    question: str
    best: str
    best_against: tuple[str, ...]
    true: tuple[str, ...]
    false: tuple[str, ...]
    binary: tuple[str, str] | None = None


def read_choices(path: Path, binary: bool) -> tuple[list[TruthfulQuestion], list[BadRow]]:
    """The questions of either multiple-choice file: targets are {answer: label}, or {"choices": …, "labels": …}. With
    `binary` each must have the binary form, too."""
    columns = ("question", *(("mc0_targets",) if binary else ()), "mc1_targets", "mc2_targets")
    return read_published(path, columns, _question)


def _question(row: dict[str, Any], place: int) -> TruthfulQuestion:
    best, against = _labelled(row, "mc1_targets")
    true, false = _labelled(row, "mc2_targets")
    if len(best) != 1:
        raise RowError(f"'mc1_targets' marks {len(best)} answers as right; one is expected")
    binary = None
    if "mc0_targets" in row:
        right, wrong = _labelled(row, "mc0_targets")
        if len(right) != 1 or len(wrong) != 1:
            raise RowError("'mc0_targets' must hold one right and one wrong answer")
        binary = (right[0], wrong[0])
    return TruthfulQuestion(
        id=str(row.get("id", place + 1)),
        question=text_of(row, "question"),
        best=best[0],
        best_against=against,
        true=true,
        false=false,
        binary=binary,
    )


def _labelled(row: dict[str, Any], key: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The answers with label 1, and those with label 0, each in the file's order."""
    targets = row[key]
    if not isinstance(targets, Mapping):
        raise RowError(f"{key!r} must be an object of answers and labels")
    if set(targets) == {"choices", "labels"}:
        answers, labels = targets["choices"], targets["labels"]
        if not isinstance(answers, list) or not isinstance(labels, list) or len(answers) != len(labels):
            raise RowError(f"{key!r} must have as many labels as choices")
    else:
        answers, labels = list(targets), list(targets.values())
    if not all(isinstance(answer, str) for answer in answers):  # some of the set's own answers are empty
        raise RowError(f"{key!r} holds an answer that is no text")
    if any(label not in (0, 1) for label in labels):
        raise RowError(f"{key!r} holds a label that is neither 0 nor 1")
    right, wrong = (
        tuple(answer for answer, label in zip(answers, labels, strict=True) if label == wanted) for wanted in (1, 0)
    )
    if not right or not wrong:
        raise RowError(f"{key!r} needs a right and a wrong answer")
    return right, wrong


class AnsweredQuestion(Record):
    """A question with its reference answers, for judging what a model writes."""

    id: str
    question: str
    category: str
    correct: tuple[str, ...]
    incorrect: tuple[str, ...]


def read_answers(path: Path) -> tuple[list[AnsweredQuestion], list[BadRow]]:
    """The rows of TruthfulQA.csv."""
    columns = ("Category", "Question", "Best Answer", "Best Incorrect Answer", "Correct Answers", "Incorrect Answers")
    return read_published(path, columns, _answered)


def _answered(row: dict[str, Any], place: int) -> AnsweredQuestion:
    correct, incorrect = (
        tuple(answer.strip() for answer in text_of(row, key).split(";") if answer.strip())
        for key in ("Correct Answers", "Incorrect Answers")
    )
    return AnsweredQuestion(
        id=str(place + 1),
        question=text_of(row, "Question"),
        category=text_of(row, "Category"),
        correct=correct,
        incorrect=incorrect,
    )
