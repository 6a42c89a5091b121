"""The rows of the parity check: a few short pairs of hh-rlhf. Standard library only, and `rows` of the benchmark."""

from pathlib import Path
from typing import Any

from rows import pairs


def short_pairs(file: Path, count: int) -> list[dict[str, Any]]:
    """The `count` shortest of the first 300 usable pairs whose answers are longer than a word or two."""
    found = [row for row in pairs(file, 300) if min(len(_answer(row, side)) for side in ("chosen", "rejected")) > 40]
    return sorted(found, key=lambda row: sum(len(turn["content"]) for part in row.values() for turn in part))[:count]


def _answer(row: dict[str, Any], side: str) -> str:
    content: str = row[side][0]["content"]
    return content
