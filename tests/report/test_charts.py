"""Charts hold no number that is none, take every colour from the page, and say what they show."""

import math
import re
import xml.etree.ElementTree as ElementTree
from typing import Any

import pytest

from tests.evals.test_reward import pairs
from tests.report.test_page import items, step
from truing.core.watch import Iteration, Reading
from truing.evals.compare import MetricComparison, Side, compare
from truing.evals.reward import report
from truing.evals.run import METRICS
from truing.report.charts import (
    before_after,
    over_optimisation,
    reliability_chart,
    training_curve,
    watched_signals,
)

CURVES = {
    "sft": [step(number) for number in range(1, 9)],
    "pairs": [step(number, margin=0.5 * number, accuracy=0.5, rejected_logprob=-9.0) for number in range(1, 9)],
    "one step": [step(1)],
    "none": [],
}


def results(**changes: Any) -> list[MetricComparison]:
    found = compare(items(refuses=0.0), items(refuses=1.0), METRICS)
    return [result.model_copy(update=changes) for result in found]


NOTHING = Side(mean=None, low=-math.inf, high=math.inf, unknown=9, cut=0)
RUN = [
    Iteration(
        step=n, proxy=n, gold=None if n % 2 else 5 * n - n * n, kl=n - 0.5, distinct=0.9, end=1, length=20,
        benign=n / 10, unjudged=0.1,
    )
    for n in range(8)
]  # fmt: skip
PLAIN = [point.model_copy(update={"gold": None, "benign": None, "unjudged": 0.0}) for point in RUN]
QUIET = [
    Reading(signal="kl", state="quiet", p=1.0, reason="low"),
    Reading(signal="end", state="unknown", reason="one block"),
]
ALARMS = [
    Reading(signal="gold", state="alarm", step=4, p=0.01, reason="fell"),
    *QUIET,
    Reading(signal="benign", state="alarm", step=6, p=0.01, reason="rose"),
]
SVGS = {
    "over-optimisation": over_optimisation(RUN, "a", kept=6),
    "proxy alone": over_optimisation(PLAIN, "a"),
    "no run": over_optimisation([], "a"),
    "signals": watched_signals(RUN, ALARMS, "a", 6),
    "plain signals": watched_signals(PLAIN, QUIET, "a"),
    "one round": watched_signals(RUN[:1]),
    "no signals": watched_signals([]),
    **{f"curve of {name}": training_curve(steps, name) for name, steps in CURVES.items()},
    "comparison": before_after(results()),
    "no shares": before_after([result for result in results() if result.unit == "nats"]),
    "unknown": before_after(results(baseline=NOTHING)),
    "reliability": reliability_chart(report(pairs([2.0, 1.0, -1.0, 0.1])).bins),
}


@pytest.mark.parametrize("name", SVGS)
def test_a_chart_is_well_formed_without_nan_or_infinity(name: str) -> None:
    ElementTree.fromstring(SVGS[name])
    assert not re.search(r"\b(?:nan|inf)\b", SVGS[name], flags=re.IGNORECASE)


@pytest.mark.parametrize("name", SVGS)
def test_every_colour_is_one_of_the_pages_variables(name: str) -> None:
    drawn = set(re.findall(r"(?:fill|stroke|color): ?([^;\"]+)", SVGS[name]))
    assert drawn <= {"none", "var(--ink)", "var(--soft)", "var(--first)", "var(--second)"}
    assert "var(--ink)" in drawn


def test_the_two_sides_have_two_colours_and_one_that_is_unknown_is_not_drawn() -> None:
    marks = {name: SVGS[name].count("var(--first)") for name in ("comparison", "unknown")}
    assert marks["comparison"] > 0
    assert marks["unknown"] == 0
    assert "var(--second)" in SVGS["unknown"]


def test_a_chart_names_itself_for_those_who_do_not_see_it_whatever_the_name() -> None:
    svg = training_curve(CURVES["sft"], 'a "quoted" <b> & more')
    label = ElementTree.fromstring(svg).get("aria-label")
    assert label == 'Training curve of a "quoted" <b> & more'


