"""GSM8K: sums in words, answered as a chat (Cobbe et al. 2021, arXiv:2110.14168).

The prompt asks for the working and then a line "#### NUMBER", the form of the set's own answers.
    strict    the first number behind #### is the right one
    flexible  the last number anywhere is the right one
Numbers are compared as numbers: 1,000 and $1000.00 are the same. A finished answer without a number is wrong, as in the
paper and in lm-evaluation-harness. One that was cut at its longest is known only where #### and a whole number stand in
it; its last number would be a step of the working, so that both figures are unknown else. (The harness counts it.) Nor
is an answer without a number known to be wrong where a deployed model does not say whether it was cut.

A right number may follow from wrong working, which nothing here reads.
"""

from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path

import regex

from truing.core.records import Answer, Decoding, ItemResult, Message, Probe
from truing.data.gsm8k import NUMBER, GSM8KProblem, read_problems, value_of
from truing.evals.metric import Metric
from truing.evals.task import Loaded, Subject, Task, TaskSettings, answers, unknown

_FORMS = ("strict", "flexible")
_MARKED = regex.compile(rf"####[\s*]*{NUMBER}")
_ANY = regex.compile(NUMBER)
_ASK = "Show your working. Then end with a line of its own that says #### and the answer, as a number without a unit."


def files(folder: Path) -> list[Path]:
    """The test problems."""
    return [folder / "gsm8k" / "test.jsonl"]


def run(subject: Subject, rows: Sequence[GSM8KProblem], settings: TaskSettings) -> Iterator[ItemResult]:
    """Yield each problem's two items as it is answered."""
    prompts = [_probe(row).prompt for row in rows]
    for number, answer in answers(subject, prompts, Decoding(max_new_tokens=settings.max_new_tokens)):
        yield from _items(rows[number], answer)


def numbers_in(text: str, cut: bool) -> tuple[Decimal | None, Decimal | None]:
    """What an answer says: by the strict form and by the flexible one; None where it says nothing. Of a text that was
    `cut`, both are the number behind ####, if more follows it: else that number itself may be cut."""
    marked = _MARKED.search(text)
    if cut:
        whole = marked is not None and not regex.fullmatch(r"[\d.,]*", text[marked.end() :])
        value = value_of(marked) if marked is not None and whole else None
        return value, value
    found = list(_ANY.finditer(text))
    return None if marked is None else value_of(marked), value_of(found[-1]) if found else None


def _items(row: GSM8KProblem, answer: Answer) -> Iterator[ItemResult]:
    cut = answer.finished is False
    for form, said in zip(_FORMS, numbers_in(answer.text, cut), strict=True):
        task = f"gsm8k_{form}"
        if answer.missing:
            yield unknown(task, row.id, row.id, answer.missing, row.question)
            continue
        known = said is not None or answer.finished is True
        reason = f"says {'no number' if said is None else f'{said:f}'}, {row.answer:f} is right"
        yield ItemResult(
            task=task,
            item=row.id,
            cluster=row.id,
            value=float(said == row.answer) if known else None,
            reason=reason if known else f"{'was' if cut else 'may have been'} cut before its answer",
            prompt=row.question,
            answer=answer.text,
            finished=answer.finished,
        )


def _probe(row: GSM8KProblem) -> Probe:
    prompt = (Message(role="user", content=f"{row.question}\n\n{_ASK}"),)
    return Probe(id=row.id, group="gsm8k", topic="", prompt=prompt)


GSM8K = Task(
    name="gsm8k",
    title="GSM8K",
    home="github.com/openai/grade-school-math (grade_school_math/data/test.jsonl)",
    version=1,
    metrics=(
        Metric("gsm8k_strict", "GSM8K: right behind ####", "higher", aspect="helpful"),
        Metric("gsm8k_flexible", "GSM8K: right last number", "higher", aspect="helpful"),
    ),
    files=files,
    read=lambda folder: Loaded.of(files(folder), read_problems),
    asks=_probe,
    run=run,
    items_a_row=len(_FORMS),
    max_new_tokens=512,
    chance="about 0",
)
