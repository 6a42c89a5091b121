"""ARC's files (Clark et al. 2018, arXiv:1803.05457; CC-BY-SA-4.0, allenai.org/data/arc): school science questions.

One JSON object a line: {"id", "question": {"stem", "choices": [{"text", "label"}]}, "answerKey"}. Labels are letters,
of some questions digits; most have four choices, a few three or five.
"""

from pathlib import Path
from typing import Any

from truing.core.records import Record
from truing.data.published import read_published, text_of
from truing.data.rows import BadRow, RowError


class ARCQuestion(Record):
    """A question; `right` is the place of the correct choice."""

    id: str
    question: str
    choices: tuple[str, ...]
    right: int


def read_questions(path: Path) -> tuple[list[ARCQuestion], list[BadRow]]:
    """The questions of one file."""
    return read_published(path, ("id", "question", "answerKey"), _question)


def _question(row: dict[str, Any], _place: int) -> ARCQuestion:
    asked = row["question"]
    if not isinstance(asked, dict) or not isinstance(asked.get("choices"), list):
        raise RowError("'question' must be an object with 'stem' and a list of 'choices'")
    if not all(isinstance(choice, dict) for choice in asked["choices"]):
        raise RowError("'choices' must hold objects with 'text' and 'label'")
    labels = [text_of(choice, "label") for choice in asked["choices"]]
    choices = tuple(text_of(choice, "text") for choice in asked["choices"])
    if len(labels) < 2 or len(set(labels)) < len(labels):
        raise RowError(f"the choices are labelled {', '.join(labels) or 'with nothing'}; two different labels at least")
    if row["answerKey"] not in labels:
        raise RowError(f"'answerKey' is {row['answerKey']!r}, which is none of the choices' labels {', '.join(labels)}")
    right = labels.index(row["answerKey"])
    if choices.count(choices[right]) > 1:
        raise RowError("the right choice stands twice among the choices")
    return ARCQuestion(id=text_of(row, "id"), question=text_of(asked, "stem"), choices=choices, right=right)
