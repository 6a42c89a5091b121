"""The verb `gate_running`: measure a candidate only until the gate's verdict on it is certain.

The baseline's items are put into a random order, fixed by the seed before the first is measured; the candidate is
measured on them chunk by chunk, and after each chunk the confidence sequences of `core/sequential.py` are asked. They
hold whenever one stops, so that asking often raises no false alarm. Tasks of which no rule speaks are not measured.

What comes out is *part* of an evaluation, of a kind of its own: its means are pulled towards what stopped it, so that
`truing compare`, `gate` and `scorecard` do not take it. The answers are kept: measured in full, the candidate is asked
only for those that are missing. A metric that is made of all items together, and values outside [0, 1], have no such
verdict and are refused.
"""

from collections.abc import Collection, Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field

from truing.core.config import Config
from truing.core.digest import digest
from truing.core.errors import InputError
from truing.core.paired import Plan
from truing.core.records import ItemResult, Record
from truing.evals.artifact import judges_of, read_items, same_judges
from truing.evals.compare import MetricComparison, compare
from truing.evals.find import find_task
from truing.evals.gate import GateConfig, GateReport, decide
from truing.evals.moved import moved_most
from truing.evals.task import Task, TaskSettings
from truing.loops.baseline import read_baseline
from truing.loops.context import Context
from truing.loops.events import Total
from truing.loops.recipe import Step, StepResult
from truing.loops.verbs.benchmark import data_folders, hashes_of
from truing.loops.verbs.evaluation import write_items
from truing.loops.verbs.gating import write_gate
from truing.loops.verbs.subject import check_deployed, open_measured

KIND = "partial_evaluation"
_FILE = "stopped.json"
_CERTAIN = ("holds", "broken")


class RunningConfig(GateConfig):
    """A gate's rules, and how the baseline was measured, by which the candidate is: `tasks`, `max_new_tokens`, `ties`.
    `baseline_file`: an exported one instead of the role. After every `chunk` rows of a task its verdicts are asked for.
    """

    tasks: tuple[str, ...] = Field(min_length=1)
    max_new_tokens: int | None = Field(default=None, ge=1)
    ties: Literal["strict", "right"] = "strict"
    baseline_file: str = ""
    chunk: int = Field(default=32, ge=1)
    sequential: bool = True


class Stopped(Record):
    """How much of the evaluation was measured, and why no more: `certain` says whether every verdict is."""

    items: int
    of: int
    certain: bool
    left_out: tuple[str, ...]

    def __str__(self) -> str:
        if self.items == self.of:
            why = "every verdict is certain" if self.certain else "and not every verdict is certain"
            return f"all {self.of} items were measured, {why}"
        return f"stopped after {self.items} of {self.of} items: every verdict is certain ({self.of - self.items} saved)"


class Queue:
    """A task's rows in their random order, whole clusters together, and the plan by which each metric is read."""

    def __init__(self, task: Task, rows: Sequence[Any], baseline: Sequence[ItemResult], seed: int) -> None:
        """`baseline` are the task's items. Raises `InputError` where rows are missing, or a row's items stand in
        several clusters."""
        self.task = task
        by_id = {row.id: row for row in rows}
        clusters: dict[str, str] = {}
        for item in baseline:
            if item.item not in by_id:
                raise InputError(
                    f"{task.name}: the baseline has the item {item.item!r}, which is not in the set; measure the "
                    "baseline on these files"
                )
            if clusters.setdefault(item.item, item.cluster) != item.cluster:
                raise InputError(f"{task.name}: {item.item!r} stands in two clusters; evaluate the candidate in full")
        names = list(dict.fromkeys(clusters.values()))
        order = [names[place] for place in np.random.default_rng(seed).permutation(len(names))]
        self._members: dict[str, list[Any]] = {name: [] for name in order}
        for row, cluster in clusters.items():
            self._members[cluster].append(by_id[row])
        self.items = len(baseline)
        self.plans = {}
        for metric in dict.fromkeys(item.task for item in baseline):
            mine = [item.cluster for item in baseline if item.task == metric]
            self.plans[metric] = Plan(order, max(mine.count(name) for name in dict.fromkeys(mine)))

    def take(self, count: int) -> list[Any]:
        """The next rows, at least `count` as long as there are any, whole clusters."""
        taken: list[Any] = []
        while self._members and len(taken) < count:
            taken += self._members.pop(next(iter(self._members)))
        return taken

    def __bool__(self) -> bool:
        return bool(self._members)


