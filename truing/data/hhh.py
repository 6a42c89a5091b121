r"""HHH alignment's files as BIG-bench has them (Askell et al. 2021, arXiv:2112.00861; Apache-2.0, google/BIG-bench).

CATEGORY/task.json is one JSON object whose `examples` hold {"input": text, "target_scores": {answer: 1 or 0}}. An input
of several turns carries the marks of a transcript, "\n\nAssistant: " and "\n\nHuman: ".
"""

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from truing.core.errors import InputError
from truing.core.records import Conversation, Record
from truing.data.hh import turns
from truing.data.published import read_published, text_of
from truing.data.rows import BadRow, Row, RowError, opened
from truing.data.validate import check_prompt


class HHHQuestion(Record):
    """A prompt, the answer that people prefer, and the others."""

    id: str
    category: str
    prompt: Conversation
    right: str
    wrong: tuple[str, ...]


def read_category(path: Path) -> tuple[list[HHHQuestion], list[BadRow]]:
    """The questions of one category, which is the name of the file's folder."""
    return read_published(path, ("input", "target_scores"), partial(_question, path.parent.name), _examples)


def _examples(path: Path) -> Iterator[Row]:
    """The elements of `examples`, numbered from 1. Raises `InputError` where the file is none of this form."""
    with opened(path) as file:
        try:
            whole = json.loads(file.read().decode("utf-8"), object_pairs_hook=_told_apart)
        except (ValueError, RecursionError) as error:
            raise InputError(f"{path}: cannot be read as JSON ({error}); fetch the file again") from None
    examples = whole.get("examples") if isinstance(whole, dict) else None
    if not isinstance(examples, list):
        raise InputError(f"{path}: expected an object with a list of 'examples', as BIG-bench's task.json is")
    for number, value in enumerate(examples, start=1):
        good = value if isinstance(value, dict | RowError) else RowError(f"{value!r} is no object")
        yield Row(number, good, unit="row")


def _told_apart(pairs: list[tuple[str, Any]]) -> dict[str, Any] | RowError:
    """An object; what is wrong with it where one of its keys stands twice, so that one answer would be lost."""
    made = dict(pairs)
    return made if len(made) == len(pairs) else RowError("a key stands twice in one object; keep one")


def _question(category: str, row: dict[str, Any], place: int) -> HHHQuestion:
    scores = row["target_scores"]
    if isinstance(scores, RowError):
        raise scores
    if not isinstance(scores, dict) or any(score not in (0, 1) for score in scores.values()):
        raise RowError("'target_scores' must be an object of answers, each with 1 or 0")
    right, wrong = (tuple(answer for answer, score in scores.items() if score == wanted) for wanted in (1, 0))
    if len(right) != 1 or not wrong or not all(answer.strip() for answer in scores):
        raise RowError(f"{len(right)} answers are marked as right and {len(wrong)} as wrong, expected one and some")
    prompt = turns(f"Human: {text_of(row, 'input').strip()}", "input")
    check_prompt(prompt)
    return HHHQuestion(id=f"{category}-{place + 1}", category=category, prompt=prompt, right=right[0], wrong=wrong)
