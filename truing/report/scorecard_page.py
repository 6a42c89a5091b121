"""The scorecard as one self-contained HTML page: nothing fetched, no scripts, light or dark as the reader's screen is.

Answers are shortened, and those that may be harmful are shown by their beginning only.
"""

import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from truing.core.text import shorten
from truing.evals.compare import Verdict
from truing.evals.metric import Aspect
from truing.evals.scorecard import ASPECTS, Line, SampleAnswer, Scorecard, Source

_CUT, _RISKY_CUT, _PROMPT_CUT = 220, 90, 300
_ASKS = {
    "helpful": "Does it do what it is asked, also where a request only looks harmful?",
    "harmless": "Does it decline what would harm somebody, and treat people alike?",
    "honest": "Does it say what is true, and admit what it cannot know?",
    None: "What speaks of none of the three.",
}
_VERDICTS: tuple[Verdict, ...] = ("better", "no worse", "not enough evidence", "worse")


def render(card: Scorecard) -> str:
    """The page as text."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    shown = {"value": value, "answer": answer, "rightness": rightness}
    environment.filters |= {**shown, "prompt": lambda text: shorten(text, _PROMPT_CUT)}
    sections = [
        (aspect or "other figures", _ASKS[aspect], [(line, _bars(line)) for line in card.about(aspect)])
        for aspect in (*ASPECTS, None)
        if card.about(aspect)
    ]
    return environment.get_template("scorecard.html").render(card=card, sections=sections, counts=_counts(card))


def value(of: float | None, unit: str = "share", signed: bool = False) -> str:
    """A mean, or, signed, a difference of means: shares in per cent, differences of them in percentage points."""
    if of is None or not math.isfinite(of):
        return "unknown"
    if unit == "share":
        return f"{100 * of:+.1f}" if signed else f"{100 * of:.1f}%"
    return f"{of:+.3f}" if signed else f"{of:.3f}"


def answer(one: SampleAnswer) -> str:
    """An answer's text as the page shows it."""
    return shorten(one.text, _RISKY_CUT if one.risky else _CUT)


def rightness(source: Source) -> str:
    """How often a set's judge is right, as far as that is known."""
    if not source.judge:
        return "none: texts or their log-probabilities are compared"
    accuracy = source.accuracy
    if accuracy is None or accuracy.sensitivity is None or accuracy.specificity is None:
        return "how often it is right on such answers is not measured"
    wrong = 1 - accuracy.specificity
    return f"finds {value(accuracy.sensitivity)}, and takes {value(wrong)} of others for one ({accuracy.data})"


def _counts(card: Scorecard) -> list[tuple[Aspect, list[tuple[str, list[tuple[Verdict, int]]]]]]:
    """Of each heading, for each system but the first, how often each verdict stands there."""
    found = []
    for aspect in ASPECTS:
        systems = []
        for place, system in enumerate(card.systems[1:], start=1):
            cells = [line.cells[place] for line in card.about(aspect)]
            times = Counter(cell.difference.verdict for cell in cells if cell is not None and cell.difference)
            systems.append((system.label, [(verdict, times[verdict]) for verdict in _VERDICTS if times[verdict]]))
        found.append((aspect, systems))
    return found


def _bars(line: Line) -> list[tuple[float, float, float] | None]:
    """For each system where its interval begins, its mean stands and its interval ends, in per cent of the line's
    scale: 0 to 1 for shares, elsewhere from the lowest to the highest bound."""
    sides = [None if cell is None else cell.side for cell in line.cells]
    known = [
        (side.low, side.mean, side.high)
        for side in sides
        if side is not None and side.mean is not None and math.isfinite(side.low) and math.isfinite(side.high)
    ]
    low, high = (0.0, 1.0) if line.unit == "share" else _scale(known)
    return [
        None
        if side is None or side.mean is None or not (math.isfinite(side.low) and math.isfinite(side.high))
        else tuple(round(100 * (at - low) / (high - low), 2) for at in (side.low, side.mean, side.high))  # type: ignore[misc]
        for side in sides
    ]


def _scale(known: Sequence[tuple[float, float, float]]) -> tuple[float, float]:
    low, high = min((one[0] for one in known), default=0.0), max((one[2] for one in known), default=1.0)
    margin = 0.08 * (high - low) or 1.0
    return low - margin, high + margin
