"""Plain text in passages: paragraphs of UTF-8 files, which blank lines part."""

import re
from pathlib import Path

from truing.core.errors import InputError
from truing.core.records import Record
from truing.data.rows import opened


class Passage(Record):
    """A paragraph, named by its file and its place."""

    id: str
    file: str
    text: str


def read_passages(path: Path) -> list[Passage]:
    """A file's paragraphs. Raises `InputError` where there is none, or the file is no UTF-8 text."""
    with opened(path) as file:
        try:
            text = file.read().decode("utf-8")
        except UnicodeDecodeError as error:
            raise InputError(f"{path}: not valid UTF-8 at byte {error.start + 1}") from None
    found = [part.strip() for part in re.split(r"\n[ \t]*\r?\n", text) if part.strip()]
    if not found:
        raise InputError(f"{path}: there is no text in it")
    return [Passage(id=f"{path.stem}-{place}", file=path.stem, text=part) for place, part in enumerate(found, start=1)]
