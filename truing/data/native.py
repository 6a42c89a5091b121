"""truing's own form of comparisons and probes: JSON Lines with one record a line, every key named.

`prompt` is a list of messages, or a string for one user turn. Annotator, shown side, strength, ties and the rest are
kept (see `truing.core.records.Comparison`), so that export and import lose nothing.
"""

import json
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from truing.core.errors import InputError
from truing.core.records import Comparison, Message, Probe, Record
from truing.data.validate import RowError, check_prompt, check_strings, messages, read_rows, text, unique

NAME = "native"


def recognises(row: dict[str, Any]) -> bool:
    """True for rows whose answers are plain strings."""
    return isinstance(row.get("chosen"), str) and isinstance(row.get("rejected"), str) and "prompt" in row


def parse(row: dict[str, Any], fallback_id: str) -> Comparison:
    """One row → one comparison. Raises `RowError`."""
    text(row, "chosen")
    text(row, "rejected")
    if "prompt" not in row:
        raise RowError("the key 'prompt' is missing")
    try:
        return Comparison.model_validate({"id": fallback_id, **row, "prompt": prompt_of(row["prompt"])})
    except ValidationError as error:
        raise _row_error(error, Comparison) from None


def _row_error(error: ValidationError, record: type[Record]) -> RowError:
    problem = error.errors()[0]
    where = ".".join(str(part) for part in problem["loc"])
    known = f"; known keys are {', '.join(record.model_fields)}" if problem["type"] == "extra_forbidden" else ""
    return RowError(f"{where!r}: {problem['msg']}{known}")


def prompt_of(value: object) -> tuple[Message, ...]:
    """A string is one user turn; otherwise a list of messages."""
    return (Message(role="user", content=value),) if isinstance(value, str) else messages(value, "prompt")


def write(comparison: Comparison) -> str:
    """One comparison as a line, without keys that are unset."""
    values = comparison.model_dump(mode="json", exclude_defaults=True)
    return json.dumps(values, ensure_ascii=False)


def lines_of(path: Path) -> list[str]:
    """The lines of a JSON Lines file that truing wrote: a line ends at a newline only, not at U+2028 inside a text."""
    return path.read_text(encoding="utf-8").removesuffix("\n").split("\n") if path.stat().st_size else []


def read_probes(path: Path) -> list[Probe]:
    """Probes from JSON Lines. Raises `InputError` naming the file and line of the first bad row."""
    probes = []
    first_line_of: dict[str, int] = {}
    for line, row in read_rows(path):
        try:
            if isinstance(row, RowError):
                raise row
            probe = _probe(row)
            unique(probe.id, line, first_line_of)
        except RowError as error:
            raise InputError(f"{path}, line {line}: not a probe: {error}") from None
        probes.append(probe)
    return probes


def _probe(row: dict[str, Any]) -> Probe:
    if "prompt" not in row:
        raise RowError("the key 'prompt' is missing")
    try:
        probe = Probe.model_validate({**row, "prompt": prompt_of(row["prompt"])})
    except ValidationError as error:
        raise _row_error(error, Probe) from None
    check_prompt(probe.prompt)
    check_strings(probe)
    return probe
