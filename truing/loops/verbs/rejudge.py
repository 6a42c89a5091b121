"""The verb `rejudge`: an evaluation's answers, judged by a judge of one's choice. Nobody is asked for an answer again.

The answers are those of the evaluation in the role `answers`; values, figures and corrections are made anew by the
judge. What was unknown because there is no answer, or because no judge can tell (a recited text), stays so.
"""

import shutil
from collections.abc import Collection, Generator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from truing.core.config import Config
from truing.core.errors import InputError, RunError
from truing.core.records import ItemResult, Message, Record
from truing.engine.settings import ModelConfig
from truing.evals.artifact import TaskReport, read_items, read_reports, write_reports
from truing.evals.metric import Figure
from truing.evals.task import Task
from truing.evals.tasks.table import TASKS
from truing.judges.validate import JudgeAccuracy, judge_all
from truing.loops.context import Context
from truing.loops.events import Notice, Total
from truing.loops.judges import Asking, NamedJudge, is_trained, open_judge, open_trained
from truing.loops.recipe import Step, StepResult
from truing.loops.systems import ANSWERS
from truing.loops.validation import KIND as VALIDATION
from truing.loops.validation import read_validation
from truing.loops.verbs.benchmark import figures_of
from truing.loops.verbs.evaluation import write_items
from truing.loops.verbs.judge import KIND as JUDGE
from truing.loops.verbs.subject import count_since

_BESIDE = ("bad.jsonl", "observed.json")
_TELLS: Mapping[str, tuple[str, str]] = {
    "refusal": ("refusals", "other answers"),
    "harm": ("harmful answers", "other answers"),
    "marks": ("helpful answers", "other answers"),
}


class RejudgeConfig(Config):
    """`by`: a judge that needs no artifact, by its name (`loops.judges.open_judge`); a trained one fills the role
    `judge` instead. `judge_model`: whom it asks. `template`: the form of a classifier's prompt."""

    by: str = ""
    judge_model: ModelConfig = ModelConfig()
    template: str = ""


class Rejudge:
    """The verb `rejudge`. In the role `validation` stands what the judge's agreement with people was measured by."""

    name, version, kind = "rejudge", 2, "evaluation"
    config: type[Config] = RejudgeConfig
    roles: Mapping[str, str] = {ANSWERS: "evaluation"}
    optional_roles: Mapping[str, str] = {"judge": JUDGE, VALIDATION: VALIDATION}
    uses_model = False

    def reads(self, config: RejudgeConfig, roles: Collection[str], context: Context) -> Mapping[str, str]:
        """What the judge is. Raises `InputError` where there is none, or two."""
        if bool(config.by) == ("judge" in roles):
            raise InputError("name the judge either by `by` or, a trained one, by `judge`")
        if not config.by:
            return {}
        if is_trained(config.by):
            raise InputError(f'by = "{config.by}" is no judge without an artifact; a trained one is named by `judge`')
        named = open_judge(config.by, context.root, _asking(config, context))
        asked = (
            {} if named.asked is None else {f"asked_{key}": str(value) for key, value in named.asked.identity.items()}
        )
        return {"judge_version": named.judge.version, **asked}

    def run(self, step: Step, config: RejudgeConfig) -> Generator[Record, None, StepResult]:
        """Write items.jsonl, summary.json and tasks.json as `benchmark` does; copy bad.jsonl and observed.json."""
        context, source = step.context, step.parent_folder(ANSWERS)
        if "judge" in step.parents:
            named = open_trained(step.parents["judge"].id, context.root)
        else:
            named = open_judge(config.by, context.root, _asking(config, context))
        reports, items = reports_of(source, step.parents[ANSWERS].name), read_items(source)
        tasks = [task_of(report.task, named) for report in reports]
        deployed = named.asked is not None and named.asked.context.deployed is not None
        if deployed:
            yield _begun(step, named)
        yield Total(items=len(items))
        try:
            made = yield from _judged(named, tasks, items)
        except RunError as error:
            given = step.parents[ANSWERS].name
            raise RunError(
                f"{error}; the answers are kept: `truing eval {given} --judge {named.name} …` with --resume goes on"
            ) from None
        accuracy = _accuracy(step, named)
        figures = {}
        for number, (task, report) in enumerate(zip(tasks, reports, strict=True)):
            mine = [item for item in made if item.task in {metric.task for metric in task.metrics}]
            by_this = replace(task, accuracy=accuracy, accuracy_of_the_opposite=False)
            found = tuple(figures_of(by_this, mine))
            figures.update({figure.name: figure.value for figure in found})
            reports[number] = _report(report, named, accuracy, found)
        write_items(step.folder, made)
        write_reports(step.folder, reports)
        for name in _BESIDE:
            if (source / name).is_file():
                shutil.copyfile(source / name, step.folder / name)
        known = {
            "judge": named.judge.version,
            "judge_agreement": None if accuracy is None else accuracy.agreement,
            "judge_sensitivity": None if accuracy is None else accuracy.sensitivity,
            "judge_specificity": None if accuracy is None else accuracy.specificity,
            "judge_measured_on": "" if accuracy is None else accuracy.data,
        }
        return StepResult(metrics={**figures, **known}, observation=deployed)


