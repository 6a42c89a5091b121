"""Prompts from a file: of probes, of comparisons in any format, or of rows that hold a `prompt` and nothing else.

Each prompt comes once, in the order in which it first stands: it is the same question, whatever is beside it.
"""

from pathlib import Path

from truing.core.errors import InputError
from truing.core.records import Conversation
from truing.data import files, formats
from truing.data.native import prompt_of
from truing.data.rows import Row, RowError
from truing.data.validate import check_prompt


def read_prompts(path: Path) -> list[Conversation]:
    """The distinct prompts of a file. Raises `InputError` naming the file and the line of the first bad row."""
    first = next(iter(files.read(path)), None)
    if first is None:
        raise InputError(f"{path}: the file is empty")
    if isinstance(first.value, dict) and "prompt" not in first.value:
        good, bad = formats.load(path)
        if bad:
            raise InputError(f"{path}, {bad[0].unit} {bad[0].line}: {bad[0].reason}")
        return list(dict.fromkeys(comparison.prompt for comparison in good))
    return list(dict.fromkeys(_prompt(path, row) for row in files.read(path)))


def _prompt(path: Path, row: Row) -> Conversation:
    try:
        if isinstance(row.value, RowError):
            raise row.value
        if "prompt" not in row.value:
            raise RowError("the key 'prompt' is missing")
        prompt = prompt_of(row.value["prompt"])
        check_prompt(prompt)
    except RowError as error:
        raise InputError(f"{path}, {row.unit} {row.number}: not a prompt: {error}") from None
    return prompt
