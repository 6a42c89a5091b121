"""Persona: does an instruction of the system prompt hold over many turns?

The user's turns are scripted, the assistant's are the system's own: each answer is part of the next prompt. A rule (as
in rule files) tells of every answer whether it keeps to the instruction. An item is a dialogue, its value the share of
answers that do; figures by turn say where it is lost. Whether the answers are any good is not asked.

An answer that was cut at the token limit is judged only where what is missing cannot matter: a forbidden word already
there, a demanded one already there, or a rule about the answer's beginning. Otherwise it is unknown, and so is the
dialogue; give enough tokens.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from truing.core.records import Answer, Conversation, Decoding, ItemResult, Message, Outcome, Probe
from truing.core.rules import Format, Length, MustMention, MustNotMention, Pattern, Rules
from truing.core.text import words
from truing.data.conversation import Persona, read_personas
from truing.evals.metric import Figure, Metric, mean_figure
from truing.evals.task import Loaded, Subject, Task, TaskSettings, answers
from truing.judges.rule import RuleJudge
from truing.starter import FOLDER


def _probe(row: Persona) -> Probe:
    return Probe(id=row.id, group="persona", topic="", prompt=_turn(row, ()))


def _turn(row: Persona, given: Sequence[Answer]) -> Conversation:
    """The dialogue up to the user's next turn, with the answers that were given."""
    said = [Message(role="system", content=row.system)]
    for number, answer in enumerate(given):
        said += [
            Message(role="user", content=row.turns[number]),
            Message(role="assistant", content=answer.text),
        ]
    return (*said, Message(role="user", content=row.turns[len(given)]))


def held(row: Persona, answer: Answer) -> Outcome:
    """Whether an answer keeps to the instruction."""
    if answer.missing:
        return Outcome(value=None, reason=answer.missing)
    if not words(answer.text):
        return Outcome(value=None, reason="the answer has no words")
    outcome = RuleJudge(Rules((row.rule,))).judge((), answer.text)
    if answer.finished is False and outcome.value is not None and not _settled(row, kept=outcome.value == 1.0):
        return Outcome(value=None, reason="the answer was cut before one could tell")
    return outcome


def _settled(row: Persona, kept: bool) -> bool:
    """Whether nothing that might follow could change the verdict."""
    rule = row.rule
    if row.opening:
        return True
    if kept:
        return isinstance(rule, MustMention) or (isinstance(rule, Length) and rule.at_most is None)
    if isinstance(rule, Pattern):
        return rule.must == "not_match"
    if isinstance(rule, Length):
        return rule.at_least == 0
    return isinstance(rule, MustNotMention) or (
        isinstance(rule, Format) and rule.format in ("single_sentence", "no_markdown")
    )


def files(folder: Path) -> list[Path]:
    """The dialogues."""
    return [folder / "conversation" / "persona.jsonl"]


def run(subject: Subject, rows: Sequence[Persona], settings: TaskSettings) -> Iterator[ItemResult]:
    """All first turns, then all second ones, and so on; yield each dialogue when it has had its last."""
    decoding = Decoding(max_new_tokens=settings.max_new_tokens)
    given: dict[str, list[Answer]] = {row.id: [] for row in rows}
    for turn in range(max((len(row.turns) for row in rows), default=0)):
        here = [row for row in rows if turn < len(row.turns)]
        # A dialogue whose last answer is missing cannot go on: the same is missing at every later turn.
        going = [row for row in here if not (turn and given[row.id][-1].missing)]
        found = answers(subject, [_turn(row, given[row.id]) for row in going], decoding)
        new = {going[number].id: answer for number, answer in found}
        for row in here:
            given[row.id].append(new[row.id] if row.id in new else given[row.id][-1])
        yield from (_item(row, given[row.id]) for row in here if turn == len(row.turns) - 1)


def _item(row: Persona, given: Sequence[Answer]) -> ItemResult:
    outcomes = [held(row, answer) for answer in given]
    values = [outcome.value for outcome in outcomes]
    known = [value for value in values if value is not None]
    lost = next((n for n, value in enumerate(values) if value == 0.0), None)
    unknown = next((n for n, value in enumerate(values) if value is None), None)
    telling = unknown if unknown is not None else lost
    return ItemResult(
        task="persona",
        item=row.id,
        cluster=row.id,
        value=None if unknown is not None else sum(known) / len(known),
        reason="" if telling is None else f"turn {telling + 1}: {outcomes[telling].reason}",
        prompt=f"{row.system} [{len(given)} turns] {row.turns[-1]}",
        answer=given[-1].text,
        finished=_finished(given),
        detail={f"turn {number}": value for number, value in enumerate(values, start=1)},
    )


def _finished(given: Sequence[Answer]) -> bool | None:
    """False where an answer was cut; None where one does not say."""
    ends = [answer.finished for answer in given]
    return False if False in ends else None if None in ends else True


def derived(items: Sequence[ItemResult]) -> list[Figure]:
    """The share of dialogues in which the instruction held at each turn, and of those in which it held throughout."""
    whole = [
        item if item.value is None else item.model_copy(update={"value": float(item.value == 1.0)}) for item in items
    ]
    made = [mean_figure("persona_throughout", "persona: held at every turn", whole)] if whole else []
    for turn in range(1, 1 + max((len(item.detail) for item in items), default=0)):
        mine = [
            item.model_copy(update={"value": item.detail[f"turn {turn}"]})
            for item in items
            if f"turn {turn}" in item.detail
        ]
        made.append(mean_figure(f"persona_turn_{turn}", f"persona: held at turn {turn}", mine))
    return made


PERSONA = Task(
    name="persona",
    title="Persona",
    home="comes with truing; or your own, in the same form",
    version=1,
    metrics=(Metric("persona", "persona: answers that keep to it", "higher", aspect="helpful"),),
    files=files,
    read=lambda folder: Loaded.of(files(folder), read_personas),
    asks=_probe,
    run=run,
    derived=derived,
    chance="what each rule leaves to chance",
    max_new_tokens=160,
    carried=FOLDER,
)
