"""`truing gate BASE CANDIDATE`: two evaluations of the same items, or a model that is measured meanwhile, and a verdict
by a policy."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from truing.cli.compare import evaluated, known_metrics, print_comparison
from truing.cli.deployed import Remote, Resume, Since
from truing.cli.gate_running import is_measurable, measure_until_certain
from truing.cli.run import DataDir, Json
from truing.core.config import read_toml
from truing.core.errors import InputError

if TYPE_CHECKING:
    from truing.core.records import ItemResult
    from truing.evals.compare import MetricComparison
    from truing.evals.gate import GateConfig, GateReport
    from truing.evals.metric import Metric
    from truing.evals.moved import Moved

_SIDE = "An evaluation (name, id, or its first digits), or one that `truing show --export` wrote (FILE.jsonl)."
_CANDIDATE = (
    f"{_SIDE} With --sequential also a model, or an adapter in the ledger: it is measured only until the verdict is "
    "certain."
)


def gate(
    context: typer.Context,
    base: Annotated[str, typer.Argument(metavar="BASE", help=_SIDE)],
    candidate: Annotated[str, typer.Argument(metavar="CANDIDATE", help=_CANDIDATE)],
    policy: Annotated[
        Path | None, typer.Option(help="A TOML file with [[rule]] tables; the demo's rules if not given.")
    ] = None,
    sequential: Annotated[
        bool,
        typer.Option("--sequential", help="Read the items in a random order, and only until each verdict is certain."),
    ] = False,
    markdown: Annotated[Path | None, typer.Option(help="Write the verdict as Markdown, for a pull request.")] = None,
    junit: Annotated[Path | None, typer.Option(help="Write the verdict as JUnit XML.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write the verdict as one HTML page.")] = None,
    model: Annotated[
        str | None,
        typer.Option(help="The model below an adapter that is measured (default: smollm2-135m).", show_default=False),
    ] = None,
    data_dir: DataDir = None,
    remote: Remote = None,
    since: Since = None,
    resume: Resume = False,
    as_json: Json = False,
) -> None:
    """Decide whether CANDIDATE may replace BASE. Exit code 0: yes; 1: a rule is broken; 4: not enough evidence.

    Example: truing gate baseline.jsonl candidate --policy gate.toml --junit gate.xml
    """
    from truing.evals.gate import GateConfig
    from truing.evals.gate_output import as_junit, as_markdown
    from truing.starter import DEMO

    source = str(policy or DEMO)
    values = read_toml(policy) if policy else {"rule": read_toml(DEMO)["gate"]["rule"]}
    config = GateConfig.parse({**values, **({"sequential": True} if sequential else {})}, source)
    if is_measurable(context.obj.ledger, candidate):
        if not config.sequential:
            raise InputError(
                f"{candidate} is a model, and no evaluation; measure it with `truing eval`, or add --sequential to "
                "measure it only until the verdict is certain"
            )
        results, report, told = measure_until_certain(
            context,
            base,
            candidate,
            config,
            model=model,
            data_dir=data_dir,
            remote=remote,
            since=since,
            resume=resume,
            as_json=as_json,
        )
    else:
        _refuse({"--model": model, "--remote": remote or None, "--since": since, "--resume": resume or None}, candidate)
        results, report, told = _judge(context, base, candidate, config)
    notes = [f"policy: {source}", *told]
    write_text(markdown, as_markdown(report, results) + "".join(f"\n{note}\n" for note in notes))
    write_text(junit, as_junit(report))
    if html is not None:
        from truing.report.gate_page import render

        write_text(html, render(report, results, notes))
    if as_json:
        # An interval without bounds is null: JSON has no infinity.
        plain = [json.loads(result.model_dump_json()) for result in results]
        said = {"policy": source, **json.loads(report.model_dump_json()), "metrics": plain, "notes": notes}
        typer.echo(json.dumps(said))
    else:
        console = Console()
        print_comparison(results, console, base, candidate)
        for note in notes:
            console.print(note, highlight=False, markup=False, soft_wrap=True)
        print_gate(report, console, every=True)
        print_moved(report.moved, console)
    raise typer.Exit(report.exit_code)


def _judge(
    context: typer.Context, base: str, candidate: str, config: "GateConfig"
) -> "tuple[list[MetricComparison], GateReport, list[str]]":
    """Of two evaluations that are there: comparisons, the gate's report, and what is to be said of them."""
    from truing.evals.compare import compare
    from truing.evals.gate import decide
    from truing.evals.moved import moved_most

    ours, theirs = (evaluated(context, name) for name in (base, candidate))
    both = [*ours.items, *theirs.items]
    metrics = config.metrics(known_metrics(ours, theirs), both)
    results = compare(ours.items, theirs.items, metrics, config.terms(), sequential=config.sequential)
    report = decide(results, config, moved_most(ours.items, theirs.items, results))
    origins = ((base, ours.origin), (candidate, theirs.origin))
    return results, report, [f"{name}: {origin}" for name, origin in origins if origin] + _left_out(both, metrics)


def _refuse(given: Mapping[str, object], candidate: str) -> None:
    """Raise `InputError` where something was given that is for a model that is measured."""
    if wrong := [option for option, value in given.items() if value is not None]:
        raise InputError(f"{' and '.join(wrong)}: {candidate} is no model that is measured; leave it out")


def _left_out(items: "Sequence[ItemResult]", metrics: "Sequence[Metric]") -> list[str]:
    """Tasks that were measured, and of which neither truing nor the policy knows which way is better."""
    unknown = sorted({item.task for item in items} - {metric.task for metric in metrics})
    return [f"not compared, since no rule gives a direction: {', '.join(unknown)}"] if unknown else []


def write_text(path: Path | None, text: str) -> None:
    """Write a file that was asked for. Raises `InputError` where it cannot be written."""
    if path is None:
        return
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror}); choose another place") from None


def print_gate(report: "GateReport", console: Console, every: bool = False) -> None:
    """The gate's verdict, and each rule that does not hold, or `every` one."""
    colour = {"holds": "green", "broken": "red"}.get(report.status, "yellow")
    passed = report.headline.removeprefix(report.status)
    console.print(f"gate: [{colour} bold]{report.status}[/]{passed}", highlight=False)
    for result in report.results:
        if every or result.status != "holds":
            status = f"{result.status}: " if every and not result.sentence.startswith(result.status) else ""
            console.print(
                f"  {result.metric}: {status}{result.sentence}", highlight=False, markup=False, soft_wrap=True
            )


def print_moved(moved: "Sequence[Moved]", console: Console) -> None:
    """The items that moved most, each as its prompt and both answers."""
    if moved:
        console.print(f"the {len(moved)} items that moved most:", highlight=False)
    for one in moved:
        way = "worse" if one.worsened else "better"
        lines = (
            f"  {one.task} {one.item}, {way}: {one.prompt}",
            f"    {one.before:g}  {one.base}",
            f"    {one.after:g}  {one.candidate}",
        )
        for line in lines:
            console.print(line, highlight=False, markup=False, soft_wrap=True)
