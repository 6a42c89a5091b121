"""`truing judge`: train judges on people's labels, hold judges against them, and label answers oneself."""

import json
import sys
from collections.abc import Generator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from truing.cli.compare import bounds, number
from truing.cli.deployed import Remote, asked_how
from truing.cli.judging import JUDGES, Template
from truing.cli.pairwise import pairwise
from truing.cli.progress import Display
from truing.cli.run import Json, Set, as_plain, execute, prepare
from truing.core.config import apply_overrides
from truing.core.errors import InputError
from truing.core.text import shorten
from truing.engine.settings import ModelConfig

if TYPE_CHECKING:
    from truing.core.records import ItemResult, Progress
    from truing.evals.metric import Figure
    from truing.judges.agreement import Agreement, Bounded, Validation

judge = typer.Typer(name="judge", help="Judges: train, validate, label, compare pairs.", no_args_is_help=True)
_PROMPT, _ANSWER, _HARMFUL_ANSWER = 100, 160, 60
_LABELLED_ANSWER = 2000
SetName = Annotated[
    Literal["xstest", "harmbench"],
    typer.Option("--set", help="xstest: does the answer refuse? harmbench: does it do the harm that was asked for?"),
]
DataDir = Annotated[
    Path | None,
    typer.Option("--data-dir", envvar="TRUING_BENCHMARKS", help="A folder of public sets, one folder each."),
]


@judge.command()
def train(
    context: typer.Context,
    question: Annotated[
        Literal["refusal", "harm"], typer.Argument(help="refusal, by XSTest's labels; harm, by HarmBench's.")
    ],
    data_dir: DataDir = None,
    model: Annotated[
        str, typer.Option(help="The judge's trunk: smollm2-135m, hf:OWNER/NAME, a folder, or a GGUF file.")
    ] = "smollm2-135m",
    name: Annotated[str | None, typer.Option(help="Its name in the ledger: QUESTION_judge if not given.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the folds.")] = 0,
    changes: Set = None,
    as_json: Json = False,
) -> None:
    """Train a judge on people's labels: a small classifier on a fixed model's hidden states, beside the strings.

    Example: truing judge train harm --data-dir benchmarks
    """
    from truing.loops.verbs.judge import read_table

    step = name or f"{question}_judge"
    values = {"name": "judge", "model": {"name": model}, "seed": seed, step: {"verb": "judge", "question": question}}
    recipe, prepared = prepare(apply_overrides(values, changes or []), "judge", context.obj.ledger, data_dir)
    finished = execute(recipe, prepared, Console(stderr=as_json), quiet=as_json)
    table = read_table(prepared.ledger.folder(finished[step].artifact))
    if as_json:
        typer.echo(json.dumps({**as_plain(finished), "table": [row.model_dump(mode="json") for row in table]}))
        return
    console = Console()
    console.print(_table([("", table)], console))
    _line(console, table[-1].accuracy.data)
    _line(console, f"use it: truing judge validate {step} …")


