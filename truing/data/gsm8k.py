"""GSM8K's test file (Cobbe et al. 2021, arXiv:2110.14168; MIT, github.com/openai/grade-school-math): test.jsonl.

One JSON object a line: {"question", "answer"}; the answer is a worked one that ends in `#### ` and a number.
"""

from decimal import Decimal
from pathlib import Path
from typing import Any

import regex

from truing.core.records import Record
from truing.data.published import read_published, text_of
from truing.data.rows import BadRow, RowError

# A number with or without thousands' commas, a currency sign before it; a hyphen behind a letter or digit is no minus.
NUMBER = r"(?<minus>(?<![\w)])[-−])?(?:[$€£]\s?)?(?<size>\d{1,3}(?:,\d{3})+(?!\d)(?:\.\d+)?|\d+(?:\.\d+)?|\.\d+)"


class GSM8KProblem(Record):
    """A problem, and the number that is its answer."""

    id: str
    question: str
    answer: Decimal


def read_problems(path: Path) -> tuple[list[GSM8KProblem], list[BadRow]]:
    """The problems of the file."""
    return read_published(path, ("question", "answer"), _problem)


def value_of(match: "regex.Match[str]") -> Decimal:
    """The number that a match of `NUMBER` says."""
    size = Decimal(match["size"].replace(",", ""))
    return -size if match["minus"] else size


def _problem(row: dict[str, Any], place: int) -> GSM8KProblem:
    _, mark, end = text_of(row, "answer").rpartition("####")
    match = regex.fullmatch(NUMBER, end.strip())
    if not mark or match is None:
        raise RowError(f"'answer' ends in {end[-40:]!r}; '#### ' and a number is expected")
    return GSM8KProblem(id=str(place + 1), question=text_of(row, "question"), answer=value_of(match))
