"""A person's labels on an evaluation's own answers, and what they make of the judge that measured it.

A random sample of one metric's answers is labelled without seeing the judge's verdicts. The labels are an observation
in the ledger, with the evaluation as their parent. A correction by them is no longer transferred from other models'
answers; with few labels its interval is wide, and says so.
"""

import json
import os
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

import numpy as np

from truing.core.digest import digest
from truing.core.errors import InputError
from truing.core.records import ItemResult, Record
from truing.core.statistics import wilson
from truing.data.native import lines_of
from truing.evals.metric import Figure, Metric, corrected_figure, figure
from truing.judges.agreement import Agreement, agreement_of
from truing.ledger.artifacts import Artifact, Parent
from truing.ledger.ledger import Ledger
from truing.loops.systems import answered_by

KIND, FILE = "labels", "labels.jsonl"


class Label(Record):
    """What a person says of one answer: `label` None where they could not tell. `answer` is the answer's sha256."""

    task: str
    item: str
    label: bool | None
    annotator: str
    time: datetime
    answer: str


class Labelling:
    """A labelling that goes on: which items are drawn, and what is labelled already. Each label is kept at once."""

    def __init__(
        self, ledger: Ledger, evaluation: Artifact, items: Sequence[ItemResult], task: str, annotator: str, seed: int
    ) -> None:
        """Raises `InputError` where no item of the task has an answer that can be labelled."""
        self.ledger, self.evaluation, self.task, self.annotator, self.seed = ledger, evaluation, task, annotator, seed
        self._items = [item for item in items if item.task == task and item.answer.strip()]
        if not self._items:
            judged = sorted({item.task for item in items if item.answer.strip()})
            raise InputError(
                f"{evaluation.name} has no answers under {task!r}; "
                + (f"those that it has are of {', '.join(judged)}" if judged else "its items hold no answers at all")
            )
        self._key = digest(["labels", evaluation.id, task, annotator, seed])
        self._path = ledger.workspace(self._key) / FILE
        self.labels = read_labels(self._path) if self._path.exists() else []

    def drawn(self, number: int) -> list[ItemResult]:
        """A random sample of `number` items that are not labelled yet, in random order; a larger one begins with it."""
        order = np.random.default_rng(self.seed).permutation(len(self._items))[:number]
        done = {label.item for label in self.labels}
        return [item for item in (self._items[place] for place in order) if item.item not in done]

    def add(self, item: ItemResult, label: bool | None, time: datetime) -> None:
        """Keep one label, durably."""
        made = Label(
            task=self.task,
            item=item.item,
            label=label,
            annotator=self.annotator,
            time=time,
            answer=digest(item.answer),
        )
        self.labels.append(made)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(made.model_dump_json() + "\n")
            file.flush()
            os.fsync(file.fileno())

    def commit(self) -> Artifact:
        """Make the labels an artifact."""
        with self.ledger.begin() as staging:
            lines = "".join(label.model_dump_json() + "\n" for label in self.labels)
            (staging / FILE).write_text(lines, encoding="utf-8")
            made = self.ledger.commit(
                staging,
                kind=KIND,
                verb="label",
                verb_version=1,
                name=f"{self.evaluation.name}_labels",
                config={"task": self.task, "annotator": self.annotator},
                parents=[Parent(role="evaluation", artifact=self.evaluation.id)],
                seed=self.seed,
                metrics={"labels": float(len(self.labels))},
                observation=True,
            )
        self.ledger.discard_workspace(self._key)
        return made


def read_labels(path: Path) -> list[Label]:
    """The labels of a file that `Labelling` wrote; a last line that a kill cut short is left out."""
    lines = path.read_bytes().split(b"\n")[:-1]
    return [Label.model_validate(json.loads(line)) for line in lines]


def labels_of(ledger: Ledger, evaluation: Artifact) -> Iterator[Label]:
    """All labels of an evaluation's answers, whoever judged them meanwhile."""
    given = answered_by(ledger, evaluation).id
    for found in ledger.list(KIND):
        if any(answered_by(ledger, ledger.get(parent.artifact)).id == given for parent in found.parents):
            yield from (Label.model_validate_json(line) for line in lines_of(ledger.folder(found) / FILE))


def majority(labels: Sequence[Label], task: str) -> dict[str, bool]:
    """Each item's label: of several people's the majority; none where they are even, or could not tell."""
    votes: dict[str, list[bool]] = {}
    for label in labels:
        if label.task == task and label.label is not None:
            votes.setdefault(label.item, []).append(label.label)
    return {item: 2 * sum(said) > len(said) for item, said in votes.items() if 2 * sum(said) != len(said)}


def agreement_with(items: Sequence[ItemResult], labels: Sequence[Label], task: str) -> Agreement:
    """A task's judge beside people's labels of its answers."""
    label = majority(labels, task)
    mine = [item for item in items if item.task == task and item.item in label]
    return agreement_of(
        "judge",
        "labels of these answers",
        [item.value for item in mine],
        [label[item.item] for item in mine],
        [item.cluster for item in mine],
    )


def own_figures(items: Sequence[ItemResult], labels: Sequence[Label], metric: Metric) -> list[Figure]:
    """A metric corrected by labels of its own answers, and the labelled share alone. Nothing without labels."""
    mine = [item for item in items if item.task == metric.task]
    said = majority(labels, metric.task)
    labelled = [item for item in mine if item.item in said]
    if not labelled:
        return []
    yes = sum(said[item.item] for item in labelled)
    title = f"{metric.title}, as people labelled them"
    interval = wilson(yes, len(labelled))
    return [
        corrected_figure(metric, mine, agreement_with(mine, labels, metric.task).accuracy, opposite=False, own=True),
        figure(f"{metric.task}_labelled", title, yes / len(labelled), interval, labelled, "share"),
    ]
