"""Rows of a prompt and one answer: what a reward model scores. In any kind of file that `files.py` reads.

    {"prompt": "Why is my tea bitter?", "answer": "It drew too long.", "id": "tea"}

`prompt` is a string (one user turn) or a list of messages; `id` may be left out; other keys are not looked at.
"""

from contextlib import closing
from pathlib import Path

from truing.core.errors import InputError
from truing.core.records import Conversation, Record
from truing.data import files
from truing.data.native import prompt_of
from truing.data.rows import RowError
from truing.data.seen import Seen
from truing.data.validate import check_prompt, text, unique


class PromptAnswer(Record):
    """One row."""

    id: str
    prompt: Conversation
    answer: str


def recognises(path: Path) -> bool:
    """True where the first row that can be read has a prompt and an answer."""
    first = next((row.value for row in files.read(path) if isinstance(row.value, dict)), {})
    return "prompt" in first and "answer" in first


def read_answers(path: Path) -> list[PromptAnswer]:
    """Every row of a file. Raises `InputError` naming the line of the first bad one."""
    found = []
    with closing(Seen()) as known:
        for row in files.read(path):
            try:
                if isinstance(row.value, RowError):
                    raise row.value
                answer = text(row.value, "answer")
                if not answer.strip():
                    raise RowError("'answer' is empty")
                if "prompt" not in row.value:
                    raise RowError("the key 'prompt' is missing")
                prompt = prompt_of(row.value["prompt"])
                check_prompt(prompt)
                name = str(row.value.get("id", f"{path.name.partition('.')[0]}-{row.number}"))
                unique(name, row.number, known, row.unit)
            except RowError as error:
                raise InputError(f"{path}, {row.unit} {row.number}: {error}") from None
            found.append(PromptAnswer(id=name, prompt=prompt, answer=answer))
    if not found:
        raise InputError(f"{path}: the file is empty")
    return found
