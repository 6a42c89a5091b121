"""A reward model's page: well formed, alone, and honest about what is unknown."""

import re

import pytest

from tests.evals.test_reward import pairs
from tests.report.test_page import EVIL, Page, step
from truing.evals.reward import report
from truing.report.charts import reliability_chart
from truing.report.reward_page import render

CURVE = [("member 0", [step(number, margin=0.1, accuracy=0.5, chosen_logprob=None) for number in range(1, 4)])]
MARGINS = [2.0, 1.5, 0.1, 0.5, -0.2, 3.0, -1.0, 0.4]


def test_it_says_how_often_it_is_right_how_sure_and_by_length() -> None:
    page = render("Reward model kitchen", report(pairs(MARGINS, sources=["a", "b"] * 4)), CURVE)
    text = Page(page).words
    assert "On 8 held-out pairs the better answer has the higher reward in 75.0%" in text
    assert "source a" in text
    assert "Expected calibration error" in text
    assert page.count("<svg") == 2


def test_nothing_is_fetched_and_a_name_does_nothing() -> None:
    page = render(EVIL, report(pairs(MARGINS)), CURVE)
    assert "script" not in Page(page).tags
    rest = re.sub(r'xmlns(?::\w+)?="[^"]*"', "", re.sub(r"<metadata>.*?</metadata>", "", page, flags=re.DOTALL))
    assert re.findall(r"(?:https?:)?//[^\s]+", rest) == []


@pytest.mark.parametrize(
    ("margins", "sentence"), [([], "nothing is known of how good"), ([1.0, 2.0], "fix no temperature")]
)
def test_what_is_unknown_is_said(margins: list[float], sentence: str) -> None:
    page = render("x", report(pairs(margins)), [])
    assert sentence in Page(page).words
    assert "None" not in page
    assert "<svg" not in page


def test_a_chart_has_a_mark_and_an_interval_a_bin() -> None:
    bins = report(pairs(MARGINS)).bins
    drawn = reliability_chart(bins)
    assert len(bins) > 1
    assert len(re.findall(r'<path d="[^"]*"[^>]*stroke: var\(--second\); stroke-width: 2\.4', drawn)) == len(bins)
