"""The questions of the benchmark, for both sides. Standard library only."""

import json
from pathlib import Path
from typing import Any


def questions(file: Path, count: int, first: int | None = None) -> list[dict[str, Any]]:
    """`count` questions of the older multiple-choice set: evenly spaced, or from the `first` on in the file's order."""
    rows = json.loads(file.read_text(encoding="utf-8"))
    if first is not None:
        return rows[first : first + count]
    return [rows[number * len(rows) // count] for number in range(min(count, len(rows)))]
