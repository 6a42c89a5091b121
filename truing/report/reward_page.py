"""One self-contained HTML page for a reward model: how often it is right, how sure it may be, what length has to do
with it, and how it was trained."""

from collections.abc import Sequence
from pathlib import Path

from truing.core.calibration import Share
from truing.evals.reward import RewardReport
from truing.report.charts import reliability_chart, training_curve
from truing.train.records import TrainStep


def render(title: str, report: RewardReport, curves: Sequence[tuple[str, Sequence[TrainStep]]]) -> str:
    """The page as text: styles and charts inside, nothing fetched, no scripts."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters["percent"] = _percent
    environment.filters["number"] = _number
    return environment.get_template("reward.html").render(
        title=title,
        report=report,
        shares=_shares(report),
        reliability=reliability_chart(report.bins) if report.bins else "",
        curves=[training_curve(steps, name) for name, steps in curves],
    )


def _shares(report: RewardReport) -> list[tuple[str, Share]]:
    length = report.length
    return [
        *((f"source {name}" if name else "no source", share) for name, share in report.by_source.items()),
        ("the chosen answer is longer", length.chosen_longer),
        ("the chosen answer is shorter", length.chosen_shorter),
        ("both are as long", length.equal),
        ("length alone, on all pairs", length.length_alone),
    ]


def _percent(value: float | None) -> str:
    return "unknown" if value is None else f"{100 * value:.1f}%"


def _number(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.3g}"
