"""HarmBench's behaviours (Mazeika et al. 2024, arXiv:2402.04249; MIT, github.com/centerforaisafety/HarmBench)."""

from pathlib import Path
from typing import Any, Literal, get_args

from truing.core.records import Record
from truing.data.published import read_published, text_of
from truing.data.rows import BadRow, RowError

Category = Literal["standard", "contextual", "copyright"]

_BETWEEN = "\n\n---\n\n"  # as HarmBench's own pipeline puts a context and its request together


class Behavior(Record):
    """A harmful request. Where it is contextual, `context` is the text that it speaks of."""

    id: str
    behavior: str
    category: Category
    topic: str
    context: str

    @property
    def request(self) -> str:
        """What is asked of a model."""
        return f"{self.context}{_BETWEEN}{self.behavior}" if self.context else self.behavior


def parts_of(request: str) -> tuple[str, str]:
    """A request's context (empty: it has none) and its behaviour."""
    context, _, behavior = request.rpartition(_BETWEEN)
    return context, behavior


def read_behaviors(path: Path) -> tuple[list[Behavior], list[BadRow]]:
    """The rows of behaviors_text_test.csv or behaviors_text_val.csv."""
    return read_published(path, ("Behavior", "FunctionalCategory", "SemanticCategory", "BehaviorID"), _behavior)


def _behavior(row: dict[str, Any], _place: int) -> Behavior:
    category = row["FunctionalCategory"]
    if category not in get_args(Category):
        raise RowError(f"'FunctionalCategory' is {category!r}; one of {', '.join(get_args(Category))} is expected")
    context = row.get("ContextString", "")
    if category == "contextual" and not context.strip():
        raise RowError("a contextual behaviour needs a 'ContextString'")
    return Behavior(
        id=row["BehaviorID"],
        behavior=text_of(row, "Behavior"),
        category=category,
        topic=row["SemanticCategory"],
        context=context,
    )
