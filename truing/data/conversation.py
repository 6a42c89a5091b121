"""The rows of truing's tasks on conversations, JSON Lines: the sets that come with it, and your own in the same form.

Each row is whole in itself. What would make its figure mean nothing is refused: an accepted answer that stands in the
question already, a signal that the system prompt does not name, a canary that stands outside the injection.
"""

from pathlib import Path
from typing import Any, Literal

from truing.core.errors import InputError
from truing.core.records import Record
from truing.core.rules import Rule, parse_rules
from truing.core.text import find_phrase, fold, says_something
from truing.data.published import read_published, text_of
from truing.data.rows import BadRow, RowError


class GroundedQuestion(Record):
    """A question on passages. `answers` are the wordings of the right answer; none where the passages do not say."""

    id: str
    passages: tuple[str, ...]
    question: str
    answers: tuple[str, ...]


class NoisyQuestion(Record):
    """A question, the passage that answers it, and one that has nothing to do with it."""

    id: str
    question: str
    passage: str
    noise: str
    answers: tuple[str, ...]


class HandOff(Record):
    """A system prompt that says when to write `signal`, a message that calls for it, and a twin that does not."""

    id: str
    system: str
    signal: str
    trigger: str
    twin: str


class PoisonedResult(Record):
    """A question, what a tool gave or a passage says, and an instruction put into it, which alone asks for `canary`."""

    id: str
    kind: Literal["tool", "passage"]
    question: str
    content: str
    injection: str
    canary: str
    answers: tuple[str, ...]


class Persona(Record):
    """A system prompt with an instruction, the user's turns, and the rule (as in rule files) that tells whether an
    answer keeps to it. `opening`: its beginning alone decides, so that an answer that was cut can be judged."""

    id: str
    system: str
    turns: tuple[str, ...]
    rule: Rule
    opening: bool


class HonestyPair(Record):
    """A question that cannot be answered, and a twin that can, with its answer and wrong ones."""

    id: str
    kind: Literal["unanswerable", "false_premise"]
    question: str
    twin: str
    answer: str
    wrong: tuple[str, ...]


def read_grounded(path: Path) -> tuple[list[GroundedQuestion], list[BadRow]]:
    """The rows of grounding.jsonl."""
    return read_published(path, ("id", "passages", "question", "answers"), _grounded)


def _grounded(row: dict[str, Any], _place: int) -> GroundedQuestion:
    passages, question = _texts(row, "passages"), text_of(row, "question")
    answers = () if row["answers"] == [] else _texts(row, "answers")
    _not_given_away(answers, question)
    if answers and not any(_stands(one, passage) for one in answers for passage in passages):
        raise RowError("no passage holds any of the 'answers'; where the passages do not say, give []")
    return GroundedQuestion(id=text_of(row, "id"), passages=passages, question=question, answers=answers)


def read_noisy(path: Path) -> tuple[list[NoisyQuestion], list[BadRow]]:
    """The rows of retrieval_noise.jsonl."""
    return read_published(path, ("id", "question", "passage", "noise", "answers"), _noisy)


def _noisy(row: dict[str, Any], _place: int) -> NoisyQuestion:
    question, passage, noise = (text_of(row, key) for key in ("question", "passage", "noise"))
    answers = _texts(row, "answers")
    _not_given_away(answers, question)
    if not any(_stands(one, passage) for one in answers):
        raise RowError("'passage' holds none of the 'answers'")
    if found := next((one for one in answers if _stands(one, noise)), None):
        raise RowError(f"'noise' holds the answer {found!r}; it must have nothing to do with the question")
    return NoisyQuestion(id=text_of(row, "id"), question=question, passage=passage, noise=noise, answers=answers)


def read_hand_offs(path: Path) -> tuple[list[HandOff], list[BadRow]]:
    """The rows of hand_off.jsonl."""
    return read_published(path, ("id", "system", "signal", "trigger", "twin"), _hand_off)


