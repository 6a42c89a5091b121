"""StrongREJECT's forbidden prompts (Souly et al. 2024, arXiv:2402.10260; MIT, github.com/alexandrasouly/strongreject).

CSV with the columns category, source, forbidden_prompt. The id tells the place from 0.
"""

from pathlib import Path
from typing import Any

from truing.core.records import Record
from truing.data.published import read_published, text_of
from truing.data.rows import BadRow


class ForbiddenPrompt(Record):
    """A harmful request, its kind of harm, and where it was taken from."""

    id: str
    category: str
    source: str
    prompt: str


def read_forbidden(path: Path) -> tuple[list[ForbiddenPrompt], list[BadRow]]:
    """The rows of strongreject_dataset.csv."""
    return read_published(path, ("category", "source", "forbidden_prompt"), _forbidden)


def _forbidden(row: dict[str, Any], place: int) -> ForbiddenPrompt:
    return ForbiddenPrompt(
        id=f"strongreject-{place}",
        category=text_of(row, "category"),
        source=text_of(row, "source"),
        prompt=text_of(row, "forbidden_prompt"),
    )