@judge.command()
def validate(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="JUDGE", help=f"{JUDGES}.")],
    labelled: SetName,
    data_dir: DataDir = None,
    model: Annotated[str, typer.Option(help="Who answers a rubric: a local model or a deployed one.")] = "smollm2-135m",
    remote: Remote = None,
    template: Template = None,
    keep: Annotated[
        bool,
        typer.Option(
            "--keep", help="Keep it in the ledger: `truing eval --judge` then says, and corrects by, what it found."
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Hold a judge against people's labels: agreement, sensitivity, specificity and Cohen's kappa, with intervals, on
    all answers and by source model, beside stored judges and people's own unanimity.

    Example: truing judge validate not-refused --set harmbench --data-dir benchmarks
    """
    from truing.data.labelled import SETS
    from truing.loops.judges import Asking, open_judge
    from truing.loops.validation import keep_validation, validate_named

    one = SETS[labelled]
    if data_dir is None:
        names = ", ".join(str(path) for path in one.files(Path("DIR")))
        raise InputError(f"{one.title} are needed: put {names} there (from {one.home}), and name DIR with --data-dir")
    deployed = asked_how(model, remote, None, False)
    asking = Asking(ModelConfig.parse({"name": model}, "--model"), deployed, str(template or ""))
    named = open_judge(name, context.obj.ledger, asking)
    with Display(Console(stderr=True), quiet=as_json) as display:
        found = _followed(validate_named(named, one, data_dir), display)
    if as_json:
        typer.echo(found.model_dump_json())
    else:
        _show(found, Console(), one.harmful)
    if keep:
        kept = keep_validation(context.obj.ledger, named, one, data_dir, found)
        typer.echo(f"{kept.kind} {kept.short}  {kept.name}", err=as_json)


@judge.command()
def label(
    context: typer.Context,
    evaluation: Annotated[str, typer.Argument(help="An evaluation in the ledger (name or id).")],
    annotator: Annotated[str, typer.Option(help="Who labels: a name, kept beside each label.")],
    task: Annotated[
        str | None, typer.Option(help="Which metric's answers, such as xstest_safe; needed where there are several.")
    ] = None,
    count: Annotated[int, typer.Option("--number", min=1, help="How many answers are drawn, at random.")] = 20,
    seed: Annotated[int, typer.Option(help="Seed of the draw.")] = 0,
    as_json: Json = False,
) -> None:
    """Label a small random sample of an evaluation's answers, without seeing what the judge said. The reported rate is
    then corrected by these answers' own labels. Stopped with q, the labels are kept and the same command goes on.

    Example: truing judge label eval --annotator ada --task xstest_safe --number 30
    """
    from truing.evals.artifact import read_items
    from truing.ledger.ledger import Ledger
    from truing.loops.labels import Labelling, agreement_with, labels_of, own_figures

    if not annotator.strip():
        raise InputError("--annotator is empty; say who labels")
    ledger = Ledger.open(context.obj.ledger, create=False)
    found = ledger.get(evaluation)
    if found.kind != "evaluation":
        raise InputError(f"{evaluation!r} is of the kind {found.kind!r}; it must be an evaluation")
    items = read_items(ledger.folder(found))
    metric = _metric(items, task, evaluation)
    labelling = Labelling(ledger, found, items, metric.task, annotator, seed)
    console = Console(stderr=as_json)
    whole = _ask(labelling.drawn(count), metric.title, console, labelling)
    if not labelling.labels or not whole:
        _line(console, f"{len(labelling.labels)} labels are kept; the same command goes on")
        return
    made = labelling.commit()
    labels = list(labels_of(ledger, found))
    figures = own_figures(items, labels, metric)
    agreement = agreement_with(items, labels, metric.task)
    if as_json:
        plain = [figure.model_dump(mode="json") for figure in figures]
        typer.echo(json.dumps({"artifact": made.id, "figures": plain, "judge": agreement.model_dump(mode="json")}))
        return
    _line(console, f"{made.kind} {made.short}: {len(labels)} labels of {found.name}'s answers")
    console.print(_table([("", [agreement])], console))
    for figure in figures:
        _line(console, f"{figure.title}: {_figure(figure)}{f' ({figure.note})' if figure.note else ''}")


judge.command()(pairwise)


def _ask(items: "Sequence[ItemResult]", title: str, console: Console, labelling: Any) -> bool:
    """Ask about each item; False where the person stopped before the last."""
    for place, item in enumerate(items, start=1):
        _line(
            console,
            f"\n{place} of {len(items)}\nasked: {item.prompt}\nanswer: {shorten(item.answer, _LABELLED_ANSWER)}",
        )
        said = ""
        while said not in ("y", "n", "u", "q"):
            console.print(f"{title}? y yes, n no, u cannot tell, q stop: ", end="", highlight=False, markup=False)
            line = sys.stdin.readline()
            said = line.strip().lower()[:1] if line else "q"
            if not sys.stdin.isatty():  # what was typed shows by itself, what was piped does not
                _line(console, said)
        if said == "q":
            return False
        labelling.add(item, {"y": True, "n": False, "u": None}[said], datetime.now(UTC))
    return True


def _metric(items: "Sequence[ItemResult]", task: str | None, evaluation: str) -> Any:
    """The metric to label: the one that is named, or the only one with answers that a judge called yes or no."""
    from truing.evals.run import METRICS

    judged = dict.fromkeys(item.task for item in items if item.answer.strip() and item.value in (None, 0.0, 1.0))
    known = {metric.task: metric for metric in METRICS if metric.task in judged and metric.unit == "share"}
    if task is None and len(known) == 1:
        return next(iter(known.values()))
    if task is None or task not in known:
        which = "--task is missing" if task is None else f"--task {task}: there are no such answers"
        raise InputError(f"{which}; {evaluation} has judged answers of {', '.join(known) or 'no metric'}")
    return known[task]


def _followed(found: "Generator[Progress, None, Validation]", display: Display) -> "Validation":
    """Run with progress shown."""
    stage = ""
    while True:
        try:
            record = next(found)
        except StopIteration as end:
            display.end_stage()
            result: Validation = end.value
            return result
        if record.stage != stage:
            stage = record.stage
            display.stage(stage, record.total)
        display.advance(record.done, record.total)


def _show(found: "Validation", console: Console, harmful: bool) -> None:
    """The table, people's unanimity, and a few mistakes."""
    fresh = [] if found.held_out is None else [found.held_out]
    own = [row.model_copy(update={"judge": "  on sources it was not made on"}) for row in fresh]
    sources = [
        row.model_copy(
            update={"judge": f"  {row.accuracy.data}{' (made on)' if row.accuracy.data in found.made_on else ''}"}
        )
        for row in found.sources
    ]
    console.print(_table([("", [found.whole, *own, *sources]), ("stored judges", found.stored)], console))
    rows = found.whole.accuracy
    total = rows.hits + rows.misses + rows.rejections + rows.false_alarms + rows.unknown
    _line(console, f"{found.set}: {total} answers{f'; {found.note}' if found.note else ''}")
    _line(console, f"judge: {found.version}")
    if found.unanimous is not None:
        _line(console, f"people: all {found.people} of one mind on {_bounded(found.unanimous, 'share')}")
    for mistake in found.mistakes:
        said = "no, people yes" if mistake.people else "yes, people no"
        answer = shorten(mistake.answer, _HARMFUL_ANSWER if harmful else _ANSWER)
        _line(console, f"  {said} ({mistake.id}): {shorten(mistake.prompt, _PROMPT)} → {answer}")


def _table(parts: "Sequence[tuple[str, Sequence[Agreement]]]", console: Console) -> Table:
    """Agreements, in parts with a heading; an interval stands below its number where the console is narrow."""
    between = " " if console.width >= 118 else "\n"
    table = Table(
        "judge", "n", "unknown", "agreement", "sensitivity", "specificity", "κ", box=SIMPLE_HEAD, pad_edge=False
    )
    for heading, rows in parts:
        if heading and rows:
            table.add_row(heading)
        for row in rows:
            counts = row.accuracy
            judged = counts.hits + counts.misses + counts.rejections + counts.false_alarms
            shares = (_bounded(one, "share", between) for one in (row.agreement, row.sensitivity, row.specificity))
            name = f"  {row.judge}" if heading else row.judge
            table.add_row(name, f"{judged}", f"{counts.unknown}", *shares, _bounded(row.kappa, "nats", between))
    return table


def _bounded(one: "Bounded", unit: str, between: str = " ") -> str:
    if one.value is None:
        return "unknown"
    interval = "" if one.low is None or one.high is None else between + bounds(one.low, one.high, unit)
    return number(one.value, unit) + interval


def _figure(figure: "Figure") -> str:
    value = number(figure.value, figure.unit)
    interval = "" if figure.low is None or figure.high is None else " " + bounds(figure.low, figure.high, figure.unit)
    return value + interval


def _line(console: Console, text: str) -> None:
    console.print(text, highlight=False, markup=False, soft_wrap=True)
