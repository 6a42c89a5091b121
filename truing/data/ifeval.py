"""IFEval's file (Zhou et al. 2023, arXiv:2311.07911; Apache-2.0, github.com/google-research/google-research).

instruction_following_eval/data/input_data.jsonl holds 541 prompts, one JSON object a line: {"key", "prompt",
"instruction_id_list", "kwargs"}, with one object of arguments for each instruction. An argument that is null counts as
not given, since copies of the set give every instruction every key.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from truing.core.records import Record
from truing.data.published import read_published, text_of
from truing.data.rows import BadRow, RowError

RELATIONS = ("less than", "at least")


class Instruction(Record):
    """One instruction of a prompt: its kind, such as `punctuation:no_comma`, and its arguments."""

    kind: str
    arguments: Mapping[str, str | int | tuple[str, ...]]


class IFEvalPrompt(Record):
    """A prompt, and the instructions in it that can be checked."""

    id: str
    prompt: str
    instructions: tuple[Instruction, ...]


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_place(value: object) -> bool:
    return _is_count(value) and value != 0


def _is_letter(value: object) -> bool:
    return isinstance(value, str) and len(value.strip()) == 1


def _is_relation(value: object) -> bool:
    return value in RELATIONS


def _is_texts(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(map(_is_text, value))


_Check = Callable[[object], bool]
_EXPECTED: dict[_Check, str] = {
    _is_text: "a text",
    _is_count: "a whole number",
    _is_place: "a whole number from 1",
    _is_letter: "one letter",
    _is_relation: " or ".join(map(repr, RELATIONS)),
    _is_texts: "a list of texts",
}
# The paper's 25 kinds, and what each is told.
ARGUMENTS: dict[str, dict[str, _Check]] = {
    "keywords:existence": {"keywords": _is_texts},
    "keywords:frequency": {"keyword": _is_text, "frequency": _is_count, "relation": _is_relation},
    "keywords:forbidden_words": {"forbidden_words": _is_texts},
    "keywords:letter_frequency": {"letter": _is_letter, "let_frequency": _is_count, "let_relation": _is_relation},
    "language:response_language": {"language": _is_text},
    "length_constraints:number_sentences": {"num_sentences": _is_count, "relation": _is_relation},
    "length_constraints:number_paragraphs": {"num_paragraphs": _is_count},
    "length_constraints:number_words": {"num_words": _is_count, "relation": _is_relation},
    "length_constraints:nth_paragraph_first_word": {
        "num_paragraphs": _is_count,
        "nth_paragraph": _is_place,
        "first_word": _is_text,
    },
    "detectable_content:number_placeholders": {"num_placeholders": _is_count},
    "detectable_content:postscript": {"postscript_marker": _is_text},
    "detectable_format:number_bullet_lists": {"num_bullets": _is_count},
    "detectable_format:constrained_response": {},
    "detectable_format:number_highlighted_sections": {"num_highlights": _is_count},
    "detectable_format:multiple_sections": {"section_spliter": _is_text, "num_sections": _is_count},
    "detectable_format:json_format": {},
    "detectable_format:title": {},
    "combination:two_responses": {},
    "combination:repeat_prompt": {"prompt_to_repeat": _is_text},
    "startend:end_checker": {"end_phrase": _is_text},
    "startend:quotation": {},
    "change_case:capital_word_frequency": {"capital_frequency": _is_count, "capital_relation": _is_relation},
    "change_case:english_capital": {},
    "change_case:english_lowercase": {},
    "punctuation:no_comma": {},
}


def read_prompts(path: Path) -> tuple[list[IFEvalPrompt], list[BadRow]]:
    """The prompts of the file."""
    return read_published(path, ("key", "prompt", "instruction_id_list", "kwargs"), _prompt)


def _prompt(row: dict[str, Any], _place: int) -> IFEvalPrompt:
    kinds, arguments = row["instruction_id_list"], row["kwargs"]
    if not isinstance(kinds, list) or not isinstance(arguments, list) or not kinds or len(kinds) != len(arguments):
        raise RowError("'instruction_id_list' and 'kwargs' must be lists of the same length, with something in them")
    if not isinstance(row["key"], int | str):
        raise RowError(f"'key' is {row['key']!r}; a number or a text is expected")
    return IFEvalPrompt(
        id=str(row["key"]),
        prompt=text_of(row, "prompt"),
        instructions=tuple(_instruction(kind, given) for kind, given in zip(kinds, arguments, strict=True)),
    )


def _instruction(kind: object, given: object) -> Instruction:
    if not isinstance(kind, str) or kind not in ARGUMENTS:
        raise RowError(f"the instruction {kind!r} is none of IFEval's {len(ARGUMENTS)}")
    if not isinstance(given, dict):
        raise RowError(f"the arguments of {kind} are no object")
    told = {name: value for name, value in given.items() if value is not None}
    wanted = ARGUMENTS[kind]
    if set(told) != set(wanted):
        raise RowError(f"{kind} has the arguments {_listed(told)}; {_listed(wanted)} are expected")
    for name, is_right in wanted.items():
        if not is_right(told[name]):
            raise RowError(f"{name!r} of {kind} is {told[name]!r}; {_EXPECTED[is_right]} is expected")
    plain = {name: tuple(value) if isinstance(value, list) else value for name, value in told.items()}
    return Instruction(kind=kind, arguments=plain)


def _listed(names: Mapping[str, object]) -> str:
    return ", ".join(sorted(names)) or "none"
