"""`truing eval`: measure a system on held-out probes or on tasks over public sets, with every figure's interval."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from truing.cli.compare import bounds, interval, number
from truing.cli.deployed import Remote, Resume, Since, asked_how, observed_lines
from truing.cli.judging import Chosen, Judge, JudgeModel, JudgeRemote, Template, answers_of, check_tasks, choose
from truing.cli.run import DataDir, Json, Set, as_plain, execute, prepare
from truing.core.config import apply_overrides
from truing.core.errors import InputError
from truing.core.text import shorten
from truing.engine.settings import ModelConfig
from truing.loops.systems import names_a_model
from truing.providers.names import is_deployed

if TYPE_CHECKING:
    from truing.core.records import ItemResult
    from truing.evals.artifact import TaskReport
    from truing.evals.metric import Figure
    from truing.ledger.ledger import Artifact, Ledger
    from truing.loops.context import Context
    from truing.loops.events import StepDone

_SAMPLE = 160
_HARMFUL_SAMPLE = 60
# Where some of the texts may be harmful, though it is not harmlessness that is measured.
_PARTLY_HARMFUL = ("rewardbench",)
# Stereotypes, in sentences that anybody may read.
_NOT_HARMFUL = ("bbq", "winobias")


def evaluate(
    context: typer.Context,
    system: Annotated[
        str | None,
        typer.Argument(
            metavar="MODEL",
            help="An adapter in the ledger (name or id), or a model: smollm2-135m, hf:OWNER/NAME, a folder, a GGUF "
            "file, or a deployed one: openai:MODEL, anthropic:MODEL, gemini:MODEL. None: the bare --model.",
        ),
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="The model below an adapter (default: smollm2-135m).", show_default=False)
    ] = None,
    task: Annotated[
        str | None,
        typer.Option(
            help="Tasks over public sets instead of probes: NAME[,NAME]; a suite of your own by its file, FILE.toml; "
            "lm_eval:NAME is one of lm-evaluation-harness. `--task list` lists them."
        ),
    ] = None,
    data_dir: DataDir = None,
    limit: Annotated[int | None, typer.Option(min=1, help="So many rows of each set, evenly spaced.")] = None,
    probes: Annotated[str, typer.Option(help="A JSON Lines file of probes, or `starter`.")] = "starter",
    remote: Remote = None,
    since: Since = None,
    resume: Resume = False,
    judge: Judge = None,
    judge_model: JudgeModel = None,
    judge_remote: JudgeRemote = None,
    judge_template: Template = None,
    changes: Set = None,
    as_json: Json = False,
) -> None:
    """Measure a model, or one of its adapters, on held-out probes, or with --task on public sets. A deployed model is
    asked anew each time. With --judge, its answers are judged by a judge of your choice, or those of an evaluation are
    judged again.

    Example: truing eval dpo --task truthfulqa,winobias --data-dir benchmarks
    """
    if task == "list":
        _list(as_json)
        return
    ledger = context.obj.ledger
    chosen = choose(ledger, judge, judge_model, judge_remote, judge_template, since, resume)
    values: dict[str, Any] = {"name": "eval"}
    if chosen is not None and task is None:
        of_measuring = {"--model": model, "--limit": limit, "--remote": remote or None}
        _refuse({**of_measuring, "--probes": None if probes == "starter" else probes})
        _judge_again(ledger, system, chosen, changes, data_dir, as_json)
        return
    base, adapter = system_of(system, model)
    # Of a local model's answers that a deployed one judges, these options speak of the judge.
    for_judge = chosen is not None and chosen.deployed is not None and not is_deployed(base)
    deployed = asked_how(base, remote, None if for_judge else since, resume and not for_judge)
    if deployed is not None and task is None:
        raise InputError(
            f"the probes compare log-probabilities, which {base} does not give; with --task, name tasks that judge "
            "answers"
        )
    if deployed is not None and adapter is not None:
        raise InputError(f"{adapter!r} and --model {base!r}: an adapter needs a local model's weights; leave one out")
    values["model"] = {"name": base}
    measured = {} if adapter is None else {"adapter": f"ledger:{adapter}"}
    if task is not None:
        names = [name.strip() for name in task.split(",")]
        limited = {} if limit is None else {"limit": limit}
        values["eval"] = {"verb": "benchmark", "tasks": names, **limited, **measured}
        if chosen is not None:
            check_tasks(names, chosen.named)
            values["judged"] = {**chosen.step, "answers": "eval"}
    else:
        if limit is not None:
            raise InputError("--limit is for --task; of the probes all are measured")
        values["probes"] = {"verb": "dataset", "source": "starter", "probes": probes}
        values["eval"] = {"verb": "evaluate", "data": "probes", **measured}
    judging = None if chosen is None else chosen.deployed
    recipe, prepared = prepare(apply_overrides(values, changes or []), "eval", ledger, data_dir, deployed, judging)
    finished = execute(recipe, prepared, Console(stderr=as_json), quiet=as_json)
    _finish(finished, "eval" if chosen is None else "judged", prepared, task is not None, as_json)


def _judge_again(
    ledger: Path,
    evaluation: str | None,
    chosen: Chosen,
    changes: list[str] | None,
    data_dir: Path | None,
    as_json: bool,
) -> None:
    """Have the answers of an evaluation that is there judged by the chosen judge."""
    answers = f"ledger:{answers_of(ledger, evaluation, chosen.named).id}"
    values: dict[str, Any] = {"name": "eval", "judged": {**chosen.step, "answers": answers}}
    recipe, prepared = prepare(apply_overrides(values, changes or []), "eval", ledger, data_dir, None, chosen.deployed)
    _finish(execute(recipe, prepared, Console(stderr=as_json), quiet=as_json), "judged", prepared, True, as_json)


def _finish(finished: "dict[str, StepDone]", last: str, prepared: "Context", on_sets: bool, as_json: bool) -> None:
    """Print the last step's evaluation."""
    artifact = finished[last].artifact
    folder = prepared.ledger.folder(artifact)
    if as_json:
        typer.echo(json.dumps({**as_plain(finished), **(_plain(folder) if on_sets else {})}))
    elif on_sets:
        _print_tasks(folder, prepared.ledger, artifact)
    else:
        _print(folder)


