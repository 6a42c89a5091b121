"""What a suite asks: its items, read whole before a model is asked anything.

A prompt or question is a template: the columns that it names in braces are filled in from the item. An item that lacks
a column, or whose expectation cannot be understood, is a bad row; so is an id that stands twice.
"""

import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from pydantic import Field, model_validator

from truing.core.config import Config
from truing.core.protocols import Judge
from truing.core.records import Conversation, Message, Probe, Question
from truing.data import files
from truing.data.native import prompt_of
from truing.data.published import sort_rows
from truing.data.rows import BadRow, Row, RowError
from truing.data.validate import check_prompt, check_strings, messages
from truing.evals.expectations import SuiteMetric


class SuiteConfig(Config):
    """A suite as it is written; of the metrics each is read by its own kind. `turns` and `cluster` name columns, `id`
    that of the items' ids (without one an item's id is its place)."""

    name: str = Field(pattern=r"^[a-z0-9_]+$")
    title: str = Field(default="", max_length=60)
    items: str | None = None
    item: tuple[dict[str, Any], ...] = ()
    system: str | None = None
    prompt: str | None = None
    turns: str | None = None
    question: str | None = None
    choices: str | None = None
    right: str | None = None
    id: str = "id"
    cluster: str | None = None
    metric: tuple[dict[str, Any], ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if (self.items is None) == (not self.item):
            raise ValueError("give items (a file beside the suite) or [[item]] tables")
        chosen = [self.question, self.choices, self.right]
        if any(chosen) and not all(chosen):
            raise ValueError("question, choices and right belong together; give all three, or ask with prompt")
        if self.question is not None and (self.prompt, self.system, self.turns) != (None, None, None):
            raise ValueError("question asks in plain text, without a chat: leave out prompt, system and turns")
        for template in (self.prompt, self.question, self.system):
            fields_of(template or "")
        return self

    def columns(self) -> list[str]:
        """What every item must have."""
        texts = [self.question] if self.question is not None else [self.prompt or "{prompt}", self.system or ""]
        named = [self.turns, self.choices, self.right, self.cluster]
        return [*(name for text in texts for name in fields_of(text)), *(name for name in named if name is not None)]


@dataclass(frozen=True)
class SuiteItem:
    """One item: the prompt (of a choice its question, in plain text), and how its answer is judged, metric by metric.
    `right` is the place of the right choice."""

    probe: Probe
    question: Question | None
    right: int
    judges: tuple[Judge, ...]

    @property
    def id(self) -> str:
        return self.probe.id


def fields_of(template: str) -> list[str]:
    """The columns that a template names in braces; {{ and }} stand for braces. Raises `ValueError` for other braces."""
    try:
        parts = list(string.Formatter().parse(template))
    except ValueError as error:
        raise ValueError(f"{template!r} cannot be read ({error}); write braces of the text itself twice") from None
    for _, field, spec, conversion in parts:
        if field is not None and (not field or spec or conversion or set(field) & set(".[]")):
            raise ValueError(f"{template!r}: braces hold the name of a column, and nothing else")
    return [field for _, field, _, _ in parts if field is not None]


def filled(template: str, row: Mapping[str, Any]) -> str:
    """A template with an item's values in it. Raises `RowError` where a value is no text and no number."""
    text = ""
    for literal, field, _, _ in string.Formatter().parse(template):
        value = "" if field is None else row[field]
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise RowError(f"{field!r} is {value!r}; a text is expected")
        text += f"{literal}{value}"
    return text


def read_items(path: Path, config: SuiteConfig, metrics: Sequence[SuiteMetric]) -> tuple[list[SuiteItem], list[BadRow]]:
    """The items of the suite in the file `path`, good and bad. Raises `InputError` where there is nothing to read."""
    columns = list(dict.fromkeys([*config.columns(), *(name for metric in metrics for name in metric.columns())]))

    def parse(row: dict[str, Any], place: int) -> SuiteItem:
        name = f"{config.name}-{place + 1}" if row.get(config.id) in (None, "") else str(row[config.id])
        topic = name if config.cluster is None else str(row[config.cluster])
        question, right = (None, 0) if config.question is None else _question(config, row)
        prompt = _prompt(config, row) if question is None else _plain(question)
        probe = Probe(id=name, group="", topic=topic, prompt=prompt)
        check_strings(probe)
        judges = () if question is not None else tuple(metric.bound(row) for metric in metrics)
        return SuiteItem(probe=probe, question=question, right=right, judges=judges)

    if config.items is not None:
        source = path.parent / config.items
        return sort_rows(source, files.read(source), columns, parse)
    rows = (Row(number, dict(item), unit="item") for number, item in enumerate(config.item, start=1))
    return sort_rows(path, rows, columns, parse)


def _plain(question: Question) -> Conversation:
    return (Message(role="user", content=question.context + "".join(question.choices)),)


def _prompt(config: SuiteConfig, row: Mapping[str, Any]) -> Conversation:
    """System prompt, earlier turns and the question; a column `prompt` may itself be a list of messages."""
    template = config.prompt or "{prompt}"
    alone = fields_of(template) if template.startswith("{") and template.endswith("}") else []
    if len(alone) == 1 and template == f"{{{alone[0]}}}" and isinstance(row[alone[0]], list):
        asked = prompt_of(row[alone[0]])
    else:
        asked = (Message(role="user", content=filled(template, row)),)
    before = () if config.turns is None else messages(row[config.turns], config.turns)
    system = () if config.system is None else (Message(role="system", content=filled(config.system, row)),)
    prompt = (*system, *before, *asked)
    check_prompt(prompt)
    return prompt


def _question(config: SuiteConfig, row: Mapping[str, Any]) -> tuple[Question, int]:
    """The question with its choices, a space before each, and the place of the right one."""
    assert config.question is not None
    assert config.choices is not None
    assert config.right is not None
    choices, right = row[config.choices], row[config.right]
    if (
        not isinstance(choices, list)
        or len(choices) < 2
        or not all(isinstance(one, str) and one.strip() for one in choices)
    ):
        raise RowError(f"{config.choices!r} is {choices!r}; a list of two texts or more is expected")
    if len(set(choices)) < len(choices):
        raise RowError(f"{config.choices!r} has one choice twice")
    if isinstance(right, str) and right in choices:
        right = choices.index(right)
    if isinstance(right, bool) or not isinstance(right, int) or not 0 <= right < len(choices):
        raise RowError(f"{config.right!r} is {right!r}; one of the choices, or its place (from 0), is expected")
    context = filled(config.question, row).rstrip()
    return Question(context=context, choices=tuple(f" {one}" for one in choices)), right
