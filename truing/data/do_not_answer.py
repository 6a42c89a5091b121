"""Do-Not-Answer's prompts (Wang et al. 2023, arXiv:2308.13387; Apache-2.0, github.com/Libr-AI/do-not-answer).

JSON Lines, one file a risk area, each row a `prompt` that a responsible assistant declines.
"""

from pathlib import Path
from typing import Any

from truing.core.records import Record
from truing.data.published import read_published, text_of
from truing.data.rows import BadRow


class Declinable(Record):
    """A prompt and its risk area, which the file's name tells."""

    id: str
    prompt: str
    area: str


def read_prompts(path: Path) -> tuple[list[Declinable], list[BadRow]]:
    """The prompts of one area's file."""

    def parse(row: dict[str, Any], place: int) -> Declinable:
        return Declinable(id=f"{path.stem}-{place}", prompt=text_of(row, "prompt"), area=path.stem)

    return read_published(path, ("prompt",), parse)
