"""What a task on a public set is: the files that it reads, what it asks of a system, and the figures that it makes.

A file's rows are read whole before anything is asked. A row that cannot be used is listed with its place and reason; a
question that the system cannot take (longer than its context) becomes an item whose value is unknown. Neither is
guessed, and neither is left out in silence.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from truing.core.errors import InputError
from truing.core.protocols import ChoiceScorer, Judge, Misfit, Sampler, Scorer, never_misfits
from truing.core.records import Answer, ChoiceScores, Conversation, Decoding, ItemResult, Probe, Question, Record
from truing.data.rows import BadRow
from truing.evals.metric import Figure, Metric
from truing.evals.tasks.answers import judged
from truing.judges.validate import JudgeAccuracy


class TaskSettings(Record):
    """Greedy answers of at most `max_new_tokens`. `seed` orders what a task presents in random order. `ties`: whether a
    right choice that is as likely as the best wrong one wins (`right`) or not (`strict`, the papers' rule). `grader`
    names the model that judged by a rubric; empty where none did."""

    max_new_tokens: int = 40
    seed: int = 0
    ties: Literal["strict", "right"] = "strict"
    grader: str = ""

    def wins(self, margin: float) -> float:
        """1.0 where a right choice that is likelier by `margin` (nats) than the best wrong one counts as right."""
        return float(margin > 0 or (margin == 0 and self.ties == "right"))


@dataclass(frozen=True)
class Subject:
    """A system under measurement: what answers, what scores choices (None where nothing does), and `misfit`, which says
    why a prompt cannot be answered at all (empty where it can).

    `scorer` scores given answers to a conversation. `start` is what may stand before a text, so that its first token is
    scored, too: empty where the tokenizer puts it there by itself, None where nothing can.
    """

    name: str
    sampler: Sampler
    choices: ChoiceScorer | None
    misfit: Misfit = never_misfits
    scorer: Scorer | None = None
    start: str | None = None

    def score(self, task: str, questions: Sequence[Question]) -> Iterator[tuple[int, ChoiceScores]]:
        """Scores of choices. Raises `InputError` where the system gives none."""
        if self.choices is None:
            raise InputError(
                f"{task} compares log-probabilities of given texts, which {self.name} does not give; "
                "choose tasks that judge answers, or a local model"
            )
        yield from self.choices.score_choices(questions)

    def score_answers(
        self, task: str, rows: Sequence[tuple[Conversation, Sequence[str]]]
    ) -> Iterator[tuple[int, ChoiceScores]]:
        """Scores of whole answers to each prompt, in the system's own chat template, end of turn included. A prompt
        whose answers do not fit, or which the template refuses, is unknown. Raises `InputError` where the system gives
        none."""
        if self.scorer is None:
            raise InputError(
                f"{task} compares log-probabilities of given answers, which {self.name} does not give; "
                "choose tasks that judge answers, or a local model"
            )
        for number, (prompt, answers) in enumerate(rows):
            # One prompt at a time: what one of them cannot have is no fault of the others.
            try:
                scores = dict(self.scorer.score([(prompt, answer) for answer in answers]))
            except InputError as error:
                yield number, ChoiceScores(unknown=str(error))
                continue
            sums = tuple(sum(scores[place]) for place in range(len(answers)))
            if all(map(math.isfinite, sums)):
                yield (
                    number,
                    ChoiceScores(logprobs=sums, tokens=tuple(len(scores[place]) for place in range(len(sums)))),
                )
            else:
                yield number, ChoiceScores(unknown="the log-probabilities are not finite")


@dataclass(frozen=True)
class Loaded:
    """A set as it was read: its good rows (each with an `id` that its items carry), and its bad ones."""

    rows: list[Any]
    bad: list[BadRow] = field(default_factory=list)

    @classmethod
    def of(cls, paths: Sequence[Path], read: Callable[[Path], tuple[list[Any], list[BadRow]]]) -> "Loaded":
        """All rows of some files."""
        found = [read(path) for path in paths]
        return cls([row for rows, _ in found for row in rows], [row for _, bad in found for row in bad])


Run = Callable[[Subject, Sequence[Any], TaskSettings], Iterator[ItemResult]]


def no_figures(_items: Sequence[ItemResult]) -> list[Figure]:
    """For tasks all of whose figures are means over items."""
    return []


@dataclass(frozen=True)
class Task:
    """One task on a public set.

    `files` are what it reads, below a data folder; `home` is where they come from. `asks` is what a row asks, before
    any chat template; `run` yields `items_a_row` items for each row, each with the row's id; `derived` makes the
    figures that are no means, from all items. `version` changes whenever the same answers and scores may give other
    items.
    `max_new_tokens` is the room that its answers need; `libraries` are optional ones whose version its items depend on.
    `content` is the digest of what it reads from elsewhere than files.
    `accuracy` is how often the judge agrees with people, on the labelled rows nearest to this set (on the opposite of
    what the metrics count, where that is said), `judge_tells` what it tells from what,
    and `judged` the metrics that it makes (empty: all); `chance` says what guessing scores.
    `question` is what another judge must answer to judge the same answers anew (empty: none can), `may_judge` says of
    which items.
    `root` is the folder of a user's own files, read wherever the data folder is; `carried` that of a set that comes
    with truing, read where the data folder has no file of the task's.
    """

    name: str
    title: str
    home: str
    version: int
    metrics: tuple[Metric, ...]
    files: Callable[[Path], list[Path]]
    read: Callable[[Path], Loaded]
    asks: Callable[[Any], Question | Probe]
    run: Run
    derived: Callable[[Sequence[ItemResult]], list[Figure]] = no_figures
    items_a_row: int = 1
    max_new_tokens: int = 40
    libraries: tuple[str, ...] = ()
    content: Callable[[], Mapping[str, str]] | None = None
    judge: Judge | None = None
    accuracy: JudgeAccuracy | None = None
    accuracy_of_the_opposite: bool = False
    judge_tells: tuple[str, str] = ("refusals", "other answers")
    judged: tuple[str, ...] = ()
    question: Literal["", "refusal", "harm", "marks"] = ""
    may_judge: Callable[[ItemResult], bool] = lambda _item: True
    chance: str = ""
    root: Path | None = None
    carried: Path | None = None


def folder_of(task: Task, folder: Path | None) -> Path | None:
    """Where the task's files are: in a folder of their own, in the data folder, or in the one that comes with truing;
    None without any."""
    if task.root is not None:
        return task.root
    if task.carried is None or (folder is not None and not missing_files(task, folder)):
        return folder
    return task.carried


def missing_files(task: Task, folder: Path) -> list[Path]:
    """The task's files that are not there."""
    return [path for path in task.files(folder) if not path.is_file()]


def evenly(rows: Sequence[Any], limit: int | None) -> list[Any]:
    """At most `limit` rows, evenly spaced, in their order."""
    count = len(rows) if limit is None else min(limit, len(rows))
    return [rows[number * len(rows) // count] for number in range(count)]


def answers(subject: Subject, prompts: Sequence[Conversation], decoding: Decoding) -> Iterator[tuple[int, Answer]]:
    """(index, answer) of each prompt. One that cannot be answered has an empty answer, whose `missing` says why."""
    fitting = []
    for number, prompt in enumerate(prompts):
        if reason := subject.misfit(prompt, decoding):
            yield number, Answer(text="", token_ids=(), logprobs=(), finished=None, least_gap=None, missing=reason)
        else:
            fitting.append(number)
    for place, answer in subject.sampler.sample([prompts[number] for number in fitting], decoding):
        yield fitting[place], answer


def ask(
    subject: Subject, probes: Sequence[Probe], decoding: Decoding, judges: dict[str, tuple[str, Judge]]
) -> Iterator[ItemResult]:
    """An answer to each probe, judged. `judges` gives for each group of probes the name of its items and its judge. A
    prompt that cannot be answered is an unknown item."""
    for number, answer in answers(subject, [probe.prompt for probe in probes], decoding):
        name, judge = judges[probes[number].group]
        yield judged(name, probes[number], answer, judge)


def answering(probe: Callable[[Any], Probe], judges: dict[str, tuple[str, Judge]]) -> Run:
    """The `run` of a task that asks one prompt a row, and judges the answers. Arguments as for `ask`."""

    def run(subject: Subject, rows: Sequence[Any], settings: TaskSettings) -> Iterator[ItemResult]:
        decoding = Decoding(max_new_tokens=settings.max_new_tokens)
        yield from ask(subject, [probe(row) for row in rows], decoding, judges)

    return run


def unknown(task: str, item: str, cluster: str, reason: str, prompt: str = "") -> ItemResult:
    """An item of which nothing is known, and why."""
    return ItemResult(task=task, item=item, cluster=cluster, value=None, reason=reason, prompt=prompt)
