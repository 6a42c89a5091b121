"""Charts as inline SVG that follow the page's light or dark colours. matplotlib draws; nothing is fetched.

Colours are drawn as marker values and then replaced by the page's CSS variables.
"""

import io
import math
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING
from xml.sax.saxutils import quoteattr

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from truing.core.calibration import Bin
    from truing.core.watch import Iteration, Reading
    from truing.evals.compare import MetricComparison
    from truing.train.records import TrainStep

_INK, _SOFT, _FIRST, _SECOND = "#010203", "#040506", "#070809", "#0a0b0c"
_VARIABLES = {_INK: "var(--ink)", _SOFT: "var(--soft)", _FIRST: "var(--first)", _SECOND: "var(--second)"}


def training_curve(steps: "Sequence[TrainStep]", title: str) -> str:
    """Loss over steps, and for pairs their accuracy and margin beside it."""
    panels = [("loss", [step.loss for step in steps])]
    if any(step.margin is not None for step in steps):
        panels.append(("accuracy", [_known(step.accuracy) for step in steps]))
        panels.append(("margin (nats)", [_known(step.margin) for step in steps]))
    else:
        panels.append(("log-prob. of answers (nats)", [_known(step.chosen_logprob) for step in steps]))
    figure, axes = _figure(len(panels), height=2.3)
    for axis, (name, values) in zip(axes, panels, strict=True):
        axis.plot([step.step for step in steps], values, color=_SECOND, linewidth=1.6)
        axis.set_title(name, fontsize=9, color=_INK, loc="left")
        axis.set_xlabel("step", fontsize=8)
    return _svg(figure, f"Training curve of {title}")


def _known(value: float | None) -> float:
    """matplotlib leaves a gap where a value is not a number."""
    return math.nan if value is None else value


def before_after(results: "Sequence[MetricComparison]") -> str:
    """Each share with its 95% interval, before and after."""
    shares = [result for result in results if result.unit == "share"]
    figure, (axis,) = _figure(1, height=0.62 * len(shares) + 0.7)
    for place, result in enumerate(reversed(shares)):
        for side, colour, offset in ((result.baseline, _FIRST, 0.14), (result.candidate, _SECOND, -0.14)):
            if side.mean is None:
                continue
            axis.plot([side.low, side.high], [place + offset] * 2, color=colour, linewidth=2.4, solid_capstyle="round")
            axis.plot([side.mean], [place + offset], "o", color=colour, markersize=6)
    axis.set_yticks(range(len(shares)), [result.title for result in reversed(shares)], fontsize=9)
    axis.set_xlim(-0.02, 1.02)
    axis.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    axis.grid(axis="x", color=_SOFT, linewidth=0.5)
    return _svg(figure, "Before and after, with 95% intervals")


# Of a policy-gradient run: a panel's title, the value of a round that it shows, and whether that is a share.
_PANELS = (
    ("proxy reward", "proxy", False),
    ("gold reward", "gold", False),
    ("KL (nats an answer)", "kl", False),
    ("length (tokens)", "length", False),
    ("distinct-2", "distinct", True),
    ("answers that end", "end", True),
    ("harmless refused", "benign", True),
)


def watched_signals(
    points: "Sequence[Iteration]", readings: "Sequence[Reading]" = (), title: str = "a run", kept: int | None = None
) -> str:
    """Both rewards and every watched signal over a run's rounds, each in a panel; what was not measured has none.
    A vertical line: the round from which one of `readings` is in alarm. An open diamond: the round `kept`. Grey above
    the refused: answers that could not be judged."""
    alarms: dict[str, int] = {one.signal: one.step for one in readings if one.step is not None}
    panels = [panel for panel in _PANELS if not points or any(getattr(point, panel[1]) is not None for point in points)]
    figure, axes = _figure(len(panels), height=1.9, columns=4)
    rounds = [point.step for point in points]
    for axis, (name, value, share) in zip(axes, panels, strict=True):
        axis.plot(rounds, [_known(getattr(point, value)) for point in points], color=_SECOND, linewidth=1.4)
        if value == "benign":
            edges = [[_known(one) for one in (point.benign, point.perhaps)] for point in points]
            axis.fill_between(rounds, [low for low, _ in edges], [high for _, high in edges], color=_SOFT, linewidth=0)
        if share:
            axis.set_ylim(-0.04, 1.04)
        for point in points:
            if point.step == kept:
                _diamond(axis, kept, getattr(point, value))
        if (step := alarms.get(value)) is not None:
            axis.axvline(step, color=_FIRST, linewidth=1.4)
        axis.set_title(name if step is None else f"{name}: alarm at {step}", fontsize=9, color=_INK, loc="left")
        axis.set_xlabel("round", fontsize=8)
        axis.xaxis.get_major_locator().set_params(integer=True)
    told = [f"{name} {_from_to(points, value)}" for name, value, _ in panels] if points else ["nothing yet"]
    marked = [f"alarm: {signal} at round {at}" for signal, at in alarms.items()]
    marked += [] if kept is None else [f"kept: the policy of round {kept}"]
    return _svg(figure, f"The rounds of {title}. " + "; ".join([*told, *marked]))


