"""A suite of your own: a TOML file that says what is asked, how answers are judged, and what the figures are called.

    name = "tea"                       # its items and figures are tea_METRIC
    title = "Tea shop"
    items = "tea.jsonl"                # beside this file, in any form that `truing data` reads; or [[item]] tables here
    system = "You work in a tea shop." # optional
    prompt = "{question}"              # columns in braces; {prompt} if it is not given
    cluster = "topic"                  # optional: items of one cluster are not independent

    [[metric]]
    name = "names_it"
    judge = "contains"                 # one of `expectations.KINDS`
    column = "answer"

Instead of `prompt`, `question`, `choices` and `right` ask which of an item's choices is the likeliest. A suite is a
task like any other; the hashes of its files are part of an evaluation's key. What it measures is what you wrote:
whether the items are fair, or enough, it does not know.
"""

import difflib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from truing.core.config import read_toml
from truing.core.errors import InputError
from truing.core.protocols import Judge
from truing.core.records import ChoiceScores, Conversation, Decoding, ItemResult, Outcome, Probe, Question
from truing.evals.expectations import KINDS, NAMED, Choices, SuiteMetric
from truing.evals.metric import Metric
from truing.evals.run import METRICS
from truing.evals.suite_items import SuiteConfig, SuiteItem, read_items
from truing.evals.task import Loaded, Run, Subject, Task, TaskSettings, unknown
from truing.evals.tasks.answers import judged
from truing.evals.tasks.table import TASKS

SUFFIX = ".toml"


class Together:
    """The judges that a suite names, as one. 1.0: all say yes. 0.0: one says no. None: one cannot tell."""

    def __init__(self, judges: Sequence[Judge]) -> None:
        self.version, self._judges = ", ".join(judge.version for judge in judges), judges

    def judge(self, prompt: Conversation, answer: str) -> Outcome:
        """The first verdict that is no yes, or the last."""
        outcomes = [judge.judge(prompt, answer) for judge in self._judges]
        return next((one for one in outcomes if one.value != 1.0), outcomes[-1])


def read_suite(path: Path) -> Task:
    """The task that a suite is. Raises `InputError`: one sentence with the file, the place in it, and what to do."""
    config = SuiteConfig.parse(read_toml(path), str(path))
    folder, title = path.parent, config.title or config.name
    written = _metrics(config, str(path))
    paths = [path] if config.items is None else [path, folder / config.items]
    paths += [file for metric in written for file in metric.files(folder)]
    for file in paths:
        if not file.is_file():
            raise InputError(f"{path}: it names {file}, and there is no such file")
    completed = [metric.complete(folder) for metric in written]
    metrics = tuple(
        Metric(f"{config.name}_{one.name}", one.title or f"{title}: {one.name}", one.better, aspect=one.aspect)
        for one in completed
    )
    _check_names(config, metrics, str(path))
    named = [NAMED[name] for name in dict.fromkeys(one.judge for one in completed) if name in NAMED]
    return Task(
        name=config.name,
        title=title,
        home=str(path),
        version=1,
        metrics=metrics,
        files=lambda _folder: list(dict.fromkeys(paths)),
        read=lambda _folder: Loaded(*read_items(path, config, completed)),
        asks=_asked,
        run=_scoring(metrics, completed) if config.question is not None else _answering(metrics),
        items_a_row=len(metrics),
        judge=Together(named) if named else None,
        root=folder,
    )


def _metrics(config: SuiteConfig, path: str) -> list[SuiteMetric]:
    found = []
    for number, table in enumerate(config.metric, start=1):
        where = f"{path}: [[metric]] {number}" + (f" ({table['name']})" if isinstance(table.get("name"), str) else "")
        kind = table.get("judge")
        if not isinstance(kind, str) or kind not in KINDS:
            nearest = difflib.get_close_matches(str(kind), KINDS, n=1, cutoff=0.5)
            hint = f"did you mean {nearest[0]!r}?" if nearest else f"it is one of {', '.join(KINDS)}"
            raise InputError(f"{where}: 'judge' is {kind!r}; {hint}")
        metric = KINDS[kind].parse(table, where)
        if isinstance(metric, Choices) != (config.question is not None):
            raise InputError(f"{where}: the judge 'choices' goes with question, choices and right; others with prompt")
        found.append(metric)
    return found


def _check_names(config: SuiteConfig, metrics: Sequence[Metric], path: str) -> None:
    names = [metric.task for metric in metrics]
    if config.name in TASKS:
        raise InputError(f"{path}: 'name' is {config.name!r}, which is a task of truing; choose another")
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"{path}: two metrics are named {name.removeprefix(config.name + '_')!r}; rename one")
        if any(name == metric.task for metric in METRICS):
            raise InputError(f"{path}: {name} is a metric of truing; choose another name for the suite or the metric")


def _asked(item: SuiteItem) -> Question | Probe:
    return item.question or item.probe


def _answering(metrics: Sequence[Metric]) -> Run:
    """One answer an item, judged by every metric."""

    def run(subject: Subject, rows: Sequence[SuiteItem], settings: TaskSettings) -> Iterator[ItemResult]:
        decoding = Decoding(max_new_tokens=settings.max_new_tokens)
        fitting = []
        for row in rows:
            if reason := subject.misfit(row.probe.prompt, decoding):
                for metric in metrics:
                    yield unknown(metric.task, row.id, row.probe.topic, reason, row.probe.prompt[-1].content)
            else:
                fitting.append(row)
        for number, answer in subject.sampler.sample([row.probe.prompt for row in fitting], decoding):
            row = fitting[number]
            for metric, judge in zip(metrics, row.judges, strict=True):
                yield judged(metric.task, row.probe, answer, judge)

    return run


def _scoring(metrics: Sequence[Metric], written: Sequence[SuiteMetric]) -> Run:
    """Every item's choices, scored once for all metrics."""
    per = [metric.per for metric in written if isinstance(metric, Choices)]

    def run(subject: Subject, rows: Sequence[SuiteItem], settings: TaskSettings) -> Iterator[ItemResult]:
        questions = [row.question for row in rows if row.question is not None]
        for number, scores in subject.score(metrics[0].task, questions):
            row, question = rows[number], questions[number]
            for metric, by in zip(metrics, per, strict=True):
                if scores.unknown:
                    yield unknown(metric.task, row.id, row.probe.topic, scores.unknown, question.context)
                else:
                    yield _chosen(metric.task, row, question, _SIZES[by](question, scores), scores, settings)

    return run


_SIZES: dict[str, Callable[[Question, ChoiceScores], list[float]]] = {
    "choice": lambda question, _scores: [1.0] * len(question.choices),
    "token": lambda _question, scores: [float(count) for count in scores.tokens],
    "byte": lambda question, _scores: [float(len(choice.strip().encode())) for choice in question.choices],
}


def _chosen(
    task: str, row: SuiteItem, question: Question, sizes: Sequence[float], scores: ChoiceScores, settings: TaskSettings
) -> ItemResult:
    values = [value / size for value, size in zip(scores.logprobs, sizes, strict=True)]
    margin = values[row.right] - max(value for place, value in enumerate(values) if place != row.right)
    best = max(range(len(values)), key=values.__getitem__)
    return ItemResult(
        task=task,
        item=row.id,
        cluster=row.probe.topic,
        value=settings.wins(margin),
        prompt=question.context,
        answer=question.choices[best].strip() if margin else "",
        detail={"margin": margin},
    )