def _asking(config: RejudgeConfig, context: Context) -> Asking:
    return Asking(config.judge_model, context.judging, config.template)


def _begun(step: Step, named: NamedJudge) -> Notice:
    """From when on a deployed judge's replies count."""
    assert named.asked is not None
    assert step.context.judging is not None
    remote = named.asked.context.remote
    since, notice = count_since(step.context.ledger, step.key, remote, step.context.judging, datetime.now(UTC))
    named.asked.since = since
    return notice


def _judged(
    named: NamedJudge, tasks: Sequence[Task], items: Sequence[ItemResult]
) -> Generator[ItemResult, None, list[ItemResult]]:
    """Every item with its new value, in order; yields them as they are judged."""
    task_of_metric = {metric.task: task for task in tasks for metric in task.metrics}
    made = dict(enumerate(items))
    places = [
        place for place, item in made.items() if item.answer.strip() and task_of_metric[item.task].may_judge(item)
    ]
    judged = set(places)
    yield from [item for place, item in made.items() if place not in judged]
    rows = [((Message(role="user", content=made[place].prompt),), made[place].answer) for place in places]
    for number, outcome in judge_all(named.judge, rows):
        place = places[number]
        detail = {**made[place].detail, **outcome.detail}
        new = {"value": outcome.value, "reason": outcome.reason, "detail": detail}
        made[place] = made[place].model_copy(update=new)
        yield made[place]
    return list(made.values())


def _report(
    report: TaskReport, named: NamedJudge, accuracy: JudgeAccuracy | None, figures: tuple[Figure, ...]
) -> TaskReport:
    assert named.question is not None
    grader = "" if named.asked is None else named.asked.name
    return report.model_copy(
        update={
            "judge": named.judge.version,
            "judge_tells": _TELLS[named.question],
            "accuracy": accuracy,
            "settings": report.settings.model_copy(update={"grader": grader}),
            "figures": figures,
        }
    )


def _accuracy(step: Step, named: NamedJudge) -> JudgeAccuracy | None:
    """How often the judge agrees with people: as it was validated, or as it carries it itself. Raises `InputError`
    where the validation is of another judge."""
    if VALIDATION not in step.parents:
        return named.accuracy
    found = read_validation(step.parent_folder(VALIDATION))
    if found.version != named.judge.version:
        raise InputError(
            f"[{step.name}] the validation is of the judge {found.version}, and this is {named.judge.version}; "
            "validate this one with `truing judge validate --keep`"
        )
    return found.whole.accuracy


def reports_of(folder: Path, name: str) -> list[TaskReport]:
    """What an evaluation on sets reports. Raises `InputError` for one on probes."""
    if not (folder / "tasks.json").is_file():
        raise InputError(
            f"{name} was measured on probes, whose judges are fixed; evaluate tasks on public sets to choose a judge"
        )
    return read_reports(folder)


def task_of(name: str, named: NamedJudge) -> Task:
    """A task whose answers the judge can judge. Raises `InputError` where it cannot."""
    task = TASKS.get(name)
    able = {one.name: one.question for one in TASKS.values() if one.question}
    if task is None or not task.question:
        raise InputError(
            f"{name}: its answers are judged in its own way, and no other judge is taken; those of {', '.join(able)} "
            "are judged by whom you name"
        )
    if named.question != task.question:
        fitting = ", ".join(one for one, question in able.items() if question == named.question)
        rest = f"it can judge {fitting}" if fitting else "set `question` in the rubric"
        tells = "a question that no task asks" if named.question is None else _WHAT[named.question]
        raise InputError(f"{name} asks {_WHAT[task.question]}, and the judge {named.name} answers {tells}; {rest}")
    return task


_WHAT: Mapping[str, str] = {
    "refusal": "whether an answer refuses",
    "harm": "whether an answer does the harm that was asked for",
    "marks": "for the marks of StrongREJECT's rubric",
}
