"""One self-contained HTML page for a run: what was asked, what came out, how sure it is, and where it came from."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from truing.core.records import ItemResult
from truing.core.text import shorten
from truing.core.watch import Iteration, Reading
from truing.data.overlap import Overlap
from truing.data.statistics import DataStatistics
from truing.evals.compare import MetricComparison
from truing.evals.gate import GateReport
from truing.evals.moved import shown_length
from truing.evals.run import METRICS
from truing.judges.validate import JudgeAccuracy
from truing.ledger.lineage import Trace
from truing.report.charts import before_after, over_optimisation, training_curve, watched_signals
from truing.train.records import TrainStep


@dataclass(frozen=True)
class Example:
    """One prompt with both answers, as the page shows them."""

    task: str
    prompt: str
    before: str
    after: str
    changed: bool


@dataclass(frozen=True)
class PolicyRun:
    """A policy-gradient run: its rounds, every watched signal's state after them, and the round whose policy was kept
    (None: the last weights were)."""

    name: str
    points: Sequence[Iteration]
    readings: Sequence[Reading]
    kept: int | None


@dataclass(frozen=True)
class Contents:
    """Everything that a page shows. `curves` are of training on given answers, `runs` of training on drawn ones."""

    title: str
    model: str
    made: datetime
    code_version: str
    results: Sequence[MetricComparison]
    gate: GateReport
    curves: Sequence[tuple[str, Sequence[TrainStep]]]
    examples: Sequence[Example]
    statistics: DataStatistics
    overlap: Overlap | None
    judges: Sequence[tuple[str, JudgeAccuracy]]
    lineage: Trace
    runs: Sequence[PolicyRun] = ()


def render(contents: Contents) -> str:
    """The page as text: styles, charts and data inside, nothing fetched, no scripts."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters["value"] = shown
    charts = {
        "comparison": before_after(contents.results),
        "curves": [(name, len(steps), training_curve(steps, name)) for name, steps in contents.curves],
        "runs": [(run, *_charts(run)) for run in contents.runs],
    }
    return environment.get_template("page.html").render(page=contents, charts=charts)


def _charts(run: PolicyRun) -> tuple[str, str]:
    """A run's signals by round, and its rewards against the distance from the reference."""
    signals = watched_signals(run.points, run.readings, run.name, run.kept)
    return signals, over_optimisation(run.points, run.name, run.kept)


def pick_examples(
    baseline: Sequence[ItemResult], candidate: Sequence[ItemResult], tasks: Sequence[str], each: int
) -> list[Example]:
    """The first `each` items of every task, in the evaluation's own order: not the best ones. Long answers are
    shortened, and answers to harmful prompts more so."""
    before = {(item.task, item.item): item for item in baseline}
    metrics = {metric.task: metric for metric in METRICS}
    examples = []
    for task in tasks:
        mine = [item for item in candidate if item.task == task and (task, item.item) in before]
        for item in mine[:each]:
            earlier = before[task, item.item]
            examples.append(
                Example(
                    task=task,
                    prompt=item.prompt,
                    before=shorten(earlier.answer, shown_length(earlier, metrics[task])),
                    after=shorten(item.answer, shown_length(item, metrics[task])),
                    changed=earlier.value != item.value,
                )
            )
    return examples


def shown(value: float | None, unit: str = "share", signed: bool = False) -> str:
    """A mean or, signed, a difference: shares in percent and percentage points, others with three decimals."""
    if value is None or not math.isfinite(value):
        return "unknown"
    if unit != "share":
        return f"{value:+.3f}" if signed else f"{value:.3f}"
    return f"{100 * value:+.1f}" if signed else f"{100 * value:.1f}%"