def _hand_off(row: dict[str, Any], _place: int) -> HandOff:
    made = HandOff(**{key: _phrase(row, key) for key in HandOff.model_fields})
    if not _stands(made.signal, made.system):
        raise RowError(f"'system' does not name the signal {made.signal!r}, so that nobody could know it")
    for key, text in (("trigger", made.trigger), ("twin", made.twin)):
        if _stands(made.signal, text):
            raise RowError(f"{key!r} holds the signal {made.signal!r}, which an answer may then merely repeat")
    return made


def read_poisoned(path: Path) -> tuple[list[PoisonedResult], list[BadRow]]:
    """The rows of tool_use.jsonl."""
    columns = ("id", "kind", "question", "content", "injection", "canary", "answers")
    return read_published(path, columns, _poisoned)


def _poisoned(row: dict[str, Any], _place: int) -> PoisonedResult:
    if row["kind"] not in ("tool", "passage"):
        raise RowError(f"'kind' is {row['kind']!r}; tool or passage is expected")
    texts = {key: text_of(row, key) for key in ("id", "question", "content", "injection")}
    made = PoisonedResult(kind=row["kind"], canary=_phrase(row, "canary"), answers=_texts(row, "answers"), **texts)
    _not_given_away(made.answers, made.question)
    if not _stands(made.canary, made.injection):
        raise RowError(f"'injection' does not ask for the canary {made.canary!r}")
    for key, text in (("question", made.question), ("content", made.content)):
        if _stands(made.canary, text):
            raise RowError(f"{key!r} holds the canary {made.canary!r}, which only the injection may")
    return made


def read_personas(path: Path) -> tuple[list[Persona], list[BadRow]]:
    """The rows of persona.jsonl."""
    return read_published(path, ("id", "system", "turns", "rule"), _persona)


def _persona(row: dict[str, Any], _place: int) -> Persona:
    opening = row.get("opening", False)
    if not isinstance(row["rule"], dict) or not isinstance(opening, bool):
        raise RowError("'rule' must be an object as in a rule file, and 'opening', if it is there, true or false")
    try:
        (rule,) = parse_rules({"rule": [{"name": "persona", **row["rule"]}]}, "'rule'").rules
    except InputError as error:
        raise RowError(str(error)) from None
    return Persona(
        id=text_of(row, "id"), system=text_of(row, "system"), turns=_texts(row, "turns"), rule=rule, opening=opening
    )


def read_honesty(path: Path) -> tuple[list[HonestyPair], list[BadRow]]:
    """The rows of honesty.jsonl."""
    return read_published(path, ("id", "kind", "question", "twin", "answer", "wrong"), _honesty)


def _honesty(row: dict[str, Any], _place: int) -> HonestyPair:
    if row["kind"] not in ("unanswerable", "false_premise"):
        raise RowError(f"'kind' is {row['kind']!r}; unanswerable or false_premise is expected")
    texts = {key: text_of(row, key) for key in ("id", "question", "twin", "answer")}
    made = HonestyPair(kind=row["kind"], wrong=_texts(row, "wrong"), **texts)
    if len({made.answer, *made.wrong}) <= len(made.wrong):
        raise RowError("an answer stands twice among 'answer' and 'wrong'")
    return made


def _texts(row: dict[str, Any], key: str) -> tuple[str, ...]:
    """A list of phrases, at least one."""
    values = row[key]
    if not isinstance(values, list) or not values:
        raise RowError(f"{key!r} is {values!r}; a list of texts is expected")
    return tuple(_phrase({key: value}, key) for value in values)


def _phrase(row: dict[str, Any], key: str) -> str:
    text = text_of(row, key)
    if not says_something(text):
        raise RowError(f"{key!r} is {text!r}, in which there is nothing to look for")
    return text


def _not_given_away(answers: tuple[str, ...], question: str) -> None:
    if found := next((one for one in answers if _stands(one, question)), None):
        raise RowError(f"the question holds the answer {found!r}, which an answer may then merely repeat")


def _stands(phrase: str, text: str) -> bool:
    return next(find_phrase(fold(text), phrase), None) is not None
