"""A system whose scores and answers are functions of the text, and sets written by hand."""

import csv
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.providers.conftest import Scripted
from truing.core.protocols import Misfit, never_misfits
from truing.core.records import ChoiceScores, ItemResult, Question
from truing.evals.metric import Figure
from truing.evals.task import Loaded, Subject, Task, TaskSettings, missing_files
from truing.loops.verbs.benchmark import figures_of


class ScriptedChoices:
    """Scores by context and choice; a context that holds `too long` cannot be scored. Notes what it was asked."""

    def __init__(self, score: Callable[[str, str], float]) -> None:
        self.score = score
        self.asked: list[Question] = []

    def score_choices(self, questions: Sequence[Question]) -> Iterator[tuple[int, ChoiceScores]]:
        """In reverse, since a task must not rely on the order."""
        self.asked += questions
        for number in reversed(range(len(questions))):
            question = questions[number]
            if "too long" in question.context:
                yield number, ChoiceScores(unknown="takes 9 tokens, more than 8")
                continue
            logprobs = tuple(self.score(question.context, choice) for choice in question.choices)
            yield number, ChoiceScores(logprobs=logprobs, tokens=tuple(map(len, question.choices)))


def subject(
    score: Callable[[str, str], float] = lambda _context, choice: -float(len(choice)),
    answer: Callable[[str], str] = lambda prompt: f"answer to {prompt}",
    misfit: Misfit = never_misfits,
    likelihood: Callable[[str, str], list[float]] = lambda _prompt, answer: [-1.0] * len(answer),
) -> Subject:
    """A system under measurement; `score` gives a choice's log-probability, `likelihood` those of an answer's
    tokens."""
    system = Scripted(answer=answer, score=likelihood)
    return Subject("scripted", system, ScriptedChoices(score), misfit, system)


def real(task: Task, folder: Path) -> Loaded:
    """The set's real files, read; skips where they are not at hand."""
    if missing := missing_files(task, folder):
        pytest.skip(f"{task.title} is not at hand: put {missing[0]} there (from {task.home}) to run this test")
    return task.read(folder)


def measured(
    task: Task, folder: Path, system: Subject, settings: TaskSettings | None = None
) -> tuple[dict[str, Figure], dict[tuple[str, str], ItemResult]]:
    """Every figure by its name, and every item by task and id. The folder must hold good rows only."""
    loaded = task.read(folder)
    assert loaded.bad == []
    items = list(task.run(system, loaded.rows, settings or TaskSettings(max_new_tokens=200)))
    assert len(items) == task.items_a_row * len(loaded.rows)
    assert {item.item for item in items} == {row.id for row in loaded.rows}
    by_id = {(item.task, item.item): item for item in items}
    assert len(by_id) == len(items)
    return {figure.name: figure for figure in figures_of(task, items)}, by_id


def values(figures: Mapping[str, Figure]) -> dict[str, float | None]:
    """Each figure's value; those that are corrected for a judge's errors have a test of their own."""
    return {name: figure.value for name, figure in figures.items() if not name.endswith("_corrected")}


def write_json(path: Path, rows: Sequence[Any]) -> None:
    """A JSON array."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(rows), encoding="utf-8")


def write_lines(path: Path, rows: Sequence[Any]) -> None:
    """JSON Lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Comma-separated values with a header."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
