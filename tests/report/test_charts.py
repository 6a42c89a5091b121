"""Charts hold no number that is none, take every colour from the page, and say what they show."""

import math
import re
import xml.etree.ElementTree as ElementTree
from typing import Any

import pytest

from tests.evals.test_reward import pairs
from tests.report.test_page import items, step
from tests.train.test_guard import round_of
from truing.core.watch import Iteration
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
    "policy": [round_of(number, 0.1 * number, None) for number in range(1, 9)],
    "guarded": [round_of(number, 0.1 * number, 0.2) for number in range(1, 9)],
    "one step": [step(1)],
    "none": [],
}


def results(**changes: Any) -> list[MetricComparison]:
    found = compare(items(refuses=0.0), items(refuses=1.0), METRICS)
    return [result.model_copy(update=changes) for result in found]


NOTHING = Side(mean=None, low=-math.inf, high=math.inf, unknown=9, cut=0)
RUN = [
    Iteration(step=n, proxy=n, gold=None if n % 2 else 5 * n - n * n, kl=n - 0.5, distinct=0.9, end=1, length=20)
    for n in range(8)
]
SVGS = {
    "over-optimisation": over_optimisation(RUN),
    "no run": over_optimisation([]),
    "signals": watched_signals(RUN, alarms=[4]),
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


def test_a_guarded_run_shows_its_gold_reward_as_well() -> None:
    panels = {name: SVGS[f"curve of {name}"].count("stroke: var(--second)") for name in ("policy", "guarded")}
    assert panels == {"policy": 3, "guarded": 4}


def test_the_same_numbers_draw_the_same_bytes() -> None:
    assert training_curve(CURVES["sft"], "x") == training_curve(CURVES["sft"], "x")


def test_gold_has_a_point_only_where_it_was_measured_and_a_negative_estimate_of_kl_is_at_0() -> None:
    marks = {
        name: SVGS["over-optimisation"].count(f'style="fill: var(--{name}); stroke') for name in ("first", "second")
    }
    assert marks["first"] - marks["second"] == 4
    assert over_optimisation([RUN[0]]) == over_optimisation([RUN[0].model_copy(update={"kl": 0.0})])


def test_an_alarm_is_a_line_in_every_panel() -> None:
    assert SVGS["signals"].count("stroke: var(--first)") == 4
    assert watched_signals(RUN).count("stroke: var(--first)") == 0