def _refuse(given: Mapping[str, object]) -> None:
    """Raise `InputError` where something was given that means nothing for answers that are there."""
    if wrong := [option for option, value in given.items() if value is not None]:
        raise InputError(f"{' and '.join(wrong)}: the evaluation's answers are judged as they are; leave it out")


def system_of(system: str | None, model: str | None) -> tuple[str, str | None]:
    """The model's name, and the adapter's if the system is one. What is written like a model is one."""
    default: str = ModelConfig().name
    if system is None:
        return model or default, None
    if not names_a_model(system):
        return model or default, system
    if model is not None:
        raise InputError(f"{system!r} and --model {model!r} are two models; leave one out")
    return system, None


def _list(as_json: bool) -> None:
    from truing.evals.tasks.table import TASKS

    if as_json:
        typer.echo(json.dumps({name: {"title": task.title, "home": task.home} for name, task in TASKS.items()}))
        return
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("task", no_wrap=True)
    table.add_column("reads, below --data-dir", no_wrap=True)
    table.add_column("from")
    for task in TASKS.values():
        paths = task.files(Path())
        table.add_row(
            task.name, str(paths[0]) if len(paths) == 1 else f"{paths[0].parent}/ ({len(paths)} files)", task.home
        )
    Console().print(table)


def _plain(folder: Path) -> dict[str, Any]:
    from truing.evals.artifact import read_reports
    from truing.evals.observed import read_observations

    observed = read_observations(folder)
    return {
        "tasks": [report.model_dump(mode="json") for report in read_reports(folder)],
        **({} if observed is None else {"observed": observed.model_dump(mode="json")}),
    }


