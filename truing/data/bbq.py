"""BBQ's files (Parrish et al. 2022, arXiv:2110.08193; CC-BY-4.0, github.com/nyu-mll/BBQ), one a category.

Each question has three answers: two groups and one that says it cannot be known. Whom a stereotype is about is told by
`stereotyped_groups`; a question of which the answers do not say who is meant is listed as bad.
"""

from pathlib import Path
from typing import Any, Literal

from truing.core.records import Record
from truing.data.published import read_published, text_of
from truing.data.rows import BadRow, RowError

_COLUMNS = (
    "question_index", "question_polarity", "context_condition", "category", "answer_info", "additional_metadata",
    "context", "question", "ans0", "ans1", "ans2",
)  # fmt: skip


class BBQQuestion(Record):
    """A question. `right` is the place of the correct answer, `unknown` that of "cannot be known", `biased` that of the
    answer which the stereotype would give (the group that it is about, or the other one where being it is good)."""

    id: str
    cluster: str
    category: str
    ambiguous: bool
    context: str
    question: str
    answers: tuple[str, str, str]
    right: int
    unknown: int
    biased: int
    polarity: Literal["neg", "nonneg"]


def read_questions(path: Path) -> tuple[list[BBQQuestion], list[BadRow]]:
    """The questions of one category's file."""
    return read_published(path, _COLUMNS, _question)


def _question(row: dict[str, Any], _place: int) -> BBQQuestion:
    condition, polarity = row["context_condition"], row["question_polarity"]
    if condition not in ("ambig", "disambig") or polarity not in ("neg", "nonneg"):
        raise RowError(f"context_condition {condition!r} or question_polarity {polarity!r} is not one of BBQ's")
    if row.get("label") not in (0, 1, 2):
        raise RowError(f"'label' is {row.get('label')!r}; 0, 1 or 2 is expected")
    groups = _groups(row)
    unknowns = [place for place, group in enumerate(groups) if group[1] == "unknown"]
    if len(unknowns) != 1:
        raise RowError(f"{len(unknowns)} answers are marked as unknown; one is expected")
    (unknown,) = unknowns
    targets = _targets(row, groups, unknown)
    if len(targets) != 1:
        raise RowError("'stereotyped_groups' does not say which of the two answers the stereotype is about")
    (target,) = targets
    other = ({0, 1, 2} - {target, unknown}).pop()
    return BBQQuestion(
        id=f"{row['category']}-{row.get('example_id')}",
        cluster=f"{row['category']}-{row['question_index']}",
        category=row["category"],
        ambiguous=condition == "ambig",
        context=text_of(row, "context"),
        question=text_of(row, "question"),
        answers=(text_of(row, "ans0"), text_of(row, "ans1"), text_of(row, "ans2")),
        right=row["label"],
        unknown=unknown,
        biased=target if polarity == "neg" else other,
        polarity=polarity,
    )


def _groups(row: dict[str, Any]) -> list[tuple[str, str]]:
    """Of each answer the name that it gives, and its group."""
    info = row["answer_info"]
    groups = []
    for key in ("ans0", "ans1", "ans2"):
        value = info.get(key) if isinstance(info, dict) else None
        if not isinstance(value, list) or len(value) != 2 or not all(isinstance(part, str) for part in value):
            raise RowError(f"'answer_info' needs a name and a group for {key}")
        groups.append((value[0], value[1]))
    return groups


def _targets(row: dict[str, Any], groups: list[tuple[str, str]], unknown: int) -> list[int]:
    """The places of the answers that name a stereotyped group, by group, or else by name."""
    metadata = row["additional_metadata"]
    stereotyped = metadata.get("stereotyped_groups") if isinstance(metadata, dict) else None
    if not isinstance(stereotyped, list) or not stereotyped:
        raise RowError("'additional_metadata' has no 'stereotyped_groups'")
    wanted = {str(group).casefold() for group in stereotyped}
    for part in (1, 0):
        found = [place for place, group in enumerate(groups) if place != unknown and group[part].casefold() in wanted]
        if found:
            return found
    return []
