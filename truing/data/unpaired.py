"""Judged single answers (TRL's unpaired preference): `prompt`, `completion` and a truth `label`, true for a good one.

A comparison needs both. Of equal prompts, each good completion is joined with the first bad one that still waits, and
the other way round, in the file's order; no completion is used twice. What finds no counterpart is left over: counted
and listed, never dropped. Completions that wait are held in memory; of a file sorted by prompt, those are few. Where
losses are of single answers (KTO, BCO), `read_judged` gives the completions as they are.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from truing.core.records import Comparison, Conversation, Judged, Message
from truing.data import delimited, files
from truing.data.native import prompt_of
from truing.data.rows import AS_IT_IS, Ask, BadRow, LeftOverError, Row, RowError
from truing.data.seen import Seen
from truing.data.validate import Parsed, check_prompt, check_strings, messages, row_id, unique

NAME = "unpaired"
CARRIES = ("prompt", "chosen", "rejected")


def recognises(row: dict[str, Any]) -> bool:
    """True for rows with a completion and a label."""
    return "prompt" in row and "completion" in row and "label" in row


def parse(row: dict[str, Any], fallback_id: str, _ask: Ask = AS_IT_IS) -> list[Judged]:
    """One row → one judged completion. Raises `RowError`."""
    for key in ("prompt", "completion", "label"):
        if key not in row:
            raise RowError(f"the key {key!r} is missing")
    if not isinstance(row["label"], bool):
        raise RowError(f"'label' must be true or false, found {row['label']!r}")
    completion = row["completion"]
    if not isinstance(completion, str):
        turns = messages(completion, "completion")
        if len(turns) != 1 or turns[0].role != "assistant":
            raise RowError("'completion' must be a text or one assistant message")
        completion = turns[0].content
    if not completion.strip():
        raise RowError("'completion' is empty")
    prompt = prompt_of(row["prompt"])
    return [Judged(id=row_id(row, fallback_id), prompt=prompt, completion=completion, good=row["label"])]


def read_judged(path: Path) -> Iterator[Judged | BadRow]:
    """Every judged completion of a file, or what is wrong with its row, in the file's order. Raises `InputError` if
    the file cannot be read at all."""
    with closing(Seen()) as known:
        for row in files.read(path):
            try:
                if isinstance(row.value, RowError):
                    raise row.value
                (found,) = parse(delimited.typed(row.value), f"{path.stem}-{row.number}")
                check_prompt(found.prompt)
                check_strings(found)
                unique(found.id, row.number, known, row.unit)
            except RowError as error:
                yield BadRow(row.number, str(error), unit=row.unit, file=path)
                continue
            yield found


def judged_line(judged: Judged) -> dict[str, Any]:
    """A judged completion as a row that `parse` reads back equal."""
    prompt = [message.model_dump() for message in judged.prompt]
    return {"id": judged.id, "prompt": prompt, "completion": judged.completion, "label": judged.good}


def join(parsed: Iterable[Parsed]) -> Iterator[Parsed]:
    """Rows of judged completions → rows of comparisons, and at the end those that are left over, in order."""
    waiting: dict[tuple[Conversation, bool], list[tuple[Row, Judged]]] = defaultdict(list)
    for row, found in parsed:
        if isinstance(found, RowError):
            yield row, found
            continue
        (judged,) = found
        counterparts = waiting[judged.prompt, not judged.good]
        place = next((n for n, (_, one) in enumerate(counterparts) if one.completion != judged.completion), None)
        if place is None:
            waiting[judged.prompt, judged.good].append((row, judged))
            continue
        _, other = counterparts.pop(place)
        if not counterparts:
            del waiting[judged.prompt, not judged.good]
        good, bad = (judged, other) if judged.good else (other, judged)
        yield row, [Comparison(id=good.id, prompt=good.prompt, chosen=good.completion, rejected=bad.completion)]
    left = sorted((one for rows in waiting.values() for one in rows), key=lambda one: one[0].number)
    for row, judged in left:
        which, wanted = ("good", "bad") if judged.good else ("bad", "good")
        yield row, LeftOverError(f"a {which} completion that no {wanted} one of the same prompt is left for")


def write(comparison: Comparison) -> list[dict[str, Any]]:
    """One comparison as two rows, the good completion first. Raises `RowError` for a tie."""
    if comparison.tie or comparison.both_bad:
        raise RowError("no answer won, and this form has only good and bad ones")
    prompt = [message.model_dump() for message in comparison.prompt]

    def row(answer: str, label: bool) -> dict[str, Any]:
        completion = [Message(role="assistant", content=answer).model_dump()]
        return {"prompt": prompt, "completion": completion, "label": label}

    return [row(comparison.chosen, True), row(comparison.rejected, False)]