def over_optimisation(points: "Sequence[Iteration]", title: str = "a run", kept: int | None = None) -> str:
    """Proxy and gold reward against √KL, a panel each, since their units may differ: where gold turns while proxy
    climbs, the policy hacks its reward (Gao et al. 2022, arXiv 2210.10760). Points are drawn in the run's order; a
    gold reward that was not measured is left out."""
    measured = {"proxy": list(points), "gold": [point for point in points if point.gold is not None]}
    shown = {name: drawn for name, drawn in measured.items() if drawn or name == "proxy"}
    figure, axes = _figure(len(shown), height=2.6)
    for axis, (name, drawn) in zip(axes, shown.items(), strict=True):
        distances = [math.sqrt(max(0.0, point.kl)) for point in drawn]  # an estimate of KL may fall below 0
        values = [_known(getattr(point, name)) for point in drawn]
        axis.plot(distances, values, color=_SECOND, linewidth=0.9, marker="o", markersize=3)
        for point, distance, value in zip(drawn, distances, values, strict=True):
            if point.step == kept:
                _diamond(axis, distance, value)
        if drawn:
            last = f"round {drawn[-1].step}"
            axis.annotate(
                last, (distances[-1], values[-1]), xytext=(4, 4), textcoords="offset points", fontsize=7, color=_INK
            )
        axis.set_xlabel("√KL (√nats an answer)", fontsize=8)
        axis.set_title(f"{name} reward", fontsize=9, color=_INK, loc="left")
    told = "; ".join(f"{name} {_from_to(drawn, name)}" for name, drawn in shown.items() if drawn)
    return _svg(figure, f"Rewards of {title} against the square root of KL. {told}")


def _diamond(axis: "Axes", x: float, y: float | None) -> None:
    if y is not None:
        axis.plot([x], [y], marker="D", markersize=6, fillstyle="none", color=_INK, linestyle="none", clip_on=False)


def _from_to(points: "Sequence[Iteration]", name: str) -> str:
    """A signal's first, least, most and last value, for those who do not see the line."""
    values = [value for point in points if (value := getattr(point, name)) is not None]
    return f"from {values[0]:.3g} to {values[-1]:.3g} (least {min(values):.3g}, most {max(values):.3g})"


def reliability_chart(bins: "Sequence[Bin]") -> str:
    """Stated confidence against the share that was right, with 95% intervals; on the diagonal both are equal."""
    figure, (axis,) = _figure(1, height=3.2)
    axis.plot([0.5, 1], [0.5, 1], color=_SOFT, linewidth=1)
    for one in bins:
        axis.plot([one.confidence] * 2, [one.accuracy.low, one.accuracy.high], color=_SECOND, linewidth=2.4)
        axis.plot([one.confidence], [_known(one.accuracy.share)], "o", color=_SECOND, markersize=6)
    axis.set_xlim(0.49, 1.01)
    axis.set_ylim(-0.02, 1.02)
    for side, name in ((axis.xaxis, "stated confidence"), (axis.yaxis, "share right")):
        side.set_major_formatter(lambda value, _: f"{value:.0%}")
        side.set_label_text(name, fontsize=8, color=_INK)
    return _svg(figure, "Reliability: stated confidence and the share that was right")


def _figure(panels: int, height: float, columns: int = 0):  # type: ignore[no-untyped-def]
    """Panels in rows of `columns` (0: all in one), each row `height` inches high."""
    from matplotlib.figure import Figure

    columns = columns or panels
    rows = -(-panels // columns)
    figure = Figure(figsize=(9, height * rows), layout="constrained")
    axes = [figure.add_subplot(rows, columns, number + 1) for number in range(panels)]
    for axis in axes:
        axis.patch.set_alpha(0)
        axis.tick_params(colors=_INK, labelsize=8)
        axis.xaxis.label.set_color(_INK)
        for name, spine in axis.spines.items():
            spine.set_color(_SOFT)
            spine.set_visible(name in ("left", "bottom"))
    return figure, axes


def _svg(figure: "Figure", label: str) -> str:
    import matplotlib

    figure.patch.set_alpha(0)
    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": label, "font.family": "sans-serif"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    for marker, variable in _VARIABLES.items():
        svg = svg.replace(marker, variable)
    svg = re.sub(r'\s(?:width|height)="[\d.]+pt"', "", svg, count=2)
    return svg.replace("<svg ", f'<svg role="img" aria-label={quoteattr(label)} ', 1)