class GateRunning:
    """The verb `gate_running`."""

    name, version, kind = "gate_running", 1, KIND
    config: type[Config] = RunningConfig
    roles: Mapping[str, str] = {}
    optional_roles: Mapping[str, str] = {"baseline": "evaluation", "adapter": "adapter"}
    uses_model = True

    def reads(self, config: RunningConfig, roles: Collection[str], context: Context) -> Mapping[str, str]:
        """The baseline's file and the sets'. Raises `InputError` naming what is missing."""
        if bool(config.baseline_file) == ("baseline" in roles):
            raise InputError("name the baseline either as an evaluation or by baseline_file")
        tasks = _tasks(config, context)
        folders = data_folders(context, tasks)
        if context.deployed is not None:
            check_deployed(context, tasks, folders)
        stored = config.baseline_file
        files = {"baseline": read_baseline(Path(stored)).origin.items_sha256} if stored else {}
        return {
            "sets": digest({task.name: hashes_of(task, folders[task.name]) for task in tasks}),
            "task_versions": ", ".join(f"{task.name} {task.version}" for task in tasks),
            "judges": ", ".join(sorted({task.judge.version for task in tasks if task.judge is not None})),
            **files,
        }

    def run(self, step: Step, config: RunningConfig) -> Generator[Record, None, StepResult]:
        """Write items.jsonl and summary.json of what was measured, stopped.json, and the files of `gate`."""
        baseline, judges = _baseline(step, config)
        tasks = _tasks(config, step.context)
        folders = data_folders(step.context, tasks)
        queues = []
        for task in tasks:
            same_judges({task.name: judges.get(task.name, "")}, {task.name: task.judge.version if task.judge else ""})
            names = {metric.task for metric in task.metrics}
            mine = [item for item in baseline if item.task in names]
            queues.append(Queue(task, task.read(folders[task.name]).rows, mine, step.seed))
        _check_rules(config, queues, baseline)
        with open_measured(step) as measured:
            yield from measured.notices
            yield Total(items=sum(queue.items for queue in queues))
            chunks = _chunks(queues, config, measured.subject, step.seed)
            items, comparisons, report = yield from _until_certain(chunks, queues, config, baseline, step.seed)
        certain = all(result.status in _CERTAIN for result in report.results)
        told = Stopped(
            items=len(items),
            of=sum(queue.items for queue in queues),
            certain=certain,
            left_out=tuple(name for name in config.tasks if name not in {task.name for task in tasks}),
        )
        write_items(step.folder, items)
        (step.folder / _FILE).write_text(told.model_dump_json(indent=1), encoding="utf-8")
        write_gate(step.folder, comparisons, report)
        observed = measured.finish(step.folder)
        counts = {"items": float(told.items), "of": float(told.of)}
        return StepResult(metrics={"verdict": report.status, **counts, **observed})


Chunks = dict[str, Iterator[list[ItemResult]]]


def _chunks(queues: Sequence[Queue], config: RunningConfig, subject: Any, seed: int) -> Chunks:
    """Each task's items, chunk by chunk: measured when they are asked for."""

    def of(queue: Queue) -> Iterator[list[ItemResult]]:
        room = config.max_new_tokens or queue.task.max_new_tokens
        settings = TaskSettings(max_new_tokens=room, seed=seed, ties=config.ties)
        while queue:
            yield list(queue.task.run(subject, queue.take(config.chunk), settings))

    return {queue.task.name: of(queue) for queue in queues}


