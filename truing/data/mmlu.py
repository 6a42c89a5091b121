"""MMLU's files (Hendrycks et al. 2021, arXiv:2009.03300; MIT, github.com/hendrycks/test, data.tar), two a subject.

A line is question, four options and the letter of the right one; there is no header. SUBJECT_test.csv holds the
questions, SUBJECT_dev.csv the five worked ones that stand before each of them.
"""

from functools import partial
from pathlib import Path
from typing import Any

from truing.core.errors import InputError
from truing.core.records import Record
from truing.data import delimited
from truing.data.published import read_published, text_of
from truing.data.rows import BadRow, RowError

LETTERS = ("A", "B", "C", "D")
SHOTS = 5
_COLUMNS = ("question", *LETTERS, "answer")


class Worked(Record):
    """A question with its options; `right` is the place of the correct one."""

    id: str
    question: str
    options: tuple[str, str, str, str]
    right: int


class MMLUQuestion(Worked):
    """A question of a subject, with the worked ones that stand before it."""

    subject: str
    primer: tuple[Worked, ...]


def dev_of(test: Path) -> Path:
    """The file of worked questions that belongs to a file of questions."""
    return test.parent.parent / "dev" / f"{subject_of(test)}_dev.csv"


def subject_of(test: Path) -> str:
    """A file's subject, as its name says it."""
    return test.name.removesuffix("_test.csv")


def read_subject(test: Path) -> tuple[list[MMLUQuestion], list[BadRow]]:
    """One subject's questions. Raises `InputError` where the worked ones are not as they should be: every question
    would be asked otherwise."""
    subject, dev = subject_of(test), dev_of(test)
    worked, bad = _read(dev, subject)
    if bad:
        raise InputError(f"{dev}, {bad[0].unit} {bad[0].line}: {bad[0].reason}; fetch the file again")
    if len(worked) < SHOTS:
        raise InputError(f"{dev}: {len(worked)} worked questions, expected {SHOTS}; fetch the file again")
    primer = tuple(worked[:SHOTS])
    questions, bad = _read(test, subject)
    return [MMLUQuestion(**dict(one), subject=subject, primer=primer) for one in questions], bad


def _read(path: Path, subject: str) -> tuple[list[Worked], list[BadRow]]:
    parse = partial(_worked, subject)
    return read_published(path, _COLUMNS, parse, partial(delimited.read, columns=_COLUMNS))


def _worked(subject: str, row: dict[str, Any], place: int) -> Worked:
    if row["answer"] not in LETTERS:
        raise RowError(f"the answer is {row['answer']!r}; A, B, C or D is expected")
    a, b, c, d = (text_of(row, letter) for letter in LETTERS)
    return Worked(
        id=f"{subject}-{place + 1}",
        question=text_of(row, "question"),
        options=(a, b, c, d),
        right=LETTERS.index(row["answer"]),
    )
