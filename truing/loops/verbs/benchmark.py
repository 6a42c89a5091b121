"""The verb `benchmark`: the model, bare or with an adapter, on tasks over public sets.

What the sets hold, and which rows of them cannot be used, is told before the model is asked. Scores and answers are
kept by content as soon as they are there, so that a run that was killed goes on with the items that are missing.
"""

import json
import os
from collections.abc import Collection, Generator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from truing.core.config import Config
from truing.core.digest import digest, digest_file
from truing.core.errors import InputError
from truing.core.records import ItemResult, Record
from truing.data.sets import SETS, revision_of
from truing.evals.artifact import TaskReport, write_reports
from truing.evals.find import find_task
from truing.evals.metric import Figure, corrected_figure, mean_figure
from truing.evals.task import Loaded, Task, TaskSettings, evenly, folder_of, missing_files
from truing.evals.tasks.harness import PREFIX
from truing.loops.context import Context
from truing.loops.events import Notice, Total
from truing.loops.recipe import Step, StepResult
from truing.loops.verbs.evaluation import write_items
from truing.loops.verbs.subject import check_deployed, open_measured


class BenchmarkConfig(Config):
    """`tasks` by name, or a suite's by its TOML file; of each set all rows, or `limit` of them, evenly spaced.
    `max_new_tokens` (None: what each task needs) and `ties` as in `TaskSettings`."""

    tasks: tuple[str, ...] = Field(min_length=1)
    limit: int | None = Field(default=None, ge=1)
    max_new_tokens: int | None = Field(default=None, ge=1)
    ties: Literal["strict", "right"] = "strict"

    @field_validator("tasks")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        # Of the harness's tasks a name says all that is asked here: the library is not looked into yet.
        found = [name if name.startswith(PREFIX) else find_task(name).name for name in names]
        for name in found:
            if found.count(name) > 1:
                raise ValueError(f"the task {name!r} stands twice")
        return names


class Benchmark:
    """The verb `benchmark`."""

    name, version, kind = "benchmark", 3, "evaluation"
    config: type[Config] = BenchmarkConfig
    roles: Mapping[str, str] = {}
    optional_roles: Mapping[str, str] = {"adapter": "adapter"}
    uses_model = True

    def reads(self, config: BenchmarkConfig, _roles: Collection[str], context: Context) -> Mapping[str, str]:
        """The sets' files, and the versions of tasks and judges. Raises `InputError` naming what is missing."""
        tasks = [find_task(name, context.benchmarks) for name in config.tasks]
        folders = data_folders(context, tasks)
        if context.deployed is not None:
            check_deployed(context, tasks, folders)
        return {
            "sets": digest({task.name: hashes_of(task, folders[task.name]) for task in tasks}),
            "task_versions": ", ".join(f"{task.name} {task.version}" for task in tasks),
            "libraries": digest([_libraries(task) for task in tasks if task.libraries]),
            "judges": ", ".join(sorted({task.judge.version for task in tasks if task.judge is not None})),
        }

    def run(self, step: Step, config: BenchmarkConfig) -> Generator[Record, None, StepResult]:
        """Write items.jsonl (one line an item), summary.json, tasks.json (a `TaskReport` each) and bad.jsonl; of a
        deployed model also observed.jsonl (every answer as it came) and observed.json."""
        tasks = [find_task(name, step.context.benchmarks) for name in config.tasks]
        folders = data_folders(step.context, tasks)
        loaded = {task.name: task.read(folders[task.name]) for task in tasks}
        for task in tasks:
            yield from _notices(task, loaded[task.name], folders[task.name])
        rows = {task.name: evenly(loaded[task.name].rows, config.limit) for task in tasks}
        items: list[ItemResult] = []
        reports: list[TaskReport] = []
        with open_measured(step) as measured:
            yield from measured.notices
            yield Total(items=sum(task.items_a_row * len(rows[task.name]) for task in tasks))
            for task in tasks:
                mine: list[ItemResult] = []
                longest = config.max_new_tokens or task.max_new_tokens
                settings = TaskSettings(max_new_tokens=longest, seed=step.seed, ties=config.ties)
                for item in task.run(measured.subject, rows[task.name], settings):
                    mine.append(item)
                    yield item
                items += _ordered(task, rows[task.name], mine)
                reports.append(
                    TaskReport(
                        task=task.name,
                        title=task.title,
                        task_version=task.version,
                        files=hashes_of(task, folders[task.name]),
                        rows=len(loaded[task.name].rows),
                        measured=len(rows[task.name]),
                        bad=len(loaded[task.name].bad),
                        **measured.as_sent(task.asks(rows[task.name][0])),
                        judge=task.judge.version if task.judge is not None else "",
                        judge_tells=task.judge_tells,
                        accuracy=task.accuracy,
                        chance=task.chance,
                        settings=settings,
                        versions={**measured.versions(), **_libraries(task)},
                        revision=_revision(task, folders[task.name]),
                        metrics=task.metrics,
                        figures=tuple(figures_of(task, mine)),
                    )
                )
        write_items(step.folder, items)
        write_reports(step.folder, reports)
        _write_bad(step.folder, loaded)
        observed = measured.finish(step.folder)
        values = {figure.name: figure.value for report in reports for figure in report.figures}
        return StepResult(metrics={**values, "left_out": float(sum(report.bad for report in reports)), **observed})


