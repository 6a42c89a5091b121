"""The verb `benchmark`: the model, bare or with an adapter, on tasks over public sets.

What the sets hold, and which rows of them cannot be used, is told before the model is asked. Scores and answers are
kept by content as soon as they are there, so that a run that was killed goes on with the items that are missing.
"""

import json
from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field, field_validator

import truing
from truing.core.config import Config
from truing.core.digest import digest, digest_file
from truing.core.errors import InputError
from truing.core.records import ItemResult, Question, Record
from truing.evals.metric import Figure, corrected_figure, mean_figure
from truing.evals.task import Loaded, Subject, Task, TaskSettings, evenly, missing_files
from truing.evals.tasks.table import TASKS, is_task, task_of
from truing.judges.validate import JudgeAccuracy
from truing.loops.context import Context
from truing.loops.events import Notice, Total
from truing.loops.recipe import Step, StepResult
from truing.loops.verbs.evaluation import open_local, summarise

if TYPE_CHECKING:
    from truing.providers.local import LocalSystem


class BenchmarkConfig(Config):
    """`tasks` by name; of each set all rows, or `limit` of them, evenly spaced. `max_new_tokens` (None: what each task
    needs) and `ties` as in `TaskSettings`."""

    tasks: tuple[str, ...] = Field(min_length=1)
    limit: int | None = Field(default=None, ge=1)
    max_new_tokens: int | None = Field(default=None, ge=1)
    ties: Literal["strict", "right"] = "strict"

    @field_validator("tasks")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if not is_task(name):
                raise ValueError(f"there is no task {name!r}; the tasks are {', '.join(TASKS)}, lm_eval:NAME")
            if names.count(name) > 1:
                raise ValueError(f"the task {name!r} stands twice")
        return names


class TaskReport(Record):
    """What was measured of one set, on what, and how: everything that a figure depends on beside model and adapter.

    `files` are the set's, each with its sha256; `first_prompt` is exactly what was sent first; `template` is the digest
    of the chat template that made it, or empty for plain text.
    """

    task: str
    title: str
    task_version: int
    files: Mapping[str, str]
    rows: int
    measured: int
    bad: int
    template: str
    first_prompt: str
    judge: str
    accuracy: JudgeAccuracy | None
    chance: str
    settings: TaskSettings
    versions: Mapping[str, str]
    figures: tuple[Figure, ...]


class Benchmark:
    """The verb `benchmark`."""

    name, version, kind = "benchmark", 1, "evaluation"
    config: type[Config] = BenchmarkConfig
    roles: Mapping[str, str] = {}
    optional_roles: Mapping[str, str] = {"adapter": "adapter"}
    uses_model = True

    def reads(self, config: BenchmarkConfig, _roles: Collection[str], context: Context) -> Mapping[str, str]:
        """The sets' files, and the versions of tasks and judges. Raises `InputError` naming what is missing."""
        tasks = [task_of(name, context.benchmarks) for name in config.tasks]
        folder = data_folder(context, tasks)
        return {
            "sets": digest({task.name: _hashes(task, folder) for task in tasks}),
            "task_versions": ", ".join(f"{task.name} {task.version}" for task in tasks),
            "libraries": digest([_libraries(task) for task in tasks if task.libraries]),
            "judges": ", ".join(sorted({task.judge.version for task in tasks if task.judge is not None})),
        }

    def run(self, step: Step, config: BenchmarkConfig) -> Generator[Record, None, StepResult]:
        """Write items.jsonl (one line an item), summary.json, tasks.json (a `TaskReport` each) and bad.jsonl."""
        tasks = [task_of(name, step.context.benchmarks) for name in config.tasks]
        folder = data_folder(step.context, tasks)
        loaded = {task.name: task.read(folder) for task in tasks}
        for task in tasks:
            yield from _notices(task, loaded[task.name])
        rows = {task.name: evenly(loaded[task.name].rows, config.limit) for task in tasks}
        yield from step.context.notices()
        yield Total(items=sum(task.items_a_row * len(rows[task.name]) for task in tasks))
        items: list[ItemResult] = []
        reports: list[TaskReport] = []
        adapter = step.parent_folder("adapter") if "adapter" in step.parents else None
        system, subject, close = open_subject(step.context, adapter)
        try:
            for task in tasks:
                mine: list[ItemResult] = []
                longest = config.max_new_tokens or task.max_new_tokens
                settings = TaskSettings(max_new_tokens=longest, seed=step.seed, ties=config.ties)
                for item in task.run(subject, rows[task.name], settings):
                    mine.append(item)
                    yield item
                items += _ordered(task, rows[task.name], mine)
                reports.append(
                    TaskReport(
                        task=task.name,
                        title=task.title,
                        task_version=task.version,
                        files=_hashes(task, folder),
                        rows=len(loaded[task.name].rows),
                        measured=len(rows[task.name]),
                        bad=len(loaded[task.name].bad),
                        **_as_sent(system, task, rows[task.name]),
                        judge=task.judge.version if task.judge is not None else "",
                        accuracy=task.accuracy,
                        chance=task.chance,
                        settings=settings,
                        versions={**_versions(), **_libraries(task)},
                        figures=tuple(figures_of(task, mine)),
                    )
                )
        finally:
            close()
        _write(step.folder, items, reports, loaded)
        values = {figure.name: figure.value for report in reports for figure in report.figures}
        return StepResult(metrics={**values, "left_out": float(sum(report.bad for report in reports))})


