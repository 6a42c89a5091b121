"""The preference form of TRL and Hugging Face, conversational: `prompt`, `chosen` and `rejected` are lists of messages.

Read: with an explicit prompt, answers are one assistant message each; with an implicit prompt, both dialogues
hold the same turns but for the last. Written: explicit prompt. What that form cannot say (annotator, strength, …) is
not written.
"""

import json
from typing import Any

from truing.core.records import Comparison, Message
from truing.data.validate import RowError, messages

NAME = "trl"


def recognises(row: dict[str, Any]) -> bool:
    """True for rows whose answers are lists of messages."""
    return isinstance(row.get("chosen"), list) and isinstance(row.get("rejected"), list)


def parse(row: dict[str, Any], fallback_id: str) -> Comparison:
    """One row → one comparison. Raises `RowError`."""
    for key in ("chosen", "rejected"):
        if key not in row:
            raise RowError(f"the key {key!r} is missing")
    unknown = sorted(set(row) - {"prompt", "chosen", "rejected", "id"})
    if unknown:
        raise RowError(f"unknown keys {', '.join(map(repr, unknown))}; this form has prompt, chosen, rejected and id")
    chosen, rejected = messages(row["chosen"], "chosen"), messages(row["rejected"], "rejected")
    if "prompt" in row:
        prompt = messages(row["prompt"], "prompt")
        if len(chosen) != 1 or len(rejected) != 1:
            raise RowError("beside an explicit prompt, 'chosen' and 'rejected' must be one assistant message each")
    else:
        prompt = chosen[:-1]
        if rejected[:-1] != prompt:
            raise RowError(
                "'chosen' and 'rejected' do not share their context; the turns before the last must be equal"
            )
        if not prompt:
            raise RowError("there is no prompt: neither a key 'prompt' nor turns before the answers")
    row_id = row.get("id", fallback_id)
    if not isinstance(row_id, str | int) or isinstance(row_id, bool):
        raise RowError(f"'id' must be a string or a whole number, found {row_id!r}")
    return Comparison(
        id=str(row_id),
        prompt=prompt,
        chosen=_answer(chosen[-1], "chosen"),
        rejected=_answer(rejected[-1], "rejected"),
    )


def write(comparison: Comparison) -> str:
    """One comparison as a line with an explicit prompt."""
    return json.dumps(
        {
            "prompt": [message.model_dump() for message in comparison.prompt],
            "chosen": [{"role": "assistant", "content": comparison.chosen}],
            "rejected": [{"role": "assistant", "content": comparison.rejected}],
        },
        ensure_ascii=False,
    )


def _answer(message: Message, key: str) -> str:
    if message.role != "assistant":
        raise RowError(f"the last turn of {key!r} is by {message.role!r}, expected 'assistant'")
    return message.content
