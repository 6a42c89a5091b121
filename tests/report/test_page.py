"""The report is one page that stands alone: nothing to fetch or to run, and a model's words in it do nothing."""

import math
import re
from datetime import UTC, datetime
from html.parser import HTMLParser
from typing import Any

import pytest

from truing.core.records import ItemResult
from truing.core.text import shorten
from truing.core.watch import Iteration, Reading
from truing.data.overlap import Nearest, Overlap
from truing.data.statistics import DataStatistics
from truing.evals.compare import compare
from truing.evals.gate import GateConfig, decide
from truing.evals.run import METRICS
from truing.judges.refusal import MEASURED
from truing.ledger.artifacts import Artifact
from truing.ledger.lineage import Trace
from truing.report.page import Contents, PolicyRun, pick_examples, render
from truing.train.records import TrainStep

EVIL = '<script>alert("&")</script> {{ page.title }} </p></main>'
VOID = {"meta", "br", "path", "use", "rect", "circle", "line"}


class Page(HTMLParser):
    """Parses a page: every element must be closed in order. Keeps tags, attributes and text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.text: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in VOID or self.get_starttag_text().endswith("/>"):  # type: ignore[union-attr]
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID or (self.open and self.open[-1] == tag):
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] != ["style"]:
            self.text.append(data)

    @property
    def words(self) -> str:
        return " ".join(" ".join(self.text).split())


def item(
    task: str, number: int, value: float | None, answer: str = "An answer.", prompt: str = "A prompt?"
) -> ItemResult:
    return ItemResult(
        task=task, item=f"i{number}", cluster=f"c{number}", value=value, prompt=prompt, answer=answer, finished=True
    )


def items(*, refuses: float, unknown: int = 0, **texts: str) -> list[ItemResult]:
    found = [item("refusal", n, None if n < unknown else refuses, **texts) for n in range(40)]
    found += [item("honesty", n, float(n % 2), **texts) for n in range(40)]
    return found + [item("reference_logprob", n, -1.0 - n / 100) for n in range(40)]


def step(number: int, **changes: Any) -> TrainStep:
    values: dict[str, Any] = {
        "step": number, "steps": 9, "epoch": 0.1, "loss": 1 / number, "rate": 1e-4, "gradient_norm": 1.0, "tokens": 9,
        "tokens_per_second": None, "mean_length": 9.0, "chosen_logprob": -9.0,
    }  # fmt: skip
    return TrainStep(**{**values, **changes})


def contents(**changes: Any) -> Contents:
    before, after = items(refuses=0.0, unknown=3), items(refuses=1.0)
    results = compare(before, after, METRICS)
    gate = decide(results, GateConfig.parse({"rule": [{"metric": "refusal", "require": "better"}]}, "test"))
    root = Artifact(
        kind="comparison", verb="gate", verb_version=1, name="gate", config={}, parents=(), seed=0, files=(),
        metrics={}, key=None, id="a" * 64, created=datetime.now(UTC), code_version="0",
    )  # fmt: skip
    values: dict[str, Any] = {
        "title": "A page",
        "model": "tiny",
        "made": datetime(2026, 1, 2, tzinfo=UTC),
        "code_version": "0.1",
        "results": results,
        "gate": gate,
        "curves": [
            ("sft", [step(n) for n in (1, 2, 3)]),
            ("dpo", [step(n, margin=0.1 * n, accuracy=0.5) for n in (1, 2)]),
        ],
        "examples": pick_examples(before, after, ("refusal", "honesty"), 2),
        "statistics": DataStatistics(
            rows=1, groups={"harmful": 1}, topics=1, multi_turn=0, ties=0, annotators=0, median_prompt_words=1,
            median_chosen_words=1, median_rejected_words=1, chosen_longer=0.5, length_correlation=None,
        ),
        "overlap": Overlap(
            probes=2, training=3, shared_topics=(), shared_frames=(), over_limit=(),
            trigram=Nearest(probe="p", training="t", similarity=0.1),
            cosine=Nearest(probe="p", training="t", similarity=0.2),
        ),
        "judges": [("refusal", accuracy) for accuracy in MEASURED],
        "lineage": Trace(root),
    }  # fmt: skip
    return Contents(**{**values, **changes})


def policy_run(**changes: Any) -> PolicyRun:
    points = [
        Iteration(step=n, proxy=n, gold=-n, kl=n, distinct=0.9, end=1, length=20, benign=0.1) for n in range(1, 5)
    ]
    readings = [
        Reading(signal="gold", state="alarm", step=3, p=0.01, reason="gold went down"),
        Reading(signal="kl", state="unknown", reason="no limit is set"),
        Reading(signal="benign", state="quiet", p=1.0, reason="refused as before"),
    ]
    return PolicyRun(**{"name": "ppo", "points": points, "readings": readings, "kept": 1, **changes})


@pytest.fixture(scope="module")
def page() -> str:
    return render(contents())


def test_the_parser_of_these_tests_would_see_a_script_and_an_element_left_open() -> None:
    assert "script" in Page("<p><script>alert()</script></p>").tags
    for broken in ("<p><b>", "<p></b></p>", "<p></main></p>"):
        with pytest.raises((AssertionError, IndexError)):
            Page(broken)


def test_the_page_parses_and_has_every_part(page: str) -> None:
    parsed = Page(page)
    assert parsed.tags.count("svg") == 3  # the comparison, and a curve each
    assert parsed.tags.count("h1") == 1
    for heading in ("Before and after", "The gate's rules", "Examples", "Training", "Data", "Where it came from"):
        assert heading in parsed.words
    assert "not defined" in parsed.words  # the length correlation that is None


def test_the_page_fetches_nothing_and_runs_nothing(page: str) -> None:
    parsed = Page(page)
    assert not {"script", "link", "img", "iframe", "object", "embed", "base", "form"} & set(parsed.tags)
    for name, value in parsed.attributes:
        assert not name.startswith("on")
        if name in ("src", "href", "xlink:href", "data", "action", "srcset"):
            assert value.startswith("#")
    assert "@import" not in page
    assert set(re.findall(r"url\(([^)]*)\)", page)) <= set(re.findall(r"url\((#[^)]*)\)", page))
    # What is left of addresses are the names of XML's vocabularies, which nothing fetches.
    rest = re.sub(r'xmlns(:\w+)?="[^"]*"', "", re.sub(r"<metadata>.*?</metadata>", "", page, flags=re.DOTALL))
    assert re.findall(r"(?:https?:)?//[^\s]+", rest) == []


def test_a_policy_gradient_run_is_shown_with_its_signals_what_they_say_and_what_was_kept() -> None:
    parsed = Page(render(contents(runs=[policy_run()])))
    assert parsed.tags.count("svg") == 5
    assert parsed.tags.count("figcaption") == 2
    assert "ppo: 4 rounds of drawing answers" in parsed.words
    assert "kept: the policy of round 1, the best by the gold reward" in parsed.words
    for row in (
        "gold alarm from round 3 gold went down p 0.01",
        "kl unknown no limit is set",
        "benign quiet refused as before p 1",
    ):
        assert row in parsed.words
    last = Page(render(contents(runs=[policy_run(kept=None)]))).words
    assert "the last policy was kept" in last
    assert "diamond" not in last
    assert "could not be judged" not in last
    point = policy_run().points[0].model_copy(update={"unjudged": 0.5})
    assert "could not be judged" in Page(render(contents(runs=[policy_run(points=[point])]))).words


@pytest.mark.parametrize("place", ["prompt", "answer", "title", "model", "step", "run", "overlap"])
def test_words_of_a_model_or_a_user_are_shown_and_do_nothing(place: str) -> None:
    if place in ("prompt", "answer"):
        sides = [items(refuses=value, **{place: EVIL}) for value in (0.0, 1.0)]
        changed = contents(examples=pick_examples(*sides, ("honesty",), 1))
    elif place == "step":
        changed = contents(curves=[(EVIL, [step(1), step(2)])])
    elif place == "run":
        changed = contents(runs=[policy_run(name=EVIL)])
    elif place == "overlap":
        nearest = Nearest(probe=EVIL, training=EVIL, similarity=0.5)
        overlap = contents().overlap
        assert overlap is not None
        changed = contents(overlap=overlap.model_copy(update={"cosine": nearest}))
    else:
        changed = contents(**{place: EVIL})
    parsed = Page(render(changed))
    assert "script" not in parsed.tags
    assert EVIL in parsed.words


def test_unknown_is_shown_with_its_count_and_never_as_a_number(page: str) -> None:
    assert re.search(r"refuses harmful requests 37 \(3 unknown\)", Page(page).words)
    nothing = compare([item("refusal", 1, None)], [item("refusal", 1, 1.0)], METRICS)
    words = Page(render(contents(results=nothing))).words
    assert "(1 unknown)" in words
    for never in ("inf", "nan"):
        assert not re.search(rf"\b{never}\b", words, flags=re.IGNORECASE)


def test_an_answer_to_a_harmful_request_is_cut_short_unless_it_refuses() -> None:
    long = "Step one: " + "word " * 200
    answers = {"complied": 0.0, "unclear": None, "refused": 1.0}
    for value in answers.values():
        found = item("refusal", 1, value, answer=long)
        (harmful,) = pick_examples([found], [found], ("refusal",), 1)
        (honest,) = pick_examples(*[[item("honesty", 1, value, answer=long)]] * 2, ("honesty",), 1)
        limit = 220 if value == 1.0 else 90
        assert max(len(harmful.before), len(harmful.after)) <= limit
        assert 90 < len(honest.after) <= 220
        shown = Page(render(contents(examples=[harmful]))).words
        assert shown.count("word") <= 2 * limit // len("word ")


def test_examples_are_the_first_items_that_both_sides_have_and_not_the_best() -> None:
    before = [item("honesty", number, 0.0, answer=f"before {number}") for number in (2, 1, 3)]
    after = [item("honesty", number, float(number == 3), answer=f"after {number}") for number in (4, 1, 2, 3)]
    found = pick_examples(before, after, ("honesty", "absent"), 2)
    assert [(one.before, one.after) for one in found] == [("before 1", "after 1"), ("before 2", "after 2")]


@pytest.mark.parametrize("limit", [1, 5, 20])
def test_a_shortened_text_is_its_beginning_within_the_limit(limit: int) -> None:
    text = "several  words\non two lines"
    found = shorten(text, limit)
    assert len(found) <= limit
    assert "several words on two lines".startswith(found.removesuffix("…"))
    assert found.endswith("…")
    assert shorten("short", 5) == "short"


def test_an_overlap_or_a_curve_that_is_not_there_leaves_a_page() -> None:
    words = Page(render(contents(overlap=None, curves=[], examples=[]))).words
    assert "Held-out check" not in words


def test_infinity_stands_nowhere_in_a_comparison_of_one_cluster() -> None:
    one = [[item(metric.task, 1, value) for metric in METRICS] for value in (0.0, 1.0)]
    results = compare(*one, METRICS)
    assert any(math.isinf(result.low) for result in results)
    assert not re.search(r"\binf(?!orm)", Page(render(contents(results=results))).words)
