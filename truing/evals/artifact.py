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


def read_items(folder: Path) -> list[ItemResult]:
    """The items of an evaluation artifact."""
    return [ItemResult.model_validate_json(line) for line in lines_of(folder / "items.jsonl")]


def read_reports(folder: Path) -> list[TaskReport]:
    """The reports of an evaluation on sets."""
    return [TaskReport.model_validate(one) for one in json.loads((folder / "tasks.json").read_text(encoding="utf-8"))]


def write_reports(folder: Path, reports: Sequence[TaskReport]) -> None:
    """Write tasks.json."""
    plain = [report.model_dump(mode="json") for report in reports]
    (folder / "tasks.json").write_text(json.dumps(plain, indent=1, ensure_ascii=False), encoding="utf-8")


def judges_of(folder: Path) -> dict[str, str]:
    """Who judged each task's answers."""
    reports = read_reports(folder) if (folder / "tasks.json").is_file() else []
    return {report.task: report.judge for report in reports}


def same_judge(task: str, one: str, other: str) -> None:
    """Raise `InputError` where two evaluations' answers to a task were judged by different judges."""
    if one != other:
        judges = " and ".join(name or "a judge that is not named" for name in (one, other))
        raise InputError(
            f"{task}: the evaluations were judged by {judges}; judge both alike with `truing eval EVALUATION --judge`"
        )


def metrics_of(*folders: Path) -> list[Metric]:
    """What these evaluations may be compared on: truing's own metrics, and those that the tasks of others name (suites,
    lm-evaluation-harness).

    Raises `InputError` where what such a task asks was changed between them, or another judge judged a task's answers.
    """
    known = {metric.task: metric for metric in METRICS}
    found = dict(known)
    seen: dict[str, TaskReport] = {}
    judges: dict[str, str] = {}
    for folder in folders:
        for report in read_reports(folder) if (folder / "tasks.json").is_file() else []:
            same_judge(report.task, judges.setdefault(report.task, report.judge), report.judge)
            own = {metric.task: metric for metric in report.metrics if metric.task not in known}
            if own and seen.setdefault(report.task, report).files != report.files:
                raise InputError(
                    f"what {report.task} asks was changed between the evaluations; evaluate all of them by the same "
                    "files"
                )
            found |= own
    return list(found.values())
