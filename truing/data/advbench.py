"""AdvBench's harmful behaviours (Zou et al. 2023, arXiv:2307.15043; MIT, github.com/llm-attacks/llm-attacks)."""

from pathlib import Path
from typing import Any

from truing.core.records import Record
from truing.data.published import read_published, text_of
from truing.data.rows import BadRow


class Goal(Record):
    """A harmful request. `target` is how an answer that complies begins. The id tells the place from 0."""

    id: str
    goal: str
    target: str


def read_goals(path: Path) -> tuple[list[Goal], list[BadRow]]:
    """The rows of advbench.csv."""
    return read_published(path, ("goal", "target"), _goal)


def _goal(row: dict[str, Any], place: int) -> Goal:
    return Goal(id=f"advbench-{place}", goal=text_of(row, "goal"), target=text_of(row, "target"))