def _print(folder: Path) -> None:
    from truing.evals.artifact import read_items
    from truing.evals.compare import side
    from truing.evals.run import METRICS

    items = read_items(folder)
    table = Table("metric", "mean", "95% interval", "n", "unknown", "cut", box=SIMPLE_HEAD, pad_edge=False)
    for metric in METRICS:
        mine = [item for item in items if item.task == metric.task]
        if mine:
            result = side(mine, metric)
            counts = (str(len(mine)), str(result.unknown), str(result.cut))
            table.add_row(metric.title, number(result.mean, metric.unit), interval(result, metric.unit), *counts)
    Console().print(table)


def _print_tasks(folder: Path, ledger: "Ledger", artifact: "Artifact") -> None:
    """Every figure, what is to be known beside it, and one sample of each task; when a deployed model answered."""
    from truing.evals.artifact import read_items, read_reports
    from truing.evals.observed import read_observations
    from truing.loops.labels import labels_of, own_figures

    console = Console()
    items = read_items(folder)
    reports = read_reports(folder)
    labels = list(labels_of(ledger, artifact))
    measured = [metric for report in reports for metric in report.metrics]
    found = [figure for metric in measured for figure in own_figures(items, labels, metric)]
    own = {figure.name: figure for figure in found if figure.value is not None}
    table = Table("figure", "value", "95% interval", "n", "unknown", "cut", box=SIMPLE_HEAD, pad_edge=False)
    for report in reports:
        for figure in _with_own(report.figures, own):
            counts = (str(figure.n), str(figure.unknown), str(figure.cut))
            table.add_row(figure.title, *_shown(figure), *counts)
            if figure.note:
                table.add_row(f"  {figure.note}")
    console.print(table)
    for report in reports:
        metrics = [metric.task for metric in report.metrics]
        sample = next(item for item in items if item.task in metrics)
        for line in _notes(report, sample):
            console.print(line, highlight=False, markup=False, soft_wrap=True)
    for line in observed_lines(read_observations(folder)):
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def _with_own(figures: "Sequence[Figure]", own: "Mapping[str, Figure]") -> "list[Figure]":
    """Figures, with labelled shares beside; corrections by labels of these very answers replace transferred ones."""
    beside = (own.get(f"{figure.name}_labelled") for figure in figures)
    pairs = zip((own.get(figure.name, figure) for figure in figures), beside, strict=True)
    return [figure for pair in pairs for figure in pair if figure is not None]


def _shown(figure: "Figure") -> tuple[str, str]:
    """The value, and its interval where it has one."""
    signed = figure.unit == "score"
    value = number(figure.value, figure.unit, signed)
    if figure.low is None or figure.high is None:
        return value, ""
    return value, bounds(figure.low, figure.high, figure.unit, signed)


def _notes(report: "TaskReport", sample: "ItemResult") -> list[str]:
    """Rows that were left out, what guessing scores, how good the judge is, and a sample."""
    lines = []
    whole = f"{report.measured} of {report.rows} rows" if report.measured < report.rows else f"{report.rows} rows"
    bad = f", {report.bad} more could not be used" if report.bad else ""
    chance = f"; guessing scores {report.chance}" if report.chance else ""
    lines.append(f"{report.title}: {whole}{bad}{chance}")
    if report.judge:
        accuracy = report.accuracy
        positives, negatives = report.judge_tells
        known = "how often it is right on such answers is not measured"
        if accuracy is not None and accuracy.sensitivity is not None and accuracy.specificity is not None:
            known = (
                f"finds {accuracy.sensitivity:.0%} of {positives} and takes {1 - accuracy.specificity:.0%} of "
                f"{negatives} for one ({accuracy.data})"
            )
        lines.append(f"  judge {report.judge}: {known}")
    cut = _HARMFUL_SAMPLE if _is_harmful(report) else _SAMPLE
    value = "unknown" if sample.value is None else f"{sample.value:.3f}"
    answer = shorten(sample.answer, cut) or sample.reason or value
    lines.append(f"  sample: {shorten(sample.prompt, cut)} → {answer}")
    return lines


def _is_harmful(report: "TaskReport") -> bool:
    """Whether texts may be harmful, so that a sample is shown by its beginning only, as in reports."""
    harmless = any(metric.aspect == "harmless" for metric in report.metrics)
    return report.task in _PARTLY_HARMFUL or (harmless and report.task not in _NOT_HARMFUL)
