"""Reading comparisons from JSON Lines: every row is checked, every bad one is listed with its line and reason.

Which keys a row has is a format's matter (`native.py`, `trl.py`); this file walks the lines, applies the checks that
all formats share, and never guesses, drops or cuts. A byte-order mark before the first line is no part of the text.
"""

import codecs
import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from truing.core.errors import InputError
from truing.core.records import Comparison, Conversation, Message, Probe, Role

ROLES: tuple[Role, ...] = ("system", "user", "assistant")


class RowError(ValueError):
    """A row that cannot be read; the message says why and what would be right."""


@dataclass(frozen=True)
class BadRow:
    """A line (from 1) that cannot be imported, and why."""

    line: int
    reason: str


Parse = Callable[[dict[str, Any], str], Comparison]


def read_comparisons(path: Path, parse: Parse) -> Iterator[Comparison | BadRow]:
    """Yield one item a line of a JSON Lines file: the comparison, or what is wrong with it.

    `parse` turns (row, fallback id) into a comparison. Blank lines are bad rows too, except at the end of the file.
    Raises `InputError` if the file cannot be read at all.
    """
    first_line_of: dict[str, int] = {}
    for line, row in read_rows(path):
        try:
            if isinstance(row, RowError):
                raise row
            comparison = check(parse(row, f"{path.stem}-{line}"))
            unique(comparison.id, line, first_line_of)
            yield comparison
        except RowError as error:
            yield BadRow(line, str(error))


def read_rows(path: Path) -> Iterator[tuple[int, dict[str, Any] | RowError]]:
    """Yield (line from 1, its JSON object or what is wrong with it) for each line but blank ones at the end.

    Raises `InputError` if the file cannot be read at all.
    """
    try:
        file = path.open("rb")
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check the path") from None
    blank: list[int] = []
    with file:
        for line, raw in enumerate(file, start=1):
            content = (raw.removeprefix(codecs.BOM_UTF8) if line == 1 else raw).rstrip(b"\r\n")
            if not content.strip():
                blank.append(line)
                continue
            yield from ((number, RowError("the line is blank")) for number in blank)
            blank.clear()
            try:
                yield line, _object(content)
            except RowError as error:
                yield line, error


def _object(raw: bytes) -> dict[str, Any]:
    try:
        row = json.loads(raw.decode("utf-8"), object_pairs_hook=_without_repeated_keys)
    except UnicodeDecodeError as error:
        raise RowError(f"not valid UTF-8 at byte {error.start + 1} of the line") from None
    except json.JSONDecodeError as error:
        raise RowError(f"not valid JSON ({error.msg} at column {error.colno})") from None
    except RowError:
        raise
    except (ValueError, RecursionError) as error:  # a number of thousands of digits; thousands of brackets
        raise RowError(f"JSON that cannot be read ({error})") from None
    if not isinstance(row, dict):
        raise RowError(f"expected a JSON object, found {type(row).__name__}")
    return row


def _without_repeated_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    row = dict(pairs)
    if len(row) < len(pairs):
        repeated = Counter(key for key, _ in pairs).most_common(1)[0][0]
        raise RowError(f"the key {repeated!r} stands twice in one object; keep one")
    return row


def unique(row_id: str, line: int, first_line_of: dict[str, int]) -> None:
    """Note the line of an id. Raises `RowError` if an earlier line has it."""
    if (earlier := first_line_of.setdefault(row_id, line)) != line:
        raise RowError(f"the id {row_id!r} stands in line {earlier} already; ids must be unique")


def messages(value: object, key: str) -> tuple[Message, ...]:
    """A list of {"role", "content"} objects as messages. Raises `RowError`."""
    if not isinstance(value, list) or not value:
        raise RowError(f"{key!r} must be a non-empty list of messages, found {_kind(value)}")
    result = []
    for number, item in enumerate(value, start=1):
        if not isinstance(item, dict) or set(item) != {"role", "content"} or not isinstance(item["content"], str):
            raise RowError(f"{key!r}, message {number}: expected an object with the string keys 'role' and 'content'")
        if item["role"] not in ROLES:
            raise RowError(f"{key!r}, message {number}: the role is {item['role']!r}; use one of {', '.join(ROLES)}")
        result.append(Message(role=item["role"], content=item["content"]))
    return tuple(result)


def text(row: dict[str, Any], key: str) -> str:
    """A string value that must be there. Raises `RowError`."""
    if key not in row:
        raise RowError(f"the key {key!r} is missing")
    value = row[key]
    if not isinstance(value, str):
        raise RowError(f"{key!r} must be a string, found {_kind(value)}")
    return value


def check(comparison: Comparison) -> Comparison:
    """What must hold of every comparison, whatever its format. Raises `RowError`."""
    check_prompt(comparison.prompt)
    for key, content in (("chosen", comparison.chosen), ("rejected", comparison.rejected)):
        if not content.strip():
            raise RowError(f"{key!r} is empty")
    check_strings(comparison)
    if comparison.chosen.strip() == comparison.rejected.strip() and not (comparison.tie or comparison.both_bad):
        raise RowError("'chosen' and 'rejected' are the same text; mark it as a tie or leave it out")
    return comparison


def check_prompt(prompt: Conversation) -> None:
    """After an optional system turn, user and assistant alternate, and the user's last turn says something."""
    turns = prompt[1:] if prompt[0].role == "system" else prompt
    expected: Role = "user"
    for number, turn in enumerate(turns, start=1):
        if turn.role != expected:
            raise RowError(
                f"turn {number} of the prompt is by {turn.role!r}, expected {expected!r}: turns must alternate"
            )
        expected = "assistant" if expected == "user" else "user"
    if not turns or expected != "assistant":
        raise RowError("the prompt must end with a user turn")
    if not turns[-1].content.strip():
        raise RowError("'prompt' is empty")


def check_strings(row: Comparison | Probe) -> None:
    """No text of a row, its ids and labels included, holds what cannot be written or shown."""
    strings = [("prompt", turn.content) for turn in row.prompt]
    strings += [(key, value) for key, value in row if isinstance(value, str)]
    for key, content in strings:
        if "\x00" in content:
            raise RowError(f"{key!r} holds a NUL byte")
        if any("\ud800" <= character <= "\udfff" for character in content):
            raise RowError(f"{key!r} holds half a surrogate pair (broken Unicode)")


def _kind(value: object) -> str:
    return "nothing" if value is None else f"{type(value).__name__} {str(value)[:30]!r}"