def figures_of(task: Task, items: Sequence[ItemResult]) -> list[Figure]:
    """Every figure of a task: its metrics' means, of judged ones also as corrected for the judge's errors, then what
    else it makes of its items."""
    found = []
    for metric in task.metrics:
        mine = [item for item in items if item.task == metric.task]
        if mine:
            found.append(mean_figure(metric.task, metric.title, mine, metric.unit))
            if task.accuracy is not None and (not task.judged or metric.task in task.judged):
                found.append(corrected_figure(metric, mine, task.accuracy, task.accuracy_of_the_opposite))
    return [*found, *task.derived(items)]


def data_folders(context: Context, tasks: Sequence[Task]) -> dict[str, Path]:
    """Of each task the folder that its files are in. Raises `InputError` saying what to put where if they are not
    there."""
    folders = {}
    for task in tasks:
        folder = folder_of(task, context.benchmarks)
        if folder is None and task.files(Path()):
            names = ", ".join(str(path) for path in task.files(Path("DIR")))
            raise InputError(
                f"the task {task.name} needs its files: {_fetching(task, 'DIR')}put {names} there (from {task.home}), "
                "and name DIR with --data-dir"
            )
        if missing := missing_files(task, folder or Path()):
            raise InputError(
                f"the task {task.name} needs {missing[0]}, which is not there; {_fetching(task, folder)}put it there "
                f"(from {task.home})"
            )
        folders[task.name] = folder or Path()
    return folders


def _fetching(task: Task, folder: Path | str | None) -> str:
    return f"run `truing data fetch {task.name} --data-dir {folder}`, or " if task.name in SETS else ""


def hashes_of(task: Task, folder: Path) -> dict[str, str]:
    """Of each of the task's files its sha256."""
    elsewhere = {} if task.content is None else task.content()
    return {**elsewhere, **{os.path.relpath(path, folder): digest_file(path) for path in task.files(folder)}}


def _revision(task: Task, folder: Path) -> str:
    public = folder not in (task.root, task.carried)
    return revision_of(task.name, folder, task.files(folder)) if public else ""


def _notices(task: Task, loaded: Loaded, folder: Path) -> Generator[Notice, None, None]:
    """Whether the set that comes with truing is read, and which rows cannot be used. Raises `InputError` where none
    can."""
    if not loaded.rows:
        first = loaded.bad[0]
        raise InputError(f"{first.file}, {first.unit} {first.line}: {first.reason}; no row of {task.name} can be used")
    if folder == task.carried:
        own = task.files(Path("DIR"))[0]
        yield Notice(text=f"{task.name}: the set that comes with truing is measured (your own would be {own})")
    if loaded.bad:
        first = loaded.bad[0]
        counted = f"{len(loaded.bad)} row{'s' * (len(loaded.bad) > 1)}"
        yield Notice(
            text=f"{task.name}: {counted} cannot be used, the first in {first.file}, {first.unit} {first.line}: "
            f"{first.reason} (all in bad.jsonl)"
        )


def _ordered(task: Task, rows: Sequence[Record], items: Sequence[ItemResult]) -> list[ItemResult]:
    """Items by metric, then in the order of the rows."""
    metrics = {metric.task: place for place, metric in enumerate(task.metrics)}
    order = {row.id: place for place, row in enumerate(rows)}  # type: ignore[attr-defined]
    return sorted(items, key=lambda item: (metrics[item.task], order[item.item]))


def _libraries(task: Task) -> dict[str, str]:
    """The versions of the task's optional libraries."""
    found = {}
    for name in task.libraries:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def _write_bad(folder: Path, loaded: Mapping[str, Loaded]) -> None:
    bad = [
        {"task": name, "file": str(row.file), row.unit: row.line, "reason": row.reason}
        for name, one in loaded.items()
        for row in one.bad
    ]
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in bad)
    (folder / "bad.jsonl").write_text(text, encoding="utf-8")