def test_a_curve_has_a_point_a_step_and_a_gap_where_a_value_is_unknown() -> None:
    def drawn(steps: list[Any]) -> list[tuple[int, int]]:
        """(pieces, points) of each panel's line."""
        lines = re.findall(r'<path d="([^"]*)"[^>]*stroke: var\(--second\)', training_curve(steps, "x"))
        return [(line.count("M "), line.count("M ") + line.count("L ")) for line in lines]

    steps = CURVES["pairs"]
    assert drawn(steps) == [(1, 8)] * 3
    partly = [*steps[:4], step(5, margin=None, accuracy=None), *steps[5:]]
    assert drawn(partly) == [(1, 8), (2, 7), (2, 7)]


def test_the_same_numbers_draw_the_same_bytes() -> None:
    assert training_curve(CURVES["sft"], "x") == training_curve(CURVES["sft"], "x")


def panels(svg: str) -> list[str]:
    """The titles of a chart's panels: the texts that are no numbers and no axis' names."""
    texts = [text.text or "" for text in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]
    return [text for text in texts if not re.fullmatch(r"[\d.−]+|round( \d+)?|step|√KL.*", text)]


def points(svg: str) -> int:
    """How many filled markers are drawn."""
    return svg.count('style="fill: var(--second); stroke')


def diamonds(svg: str) -> int:
    return len(re.findall(r'<use [^>]*style="fill-opacity: 0; stroke: var\(--ink\)', svg))


def test_every_signal_that_was_measured_has_a_panel_and_no_other() -> None:
    always = ["proxy reward", "KL (nats an answer)", "length (tokens)", "distinct-2", "answers that end"]
    assert panels(SVGS["plain signals"]) == always
    both = [always[0], "gold reward", *always[1:], "harmless refused"]
    assert panels(watched_signals(RUN)) == both
    assert panels(SVGS["over-optimisation"]) == ["proxy reward", "gold reward"]
    assert panels(SVGS["proxy alone"]) == ["proxy reward"]


def test_gold_has_a_point_only_where_it_was_measured_and_a_negative_estimate_of_kl_is_at_0() -> None:
    assert points(SVGS["proxy alone"]) == len(RUN)
    assert points(SVGS["over-optimisation"]) == len(RUN) + len(RUN) // 2
    zero = [RUN[0].model_copy(update={"kl": 0.0})]
    assert over_optimisation([RUN[0]], "a") == over_optimisation(zero, "a")


def test_an_alarm_is_a_line_in_its_signal_s_panel_and_the_kept_round_a_diamond_wherever_it_was_measured() -> None:
    assert SVGS["signals"].count("stroke: var(--first)") == 2
    assert [name for name in panels(SVGS["signals"]) if "alarm" in name] == [
        "gold reward: alarm at 4",
        "harmless refused: alarm at 6",
    ]
    assert diamonds(SVGS["signals"]) == 7
    assert diamonds(watched_signals(RUN, kept=5)) == 6  # gold was not measured in round 5
    assert diamonds(SVGS["over-optimisation"]) == 2
    assert SVGS["plain signals"].count("stroke: var(--first)") == diamonds(SVGS["plain signals"]) == 0


def test_who_does_not_see_a_run_s_charts_is_told_how_each_signal_went() -> None:
    label = ElementTree.fromstring(SVGS["signals"]).get("aria-label")
    assert label is not None
    assert "The rounds of a. proxy reward from 0 to 7 (least 0, most 7); gold reward from 0 to -6" in label
    assert label.endswith("alarm: gold at round 4; alarm: benign at round 6; kept: the policy of round 6")
    far = ElementTree.fromstring(SVGS["over-optimisation"]).get("aria-label")
    assert far == (
        "Rewards of a against the square root of KL. proxy from 0 to 7 (least 0, most 7); "
        "gold from 0 to -6 (least -6, most 6)"
    )
