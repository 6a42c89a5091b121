"""What an evaluation's artifact holds: items.jsonl, a line an item; of tasks on sets also tasks.json, a report each."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from truing.core.errors import InputError
from truing.core.records import ItemResult, Record
from truing.data.native import lines_of
from truing.evals.metric import Figure, Metric
from truing.evals.run import METRICS
from truing.evals.task import TaskSettings
from truing.judges.validate import JudgeAccuracy


class TaskReport(Record):
    """What was measured of one set, on what, and how: everything that a figure depends on beside model and adapter.

    `files` are the set's, each with its sha256; `revision` is their home and commit where all of them are as pinned,
    and empty elsewhere; `metrics` what it measures; `first_prompt` is exactly what was sent first (to a deployed model:
    its messages); `template` is the digest of the chat template that made it, or empty for plain text and for a
    deployed model, whose server has the template; `judge_tells` what the judge tells from what.
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
    judge_tells: tuple[str, str] = ("refusals", "other answers")
    accuracy: JudgeAccuracy | None
    chance: str
    settings: TaskSettings
    versions: Mapping[str, str]
    revision: str = ""
    metrics: tuple[Metric, ...] = ()
    figures: tuple[Figure, ...]


class OwnTask(Record):
    """A task of others (a suite, or one of lm-evaluation-harness): by which files it asked, each with its sha256, and
    the metrics that truing does not know by itself."""

    task: str
    files: Mapping[str, str]
    metrics: tuple[Metric, ...]


def read_items(folder: Path) -> list[ItemResult]:
    """The items of an evaluation artifact."""
    return [ItemResult.model_validate_json(line) for line in lines_of(folder / "items.jsonl")]


def read_reports(folder: Path) -> list[TaskReport]:
    """The reports of an evaluation on sets."""
    return [TaskReport.model_validate(one) for one in json.loads((folder / "tasks.json").read_text(encoding="utf-8"))]


def own_tasks(folder: Path) -> list[OwnTask]:
    """The tasks of others that an evaluation artifact measured."""
    known = {metric.task for metric in METRICS}
    reports = read_reports(folder) if (folder / "tasks.json").is_file() else []
    own = [(report, tuple(one for one in report.metrics if one.task not in known)) for report in reports]
    return [OwnTask(task=report.task, files=report.files, metrics=metrics) for report, metrics in own if metrics]


def write_reports(folder: Path, reports: Sequence[TaskReport]) -> None:
    """Write tasks.json."""
    plain = [report.model_dump(mode="json") for report in reports]
    (folder / "tasks.json").write_text(json.dumps(plain, indent=1, ensure_ascii=False), encoding="utf-8")


def judges_of(folder: Path) -> dict[str, str]:
    """Who judged each task's answers."""
    reports = read_reports(folder) if (folder / "tasks.json").is_file() else []
    return {report.task: report.judge for report in reports}


def same_judges(*sides: Mapping[str, str]) -> None:
    """Raise `InputError` where evaluations' answers to a task, by task, were judged by different judges."""
    seen: dict[str, str] = {}
    for task, judge in ((task, judge) for side in sides for task, judge in side.items()):
        if seen.setdefault(task, judge) != judge:
            judges = " and ".join(name or "a judge that is not named" for name in (seen[task], judge))
            raise InputError(
                f"{task}: the evaluations were judged by {judges}; judge both alike with `truing eval EVALUATION "
                "--judge`"
            )


def metrics_of(*folders: Path) -> list[Metric]:
    """`metrics_with` the tasks of others that these evaluation artifacts measured. Raises `InputError`, too, where
    another judge judged a task's answers."""
    same_judges(*map(judges_of, folders))
    return metrics_with(*map(own_tasks, folders))


def metrics_with(*sides: Sequence[OwnTask]) -> list[Metric]:
    """What evaluations may be compared on: truing's own metrics, and those that their tasks of others name.

    Raises `InputError` where what such a task asks was changed between them.
    """
    found = {metric.task: metric for metric in METRICS}
    seen: dict[str, OwnTask] = {}
    for own in (task for side in sides for task in side):
        if seen.setdefault(own.task, own).files != own.files:
            raise InputError(
                f"what {own.task} asks was changed between the evaluations; evaluate all of them by the same files"
            )
        found |= {metric.task: metric for metric in own.metrics}
    return list(found.values())
