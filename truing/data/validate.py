"""What must hold of a comparison, whatever its format, and the walk over a file's rows: every bad one is named.

Which keys a row has is a format's matter (`native.py`, `trl.py`, …). Nothing is guessed, dropped or cut.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from truing.core.records import Comparison, Conversation, Judged, Message, Probe, Record, Role
from truing.data import files
from truing.data.rows import BadRow, LeftOverError, Row, RowError
from truing.data.seen import Seen

ROLES: tuple[Role, ...] = ("system", "user", "assistant")

Parse = Callable[[dict[str, Any], str], Sequence[Any]]
Parsed = tuple[Row, Sequence[Any] | RowError]
Check = Callable[[Comparison], object]
Join = Callable[[Iterable[Parsed]], Iterator[Parsed]]


def read_comparisons(
    paths: Path | Sequence[Path], parse: Parse, join: Join | None = None, also: Check | None = None
) -> Iterator[Comparison | BadRow]:
    """Yield each row's comparisons, or what is wrong with the row, in the files' order and one row at a time.

    `parse` turns (row, fallback id) into comparisons; `join`, where a format needs several rows for one, turns parsed
    rows into comparisons; `also` is what the caller wants to hold of each, besides
    `check`. Blank lines are bad rows too, except at the end of a file. Raises `InputError` if a file cannot be read at
    all.
    """
    with closing(Seen()) as known:
        for path in [paths] if isinstance(paths, Path) else paths:
            parsed = _parsed(path, parse)
            for row, found in join(parsed) if join else parsed:
                try:
                    if isinstance(found, RowError):
                        raise found
                    for comparison in found:
                        check(comparison)
                        if also:
                            also(comparison)
                    for comparison in found:
                        unique(comparison.id, row.number, known, row.unit)
                    yield from found
                except RowError as error:
                    yield _bad(path, row, error)


def _parsed(path: Path, parse: Parse) -> Iterator[Parsed]:
    stem = path.name.removesuffix(".gz").rpartition(".")[0] or path.name
    for row in files.read(path):
        found: Sequence[Any] | RowError
        try:
            found = row.value if isinstance(row.value, RowError) else parse(row.value, f"{stem}-{row.number}")
        except RowError as error:
            found = error
        except ValidationError as error:
            found = row_error(error, Comparison)
        yield row, found


def _bad(path: Path, row: Row, error: RowError) -> BadRow:
    raw = row.raw
    if not raw and not isinstance(row.value, RowError):
        raw = json.dumps(row.value, default=str).encode()
    return BadRow(row.number, str(error), isinstance(error, LeftOverError), row.unit, path, raw)


def row_error(error: ValidationError, record: type[Record]) -> RowError:
    """What pydantic found first, as this project says it."""
    problem = error.errors()[0]
    where = ".".join(str(part) for part in problem["loc"])
    known = f"; known keys are {', '.join(record.model_fields)}" if problem["type"] == "extra_forbidden" else ""
    return RowError(f"{where!r}: {problem['msg']}{known}")


def row_id(row: dict[str, Any], fallback_id: str) -> str:
    """A row's own id, or where it has none the fallback. Raises `RowError`."""
    value = row.get("id", fallback_id)
    if not isinstance(value, str | int) or isinstance(value, bool):
        raise RowError(f"'id' must be a string or a whole number, found {value!r}")
    return str(value)


def unique(key: str, line: int, known: Seen, unit: str = "line") -> None:
    """Note the line of an id. Raises `RowError` if an earlier line has it."""
    if (earlier := known.first(key, line)) is not None:
        raise RowError(f"the id {key!r} stands in {unit} {earlier} already; ids must be unique")


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


def shared_context(chosen: Conversation, rejected: Conversation) -> Conversation:
    """The turns before the last, which two dialogues must share. Raises `RowError`."""
    prompt = chosen[:-1]
    if rejected[:-1] != prompt:
        turns = zip(prompt, rejected[:-1], strict=False)
        differs = next((number for number, (one, other) in enumerate(turns, start=1) if one != other), None)
        where = f"differ in turn {differs}" if differs else f"are {len(chosen)} and {len(rejected)} turns long"
        raise RowError(
            f"'chosen' and 'rejected' do not share their context ({where}); the turns before the last must be equal"
        )
    if not prompt:
        raise RowError("there is no prompt: neither a key 'prompt' nor turns before the answers")
    return prompt


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


def check_strings(row: Comparison | Judged | Probe) -> None:
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