def _until_certain(
    chunks: Chunks, queues: Sequence[Queue], config: RunningConfig, baseline: Sequence[ItemResult], seed: int
) -> Generator[ItemResult, None, tuple[list[ItemResult], list[MetricComparison], GateReport]]:
    """Measure in turns every task of which a rule is still uncertain, until none is or all is measured."""
    items: list[ItemResult] = []
    planned = {metric for queue in queues for metric in queue.plans} & set(config.terms())
    open_tasks = {queue.task.name: {metric.task for metric in queue.task.metrics} for queue in queues}
    while True:
        for name in list(open_tasks):
            chunk = next(chunks[name], [])
            yield from chunk
            items += chunk
        if planned - {item.task for item in items} and any(queues):
            continue  # of a metric nothing is measured yet
        comparisons, report = _judged(items, config, baseline, queues, seed)
        uncertain = {result.metric for result in report.results if result.status not in _CERTAIN}
        open_tasks = {
            queue.task.name: open_tasks[queue.task.name]
            for queue in queues
            if queue and queue.task.name in open_tasks and open_tasks[queue.task.name] & uncertain
        }
        if not open_tasks:
            moved = moved_most(_same(baseline, items), items, comparisons)
            return items, comparisons, decide(comparisons, config, moved)


def _judged(
    items: Sequence[ItemResult],
    config: RunningConfig,
    baseline: Sequence[ItemResult],
    queues: Sequence[Queue],
    seed: int,
) -> tuple[list[MetricComparison], GateReport]:
    named = set(config.terms())
    plans = {metric: plan for queue in queues for metric, plan in queue.plans.items() if metric in named}
    known = [metric for queue in queues for metric in queue.task.metrics if metric.task in named]
    ours = [item for item in _same(baseline, items) if item.task in named]
    theirs = [item for item in items if item.task in named]
    if wrong := [item for item in theirs if item.value is not None and not 0 <= item.value <= 1]:
        raise InputError(f"{wrong[0].task}: {wrong[0].item!r} has the value {wrong[0].value:g}, outside 0 to 1")
    metrics = config.metrics(known, [*ours, *theirs])
    comparisons = compare(ours, theirs, metrics, config.terms(), seed, sequential=True, plans=plans)
    return comparisons, decide(comparisons, config)


def _same(baseline: Sequence[ItemResult], items: Sequence[ItemResult]) -> list[ItemResult]:
    """The baseline's part that was measured of the candidate, too."""
    measured = {(item.task, item.item) for item in items}
    return [item for item in baseline if (item.task, item.item) in measured]


def _tasks(config: RunningConfig, context: Context) -> list[Task]:
    """Those of the baseline's tasks of which a rule speaks. Raises `InputError` where a rule speaks of none of them."""
    every = [find_task(name, context.benchmarks) for name in config.tasks]
    measured = {metric.task for task in every for metric in task.metrics}
    for rule in config.rule:
        if rule.metric not in measured:
            raise InputError(
                f"the rule about {rule.metric}: the baseline was not measured on it; its metrics are "
                f"{', '.join(sorted(measured))}"
            )
    named = {rule.metric for rule in config.rule}
    return [task for task in every if named & {metric.task for metric in task.metrics}]


def _check_rules(config: RunningConfig, queues: Sequence[Queue], baseline: Sequence[ItemResult]) -> None:
    """Raise `InputError` for a rule whose metric cannot be read one by one."""
    planned = {metric for queue in queues for metric in queue.plans}
    for rule in config.rule:
        if rule.metric not in planned:
            raise InputError(f"the rule about {rule.metric}: the baseline has no item of it; measure it first")
        values = [item.value for item in baseline if item.task == rule.metric and item.value is not None]
        if any(not 0 <= value <= 1 for value in values):
            raise InputError(
                f"the rule about {rule.metric}: its values are not all between 0 and 1, so that no verdict can be read "
                "early; evaluate the candidate in full, and gate that"
            )


def _baseline(step: Step, config: RunningConfig) -> tuple[list[ItemResult], Mapping[str, str]]:
    """The baseline's items, and who judged them."""
    if config.baseline_file:
        stored = read_baseline(Path(config.baseline_file))
        return list(stored.items), stored.origin.judges
    folder = step.parent_folder("baseline")
    return read_items(folder), judges_of(folder)


def read_stopped(folder: Path) -> Stopped:
    """How far an artifact's evaluation went."""
    return Stopped.model_validate_json((folder / _FILE).read_text(encoding="utf-8"))
