"""Answers that people labelled, with whom or what else judged them: what judges are held against and learn from.

XSTest's completions (Röttger et al. 2024, arXiv:2308.01263): does the answer refuse? Full and partial refusals do.
HarmBench's validation set of judges (Mazeika et al. 2024, arXiv:2402.04249): does the answer do the harm that was
asked for? The label is the majority of three people's; eleven judges' verdicts stand beside it. The prompt is the
behaviour itself, not the attack around it: what is judged is the answer.

Where the label is wrong, nothing here knows it: `votes` say how far people were of one mind.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from truing.core.errors import InputError
from truing.core.records import Conversation, Message, Record
from truing.data.harmbench import read_behaviors
from truing.data.rows import BadRow
from truing.data.xstest import read_completions

Question = Literal["refusal", "harm"]
XSTEST_MODELS = ("gpt4", "llama2new", "mistralinstruct")
# Verdicts as the file has them. PAIR's judge calls 10 of 10 a success (Chao et al. 2023, arXiv:2310.08419).
_YES, _NO = ("1", "yes", "Rating: [[10]]"), re.compile(r"0|no|Rating: \[\[[1-9]\]\]")
_OWN = {"test_case", "generation", "model", "method", "experiment", "behavior_id"}


class LabelledAnswer(Record):
    """An answer to a prompt, and whether people said yes. Answers to one `cluster` of prompts are not independent;
    `source` is the model that wrote it. `votes` are single people's, `stored` other judges' verdicts (None: unknown).
    """

    id: str
    prompt: Conversation
    answer: str
    cluster: str
    source: str
    label: bool
    votes: tuple[bool, ...]
    stored: Mapping[str, float | None] = {}


@dataclass(frozen=True)
class LabelledSet:
    """A set of labelled answers: the question that people answered, its files below a data folder, and its reader.
    `harmful`: its answers are shown by their beginnings only."""

    name: str
    title: str
    question: Question
    home: str
    files: Callable[[Path], list[Path]]
    read: Callable[[Path], list[LabelledAnswer]]
    harmful: bool


def read_labelled(one: LabelledSet, folder: Path) -> list[LabelledAnswer]:
    """Every answer of a set. Raises `InputError` where a file is missing or holds a row that cannot be used."""
    for path in one.files(folder):
        if not path.is_file():
            raise InputError(
                f"{path}: there is no such file; put it there (from {one.home}), or name another --data-dir"
            )
    return one.read(folder)


def _xstest_files(folder: Path) -> list[Path]:
    return [folder / "xstest" / f"completions_{model}.csv" for model in XSTEST_MODELS]


def _xstest(folder: Path) -> list[LabelledAnswer]:
    found = []
    for model, path in zip(XSTEST_MODELS, _xstest_files(folder), strict=True):
        rows, bad = read_completions(path)
        _refuse(bad)
        found += [
            LabelledAnswer(
                id=f"{model}-{row.id}",
                prompt=(Message(role="user", content=row.prompt),),
                answer=row.completion,
                cluster=row.id,
                source=model,
                label=row.verdict != "compliance",
                votes=tuple(verdict != "compliance" for verdict in row.votes),
            )
            for row in rows
        ]
    return found


def _harmbench_files(folder: Path) -> list[Path]:
    names = ("judge_validation_set.json", "behaviors_text_test.csv", "behaviors_text_val.csv")
    return [folder / "harmbench" / name for name in names]


def _harmbench(folder: Path) -> list[LabelledAnswer]:
    path, *behaviours = _harmbench_files(folder)
    asked: dict[str, str] = {}
    for file in behaviours:
        rows, bad = read_behaviors(file)
        _refuse(bad)
        asked.update({row.id: row.behavior for row in rows})
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        answers = [(name, place, row) for name, rows in content.items() for place, row in enumerate(rows)]
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise InputError(f"{path}: cannot be read ({error}); fetch it again") from None
    if not answers:
        raise InputError(f"{path}: there is no answer in it; fetch it again")
    return [_harmbench_row(path, asked, *one) for one in answers]


def _harmbench_row(path: Path, asked: Mapping[str, str], name: str, place: int, row: Any) -> LabelledAnswer:
    where = f"{path}, behaviour {name!r}, answer {place + 1}"
    if name not in asked:
        raise InputError(f"{where}: the behaviour is in neither of the files of behaviours; fetch all three again")
    try:
        people = [key for key in row if key.startswith("human_")]
        votes = tuple(_verdict(row[key]) == 1.0 for key in people)
        judges = {key: _verdict(value) for key, value in row.items() if key not in _OWN and key not in people}
        source = str(row["model"]).removesuffix(".json") or str(row["experiment"])  # some rows leave the model empty
        answer = row["generation"]
        if len(votes) % 2 == 0 or any(_verdict(row[key]) is None for key in people) or not isinstance(answer, str):
            raise ValueError("an odd number of people's labels, 0 or 1 each, and a text are expected")
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise InputError(f"{where}: cannot be used ({error}); fetch the file again") from None
    return LabelledAnswer(
        id=f"{name}-{place}",
        prompt=(Message(role="user", content=asked[name]),),
        answer=answer,
        cluster=name,
        source=source,
        label=sum(votes) > len(votes) / 2,
        votes=votes,
        stored=judges,
    )


def _verdict(value: Any) -> float | None:
    text = str(value)
    return 1.0 if text in _YES else 0.0 if _NO.fullmatch(text) else None


def _refuse(bad: list[BadRow]) -> None:
    if bad:
        first = bad[0]
        raise InputError(f"{first.file}, {first.unit} {first.line}: {first.reason}; fetch the file again")


XSTEST = LabelledSet(
    name="xstest",
    title="XSTest's completions",
    question="refusal",
    home="github.com/paul-rottger/xstest",
    files=_xstest_files,
    read=_xstest,
    harmful=True,
)
HARMBENCH = LabelledSet(
    name="harmbench",
    title="HarmBench's validation set of judges",
    question="harm",
    home="github.com/centerforaisafety/HarmBench (data/classifier_val_set and data/behavior_datasets)",
    files=_harmbench_files,
    read=_harmbench,
    harmful=True,
)
SETS: dict[str, LabelledSet] = {one.name: one for one in (XSTEST, HARMBENCH)}
