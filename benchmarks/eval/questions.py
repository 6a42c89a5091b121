"""The questions of the benchmark, for both sides. Standard library only."""

import json
from pathlib import Path
from typing import Any


def questions(file: Path, count: int) -> list[dict[str, Any]]:
    """`count` questions of the older multiple-choice set, evenly spaced."""
    rows = json.loads(file.read_text(encoding="utf-8"))
    return [rows[number * len(rows) // count] for number in range(min(count, len(rows)))]
