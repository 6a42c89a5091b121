"""The preference form of TRL and Hugging Face, conversational: `prompt`, `chosen` and `rejected` are lists of messages.

Read: with an explicit prompt, answers are one assistant message each; with an implicit one, both dialogues hold the
same turns but for the last (a prompt that is a text must then be one of the user's turns). Written: explicit prompt.
What that form cannot say (annotator, strength, …) is not written; a tie is refused, as it would become a preference.
"""

from typing import Any

from truing.core.records import Comparison, Message
from truing.data.rows import AS_IT_IS, Ask, RowError
from truing.data.validate import messages, row_id, shared_context

NAME = "trl"
CARRIES = ("prompt", "chosen", "rejected")


def recognises(row: dict[str, Any]) -> bool:
    """True for rows whose answers are lists of messages."""
    return isinstance(row.get("chosen"), list) and isinstance(row.get("rejected"), list)


def parse(row: dict[str, Any], fallback_id: str, _ask: Ask = AS_IT_IS) -> list[Comparison]:
    """One row → one comparison. Raises `RowError`."""
    for key in ("chosen", "rejected"):
        if key not in row:
            raise RowError(f"the key {key!r} is missing")
    unknown = sorted(set(row) - {"prompt", "chosen", "rejected", "id"})
    if unknown:
        raise RowError(
            f"unknown keys {', '.join(map(repr, unknown))}; this form has prompt, chosen, rejected and id; "
            "say which to read: --columns chosen=chosen,rejected=rejected"
        )
    chosen, rejected = messages(row["chosen"], "chosen"), messages(row["rejected"], "rejected")
    if "prompt" in row and (len(chosen) == 1 or not isinstance(row["prompt"], str)):
        prompt = messages(row["prompt"], "prompt")
        if len(chosen) != 1 or len(rejected) != 1:
            raise RowError("beside an explicit prompt, 'chosen' and 'rejected' must be one assistant message each")
    else:
        prompt = shared_context(chosen, rejected)
        if "prompt" in row and row["prompt"] not in [turn.content for turn in prompt if turn.role == "user"]:
            raise RowError("'prompt' is none of the user's turns in 'chosen'")
    return [
        Comparison(
            id=row_id(row, fallback_id),
            prompt=prompt,
            chosen=_answer(chosen[-1], "chosen"),
            rejected=_answer(rejected[-1], "rejected"),
        )
    ]


def write(comparison: Comparison) -> list[dict[str, Any]]:
    """One comparison as a row with an explicit prompt. Raises `RowError` for a tie."""
    if comparison.tie or comparison.both_bad:
        raise RowError("no answer won, and this form has only winners")
    return [
        {
            "prompt": [message.model_dump() for message in comparison.prompt],
            "chosen": [{"role": "assistant", "content": comparison.chosen}],
            "rejected": [{"role": "assistant", "content": comparison.rejected}],
        }
    ]


def _answer(message: Message, key: str) -> str:
    if message.role != "assistant":
        raise RowError(f"the last turn of {key!r} is by {message.role!r}, expected 'assistant'")
    return message.content
