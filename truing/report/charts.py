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
    from matplotlib.figure import Figure

    from truing.core.calibration import Bin
    from truing.core.watch import Iteration
    from truing.evals.compare import MetricComparison
    from truing.train.records import TrainStep

_INK, _SOFT, _FIRST, _SECOND = "#010203", "#040506", "#070809", "#0a0b0c"
_VARIABLES = {_INK: "var(--ink)", _SOFT: "var(--soft)", _FIRST: "var(--first)", _SECOND: "var(--second)"}


def training_curve(steps: "Sequence[TrainStep]", title: str) -> str:
    """Loss over steps, and for pairs their accuracy and margin beside it; for answers that the model drew itself, what
    they earned, how far it went from the reference, and how long they are."""
    from truing.train.records import PolicyStep

    panels = [("loss", [step.loss for step in steps])]
    drawn = [step for step in steps if isinstance(step, PolicyStep)]
    if drawn:
        panels = [
            ("reward", [step.reward for step in drawn]),
            ("KL (nats an answer)", [step.kl_k1 for step in drawn]),
            ("tokens an answer", [step.mean_length for step in drawn]),
        ]
        if any(step.gold is not None for step in drawn):
            panels.insert(1, ("gold reward", [_known(step.gold) for step in drawn]))
    elif any(step.margin is not None for step in steps):
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


def over_optimisation(points: "Sequence[Iteration]") -> str:
    """Proxy and gold reward against √KL: where gold turns while proxy climbs, the policy hacks its reward (Gao et al.
    2022, arXiv 2210.10760). Points are drawn in the run's order; a gold reward that was not measured is left out."""
    figure, (axis,) = _figure(1, height=2.8)
    gold = [point for point in points if point.gold is not None]
    for name, drawn, colour in (("proxy", points, _FIRST), ("gold", gold, _SECOND)):
        distances = [math.sqrt(max(0.0, point.kl)) for point in drawn]  # an estimate of KL may fall below 0
        values = [_known(getattr(point, name)) for point in drawn]
        axis.plot(distances, values, color=colour, linewidth=1.2, marker="o", markersize=3)
        if drawn:
            axis.annotate(name, (distances[-1], values[-1]), xytext=(5, 0), textcoords="offset points", color=colour)
    axis.set_xlabel("√KL (√nats an answer)", fontsize=8)
    axis.set_title("reward", fontsize=9, color=_INK, loc="left")
    return _svg(figure, "Proxy and gold reward against the distance from the reference")


def watched_signals(points: "Sequence[Iteration]", alarms: Sequence[int] = ()) -> str:
    """KL, distinct-n, the share of answers that end, and their length over a run's steps; `alarms` are steps at which a
    vertical line is drawn."""
    panels = {"KL (nats)": "kl", "distinct-n": "distinct", "answers that end": "end", "length (tokens)": "length"}
    figure, axes = _figure(len(panels), height=2.3)
    for axis, (title, name) in zip(axes, panels.items(), strict=True):
        axis.plot([point.step for point in points], [getattr(point, name) for point in points], color=_SECOND)
        for step in alarms:
            axis.axvline(step, color=_FIRST, linewidth=1)
        axis.set_title(title, fontsize=9, color=_INK, loc="left")
        axis.set_xlabel("step", fontsize=8)
    return _svg(figure, "Signals of a run, step by step")


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


def _figure(panels: int, height: float):  # type: ignore[no-untyped-def]
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, height), layout="constrained")
    axes = [figure.add_subplot(1, panels, number + 1) for number in range(panels)]
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
