"""truing's own form of comparisons and probes: JSON Lines with one record a line, every key named.

`prompt` is a list of messages, or a string for one user turn. Annotator, shown side, strength, ties and the rest are
kept (see `truing.core.records.Comparison`), so that export and import lose nothing.
"""

import json
from contextlib import closing
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from truing.core.errors import InputError
from truing.core.records import Comparison, Message, Probe
from truing.data import files
from truing.data.rows import AS_IT_IS, Ask, RowError
from truing.data.seen import Seen
from truing.data.validate import check_prompt, check_strings, messages, row_error, text, unique

NAME = "native"


def recognises(row: dict[str, Any]) -> bool:
    """True for rows whose answers are plain strings."""
    return isinstance(row.get("chosen"), str) and isinstance(row.get("rejected"), str) and "prompt" in row


def parse(row: dict[str, Any], fallback_id: str, _ask: Ask = AS_IT_IS) -> list[Comparison]:
    """One row → one comparison. Raises `RowError`."""
    return [one(row, fallback_id)]


def one(row: dict[str, Any], fallback_id: str = "") -> Comparison:
    """The comparison that a row is. Raises `RowError`, or pydantic's `ValidationError`."""
    text(row, "chosen")
    text(row, "rejected")
    if "prompt" not in row:
        raise RowError("the key 'prompt' is missing")
    return Comparison.model_validate({"id": fallback_id, **row, "prompt": prompt_of(row["prompt"])})


def prompt_of(value: object) -> tuple[Message, ...]:
    """A string is one user turn; otherwise a list of messages."""
    return (Message(role="user", content=value),) if isinstance(value, str) else messages(value, "prompt")


def write(comparison: Comparison) -> list[dict[str, Any]]:
    """One comparison as a row, without keys that are unset."""
    return [comparison.model_dump(mode="json", exclude_defaults=True)]


def line(comparison: Comparison) -> str:
    """One comparison as a line of JSON, without its end."""
    return json.dumps(comparison.model_dump(mode="json", exclude_defaults=True), ensure_ascii=False)


def lines_of(path: Path) -> list[str]:
    """The lines of a JSON Lines file that truing wrote: a line ends at a newline only, not at U+2028 inside a text."""
    return path.read_text(encoding="utf-8").removesuffix("\n").split("\n") if path.stat().st_size else []


def read_probes(path: Path) -> list[Probe]:
    """Probes from JSON Lines. Raises `InputError` naming the file and line of the first bad row."""
    probes = []
    with closing(Seen()) as known:
        for row in files.read(path):
            try:
                if isinstance(row.value, RowError):
                    raise row.value
                probe = _probe(row.value)
                unique(probe.id, row.number, known)
            except RowError as error:
                raise InputError(f"{path}, line {row.number}: not a probe: {error}") from None
            probes.append(probe)
    return probes


def _probe(row: dict[str, Any]) -> Probe:
    if "prompt" not in row:
        raise RowError("the key 'prompt' is missing")
    try:
        probe = Probe.model_validate({**row, "prompt": prompt_of(row["prompt"])})
    except ValidationError as error:
        raise row_error(error, Probe) from None
    check_prompt(probe.prompt)
    check_strings(probe)
    return probe
