"""One self-contained HTML page for a gate: the verdict, every rule, every metric, and the items that moved most."""

from collections.abc import Sequence
from pathlib import Path

from truing.evals.compare import MetricComparison
from truing.evals.gate import GateReport
from truing.report.charts import before_after
from truing.report.page import shown


def render(report: GateReport, results: Sequence[MetricComparison], notes: Sequence[str]) -> str:
    """The page as text: styles and chart inside, nothing fetched, no scripts."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters["value"] = shown
    has_shares = any(result.unit == "share" for result in results)
    return environment.get_template("gate.html").render(
        report=report, results=results, notes=notes, chart=before_after(results) if has_shares else ""
    )