def figures_of(task: Task, items: Sequence[ItemResult]) -> list[Figure]:
    """Every figure of a task: its metrics' means, of judged ones also as corrected for the judge's errors, then what
    else it makes of its items."""
    found = []
    for metric in task.metrics:
        mine = [item for item in items if item.task == metric.task]
        if mine:
            found.append(mean_figure(metric.task, metric.title, mine, metric.unit))
            if task.accuracy is not None:
                found.append(corrected_figure(metric, mine, task.accuracy, task.accuracy_of_the_opposite))
    return [*found, *task.derived(items)]


def read_reports(folder: Path) -> list[TaskReport]:
    """The reports of an artifact of this verb."""
    return [TaskReport.model_validate(one) for one in json.loads((folder / "tasks.json").read_text(encoding="utf-8"))]


def data_folder(context: Context, tasks: Sequence[Task]) -> Path:
    """The folder of public sets. Raises `InputError` saying what to put where if a task's files are not there."""
    folder = context.benchmarks
    for task in tasks:
        if folder is None and task.files(Path()):
            names = ", ".join(str(path) for path in task.files(Path("DIR")))
            raise InputError(
                f"the task {task.name} needs its files: put {names} there (from {task.home}), and name DIR with "
                "--data-dir"
            )
        if missing := missing_files(task, folder or Path()):
            raise InputError(
                f"the task {task.name} needs {missing[0]}, which is not there; put it there (from {task.home})"
            )
    return folder or Path()


def open_subject(context: Context, adapter: Path | None) -> "tuple[LocalSystem, Subject, Callable[[], None]]":
    """The local system, the same as what tasks measure (its answers are kept by content), and what closes it."""
    from truing.providers.stored import Stored

    system, _, close = open_local(context, adapter)
    kept = Stored(system, system, system.identity, context.ledger.store)
    return system, Subject(context.model.name, kept, system, system.misfit, kept, system.start), close


def _hashes(task: Task, folder: Path) -> dict[str, str]:
    elsewhere = {} if task.content is None else task.content()
    return {**elsewhere, **{str(path.relative_to(folder)): digest_file(path) for path in task.files(folder)}}


def _notices(task: Task, loaded: Loaded) -> Generator[Notice, None, None]:
    """Which rows cannot be used. Raises `InputError` where none can."""
    if not loaded.rows:
        first = loaded.bad[0]
        raise InputError(f"{first.file}, {first.unit} {first.line}: {first.reason}; no row of {task.name} can be used")
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


def _as_sent(system: "LocalSystem", task: Task, rows: Sequence[Record]) -> dict[str, str]:
    """The first prompt exactly as it was sent (of a choice: with the first one), and the template's digest."""
    asked = task.asks(rows[0])
    if isinstance(asked, Question):
        return {"first_prompt": asked.context + asked.choices[0], "template": ""}
    return {"first_prompt": system.chat.render(asked.prompt), "template": digest(system.chat.tokenizer.chat_template)}


def _versions() -> dict[str, str]:
    return {"truing": truing.__version__, **{name: version(name) for name in ("torch", "transformers")}}


def _libraries(task: Task) -> dict[str, str]:
    """The versions of the task's optional libraries."""
    found = {}
    for name in task.libraries:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def _write(
    folder: Path, items: Sequence[ItemResult], reports: Sequence[TaskReport], loaded: Mapping[str, Loaded]
) -> None:
    lines = "".join(item.model_dump_json() + "\n" for item in items)
    (folder / "items.jsonl").write_text(lines, encoding="utf-8")
    (folder / "summary.json").write_text(json.dumps(summarise(list(items)), indent=1), encoding="utf-8")
    plain = [report.model_dump(mode="json") for report in reports]
    (folder / "tasks.json").write_text(json.dumps(plain, indent=1, ensure_ascii=False), encoding="utf-8")
    bad = [
        {"task": name, "file": str(row.file), row.unit: row.line, "reason": row.reason}
        for name, one in loaded.items()
        for row in one.bad
    ]
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in bad)
    (folder / "bad.jsonl").write_text(text, encoding="utf-8")
