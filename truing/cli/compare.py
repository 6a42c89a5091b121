"""`truing compare A B` and `truing gate A B`: two evaluations of the same items."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from truing.cli.run import Json
from truing.cli.show import Reference
from truing.core.config import read_toml
from truing.core.errors import InputError

if TYPE_CHECKING:
    from truing.evals.compare import MetricComparison
    from truing.evals.gate import GateReport
    from truing.ledger.ledger import Artifact, Ledger

_STYLE = {"better": "green", "worse": "red", "no worse": "green", "not enough evidence": "yellow"}


def compare(context: typer.Context, a: Reference, b: Reference, as_json: Json = False) -> None:
    """Compare two evaluations item by item: differences, intervals, verdicts.

    Example: truing compare base candidate
    """
    from truing.evals.compare import compare as compare_items
    from truing.evals.run import METRICS

    results = compare_items(*_items(context, a, b), METRICS)
    if as_json:
        typer.echo(json.dumps([result.model_dump(mode="json") for result in results]))
    else:
        print_comparison(results, Console(), a, b)


def gate(
    context: typer.Context,
    a: Reference,
    b: Reference,
    rules: Annotated[Path | None, typer.Option(help="A TOML file with [[rule]] tables; the demo's rules if not given.")] = None,
    markdown: Annotated[Path | None, typer.Option(help="Write the verdict as a Markdown table.")] = None,
    junit: Annotated[Path | None, typer.Option(help="Write the verdict as JUnit XML.")] = None,
    as_json: Json = False,
) -> None:
    """Decide whether B may replace A. Exit code 0: yes; 1: a rule is broken; 4: not enough evidence.

    Example: truing gate base candidate --junit gate.xml
    """
    from truing.evals.compare import compare as compare_items
    from truing.evals.gate import GateConfig, as_junit, as_markdown, decide
    from truing.evals.run import METRICS
    from truing.starter import DEMO

    values = read_toml(rules) if rules else {key: value for key, value in read_toml(DEMO)["gate"].items() if key == "rule"}
    config = GateConfig.parse(values, str(rules or "the demo's gate"))
    results = compare_items(*_items(context, a, b), METRICS, config.margins())
    report = decide(results, config)
    if markdown:
        markdown.write_text(as_markdown(report), encoding="utf-8")
    if junit:
        junit.write_text(as_junit(report), encoding="utf-8")
    if as_json:
        typer.echo(report.model_dump_json())
    else:
        print_comparison(results, Console(), a, b)
        print_gate(report, Console())
    raise typer.Exit(report.exit_code)


def print_comparison(results: "list[MetricComparison]", console: Console, a: str = "base", b: str = "candidate") -> None:
    """The table of a comparison: each side's mean, the difference with its interval, the verdict."""
    table = Table("metric", "n", a, b, "difference [95%]", "verdict")
    for result in results:
        unknown = result.baseline.unknown + result.candidate.unknown
        table.add_row(
            result.title,
            f"{result.n}" + (f" ({unknown} unknown)" if unknown else ""),
            _mean(result, result.baseline.mean),
            f"{_mean(result, result.candidate.mean)} [{_mean(result, result.candidate.low)}, {_mean(result, result.candidate.high)}]",
            f"{_mean(result, result.difference, True)} [{_mean(result, result.low, True)}, {_mean(result, result.high, True)}]",
            f"[{_STYLE[result.verdict]}]{result.verdict}[/]",
        )
    console.print(table)


def print_gate(report: "GateReport", console: Console) -> None:
    """The gate's verdict, and each rule that does not hold."""
    colour = {"holds": "green", "broken": "red"}.get(report.status, "yellow")
    console.print(f"gate: [{colour} bold]{report.status}[/]", highlight=False)
    for result in report.results:
        if result.status != "holds":
            console.print(f"  {result.metric}: {result.sentence}", highlight=False, soft_wrap=True)


def _mean(result: "MetricComparison", value: float | None, signed: bool = False) -> str:
    if value is None:
        return "unknown"
    if result.unit == "nats":
        return f"{value:+.3f}" if signed else f"{value:.3f}"
    return f"{value:+.1%}" if signed else f"{value:.1%}"


def _items(context: typer.Context, a: str, b: str):  # type: ignore[no-untyped-def]
    from truing.ledger.ledger import Ledger
    from truing.loops.verbs.evaluation import read_items

    ledger = Ledger.open(context.obj.ledger, create=False)
    return [read_items(ledger.folder(_evaluation(ledger, name))) for name in (a, b)]


def _evaluation(ledger: "Ledger", name: str) -> "Artifact":
    found = ledger.get(name)
    if found.kind != "evaluation":
        raise InputError(f"{name!r} is a {found.kind}, not an evaluation; list those with `truing ls --kind evaluation`")
    return found
