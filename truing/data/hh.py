r"""Transcripts in the form of Anthropic's hh-rlhf: `chosen` and `rejected` hold one dialogue each, as one text.

    "\n\nHuman: …\n\nAssistant: …\n\nHuman: …\n\nAssistant: …"

The dialogues share all turns but the last, which are the two answers (Bai et al. 2022, arXiv:2204.05862). White space
around a turn is the form's layout and is no part of the text. The form does not know a system turn; a turn that holds
such a mark itself cannot be told from two turns, so writing refuses it.
"""

import re
from typing import Any

from truing.core.records import Comparison, Conversation, Message, Role
from truing.data.rows import AS_IT_IS, Ask, RowError
from truing.data.validate import row_id, shared_context, text

NAME = "hh"
CARRIES = ("prompt", "chosen", "rejected")
_TURN = re.compile(r"(?:^|\n\n)(Human|Assistant):")
_ROLES: dict[str, Role] = {"Human": "user", "Assistant": "assistant"}
_MARKS = {role: mark for mark, role in _ROLES.items()}


def recognises(row: dict[str, Any]) -> bool:
    """True for rows without a prompt whose answers begin with a human's turn."""
    chosen = row.get("chosen")
    return "prompt" not in row and isinstance(chosen, str) and chosen.lstrip().startswith("Human:")


def parse(row: dict[str, Any], fallback_id: str, _ask: Ask = AS_IT_IS) -> list[Comparison]:
    """One row → one comparison. Raises `RowError`."""
    chosen, rejected = (turns(text(row, key), key) for key in ("chosen", "rejected"))
    prompt = shared_context(chosen, rejected)
    for key, dialogue in (("chosen", chosen), ("rejected", rejected)):
        if dialogue[-1].role != "assistant":
            raise RowError(f"the last turn of {key!r} is by 'Human', expected 'Assistant'")
    return [
        Comparison(id=row_id(row, fallback_id), prompt=prompt, chosen=chosen[-1].content, rejected=rejected[-1].content)
    ]


def turns(transcript: str, key: str) -> Conversation:
    """A transcript's turns; `key` names it in the `RowError` for one that does not begin with a human's."""
    before, *parts = _TURN.split(transcript.strip())
    if before.strip() or not parts:
        raise RowError(f"{key!r} does not begin with 'Human:'")
    return tuple(
        Message(role=_ROLES[mark], content=content.strip())
        for mark, content in zip(parts[::2], parts[1::2], strict=True)
    )


def write(comparison: Comparison) -> list[dict[str, Any]]:
    """One comparison as a row. Raises `RowError` for what the form would change."""
    if comparison.tie or comparison.both_bad:
        raise RowError("no answer won, and this form has only winners")
    row = {
        key: "".join(map(_written, (*comparison.prompt, Message(role="assistant", content=answer))))
        for key, answer in (("chosen", comparison.chosen), ("rejected", comparison.rejected))
    }
    return [row]


def _written(turn: Message) -> str:
    if turn.role not in _MARKS:
        raise RowError("this form has no system turn")
    if turn.content != turn.content.strip():
        raise RowError("a text begins or ends with white space, which this form does not keep")
    if _TURN.search(turn.content):
        raise RowError("a text holds 'Human:' or 'Assistant:' where this form would see another turn")
    return f"\n\n{_MARKS[turn.role]}: {turn.content}"
