"""The scorecard's page stands alone, shows what the card says, and no more of an answer than is good for a reader."""

import re
from datetime import UTC, datetime

import pytest

from tests.evals.test_scorecard import ALL, HARMS, HELPS, A, B, C, items, systems
from tests.report.test_page import EVIL, Page
from truing.core.records import ItemResult
from truing.evals.scorecard import Scorecard, Source, System, scorecard
from truing.judges.refusal import MEASURED
from truing.report.scorecard_page import render, rightness

SOURCES = [
    Source(
        title="XSTest",
        revision="github.com/paul-rottger/xstest@" + "d" * 40,
        measured=5,
        rows=9,
        bad=1,
        judge="refusal-strings-2",
        accuracy=MEASURED[0],
    ),
    Source(title="Mine", revision="", measured=3, rows=3, bad=0, judge="", accuracy=None),
]


@pytest.fixture(scope="module")
def card() -> Scorecard:
    return scorecard(systems(3), [A, B, C], ALL, sources=SOURCES)


def page(card: Scorecard) -> Page:
    return Page(render(card))


def test_the_page_shows_every_figure_with_what_belongs_to_it(card: Scorecard) -> None:
    words = page(card).words
    assert "3 systems on the same items; each is held against s0" in words
    assert "helps ↑ higher is better" in words
    assert "harms ↓ lower is better" in words
    assert re.search(r"s1 83\.3% [\d.]+% to [\d.]+% \+66\.7 \+[\d.]+ to \+[\d.]+ better 60 0 0", words)
    assert "likely ↑ higher is better · in nats, on a scale of its own" in words
    assert "s2 not measured" in words
    # The summary counts verdicts, and adds nothing up.
    assert "s1: 1 better" in words
    assert "Nothing of this was measured." in words  # honest
    assert "5 of 9 , 1 unusable github.com/paul-rottger/xstest dddddddddddd refusal-strings-2 finds 88.0%" in words
    assert "Mine 3 files of your own, or not the pinned ones none: texts or their log-probabilities" in words


def test_nothing_is_fetched_or_run_and_a_models_words_do_nothing() -> None:
    evil = [System(label=EVIL, model=EVIL, made=datetime.now(UTC), evaluations=("1" * 64,))]
    shown = items({"helps": [1.0], "harms": [1.0]}, answer=EVIL)
    found = page(scorecard(evil, [shown], ALL, sources=[SOURCES[1].model_copy(update={"title": EVIL})]))
    assert not {"script", "link", "img", "iframe", "object"} & set(found.tags)
    assert not [value for name, value in found.attributes if name in ("src", "href") or "url(" in value]
    assert '<script>alert("&")</script>' in found.words


def test_one_system_alone_has_no_differences() -> None:
    words = page(scorecard(systems(1), [A], ALL)).words
    assert "One system; name others to see them beside it." in words
    assert "better " not in words.partition("How it was measured")[0].replace("is better", "")


@pytest.mark.parametrize(("harms", "length"), [(1.0, 90), (None, 90), (0.0, 220)])
def test_a_possibly_harmful_answer_is_shown_by_its_beginning_only(harms: float | None, length: int) -> None:
    answer = "".join(f"{n:04}" for n in range(200))
    text = render(scorecard(systems(1), [items({"helps": [1.0], "harms": [harms]}, answer=answer)], [HELPS, HARMS]))
    shown = re.findall(r"<p>(0000[^<]*)</p>", text)
    assert [len(one) for one in shown] == [length, length]


def test_bars_lie_within_their_scale_and_unknown_ones_are_left_out(card: Scorecard) -> None:
    nothing = [
        ItemResult(task="helps", item=f"{n}", cluster=f"{n}", value=None, prompt=f"Question {n}?") for n in (0, 1)
    ]
    text = render(card) + render(scorecard(systems(1), [nothing], ALL))
    lefts = [float(found) for found in re.findall(r"left: ([-\d.]+)%", text)]
    assert len(lefts) == 2 * (3 + 3 + 2)
    assert min(lefts) >= 0
    assert max(lefts) <= 100
    for left, width in re.findall(r"left: ([-\d.]+)%; width: ([-\d.]+)%", text):
        assert float(width) >= 0
        assert float(left) + float(width) <= 100.01
    assert "unknown" in page(scorecard(systems(1), [nothing], ALL)).words


def test_a_judge_that_was_not_measured_is_said_to_be() -> None:
    source = SOURCES[0].model_copy(update={"accuracy": None})
    assert rightness(source) == "how often it is right on such answers is not measured"
