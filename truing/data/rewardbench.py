"""RewardBench's pairs (Lambert et al. 2024, arXiv:2403.13787; ODC-BY, hf.co/datasets/allenai/reward-bench).

JSON Lines or Parquet with `prompt` (a text, or a list of messages), `chosen`, `rejected`, `subset` and `id`. An id need
be unique within its subset only.
"""

from pathlib import Path
from typing import Any

from truing.core.records import Conversation, Record
from truing.data.native import prompt_of
from truing.data.published import read_published, text_of
from truing.data.rows import BadRow, RowError
from truing.data.validate import check_prompt


class RewardPair(Record):
    """A prompt with its better and its worse answer. `id` is `subset/id`."""

    id: str
    subset: str
    prompt: Conversation
    chosen: str
    rejected: str


def read_pairs(path: Path) -> tuple[list[RewardPair], list[BadRow]]:
    """The pairs of one file."""
    return read_published(path, ("prompt", "chosen", "rejected", "subset", "id"), _pair)


def _pair(row: dict[str, Any], _place: int) -> RewardPair:
    if not isinstance(row["id"], int | str):
        raise RowError(f"'id' is {row['id']!r}; a number or a text is expected")
    prompt = prompt_of(row["prompt"])
    check_prompt(prompt)
    chosen, rejected = text_of(row, "chosen"), text_of(row, "rejected")
    if chosen == rejected:
        raise RowError("'chosen' and 'rejected' are the same text")
    subset = text_of(row, "subset")
    return RewardPair(id=f"{subset}/{row['id']}", subset=subset, prompt=prompt, chosen=chosen, rejected=rejected)
