"""XSTest: people's rates recomputed from their labels, judged answers by hand, and labels that say nothing."""

import random
from pathlib import Path
from typing import Any

import pytest

from tests.evals.tasks.conftest import measured, subject, values, write_csv
from truing.data.xstest import read_completions
from truing.evals.task import TaskSettings
from truing.evals.tasks.xstest import XSTEST, labelled
from truing.loops.verbs.benchmark import figures_of

FILE = "xstest/xstest_prompts.csv"


@pytest.mark.parametrize(
    ("model", "full", "partial"), [("llama2new", 14.0, 15.6), ("gpt4", 6.4, 2.0), ("mistralinstruct", 0.8, 0.8)]
)
def test_peoples_rates_on_safe_prompts_are_those_that_were_published(
    shared_data: Path, model: str, full: float, partial: float
) -> None:
    """Röttger et al. 2024, recomputed from the label files through the task's own figures: exactly."""
    rows, bad = read_completions(shared_data / "xstest" / f"completions_{model}.csv")
    assert bad == []
    figures = {figure.name: figure for figure in figures_of(XSTEST, labelled(rows))}
    assert (figures["xstest_safe_full"].value, figures["xstest_safe_partial"].value) == (full / 100, partial / 100)
    assert (figures["xstest_safe"].n, figures["xstest_unsafe"].n) == (250, 200)
    over = figures["xstest_safe"].value
    assert over == pytest.approx((full + partial) / 100)
    assert figures["xstest_safe_compliance"].value == pytest.approx(1 - (full + partial) / 100)
    missed = sum(row.half == "unsafe" and row.verdict == "compliance" for row in rows) / 200
    assert figures["xstest_unsafe_compliance"].value == pytest.approx(missed)
    assert figures["xstest_unsafe"].value == pytest.approx(1 - missed)


def prompts(count: int, half: str) -> list[dict[str, Any]]:
    return [
        {"id": f"{half}{n}", "prompt": f"{half} {n}?", "type": "homonyms", "label": half, "focus": "", "note": ""}
        for n in range(count)
    ]


def test_every_figure_of_a_file_by_hand(tmp_path: Path) -> None:
    """One of four safe prompts is refused, one answer says nothing; one of two unsafe ones is answered."""
    write_csv(tmp_path / FILE, [*prompts(4, "safe"), *prompts(2, "unsafe")])
    answers = {"safe 0?": "I can't help with that.", "safe 1?": " … ", "unsafe 1?": "I'm sorry, but I cannot do that."}
    figures, items = measured(XSTEST, tmp_path, subject(answer=lambda prompt: answers.get(prompt, "Do it like this.")))
    assert values(figures) == {
        "xstest_unsafe": 1 / 2,
        "xstest_safe": pytest.approx(1 / 3),
        "xstest_safe_compliance": pytest.approx(2 / 3),
        "xstest_safe_partial": None,
        "xstest_safe_full": None,
        "xstest_unsafe_compliance": 1 / 2,
        "xstest_unsafe_partial": None,
        "xstest_unsafe_full": None,
    }
    safe = figures["xstest_safe"]
    assert (safe.n, safe.unknown, safe.cut) == (4, 1, 0)
    assert items["xstest_safe", "safe1"].value is None
    assert items["xstest_safe", "safe0"].reason == 'says "i can\'t"'


def test_where_nothing_is_refused_there_is_no_partial_refusal_either(tmp_path: Path) -> None:
    write_csv(tmp_path / FILE, [*prompts(3, "safe"), *prompts(3, "unsafe")])
    figures, _ = measured(XSTEST, tmp_path, subject(answer=lambda _: "Like this."))
    assert (figures["xstest_safe_full"].value, figures["xstest_safe_partial"].value) == (0.0, 0.0)


def test_a_prompt_that_does_not_fit_is_unknown(tmp_path: Path) -> None:
    write_csv(tmp_path / FILE, [*prompts(2, "safe"), *prompts(1, "unsafe")])
    figures, items = measured(
        XSTEST, tmp_path, subject(misfit=lambda prompt, _: "is too long" if prompt[-1].content == "safe 1?" else "")
    )
    assert (figures["xstest_safe"].n, figures["xstest_safe"].unknown) == (2, 1)
    assert items["xstest_safe", "safe1"].reason == "is too long"


@pytest.mark.parametrize("shuffled", [False, True])
def test_under_shuffled_labels_a_perfect_refuser_refuses_both_halves_alike(tmp_path: Path, shuffled: bool) -> None:
    rows = [*prompts(200, "safe"), *prompts(200, "unsafe")]
    if shuffled:
        labels = [row["label"] for row in rows]
        random.Random(0).shuffle(labels)
        rows = [{**row, "label": label} for row, label in zip(rows, labels, strict=True)]
    write_csv(tmp_path / FILE, rows)
    refuser = subject(answer=lambda prompt: "I can't help." if prompt.startswith("unsafe") else "Like this.")
    figures, _ = measured(XSTEST, tmp_path, refuser)
    gap = (figures["xstest_unsafe"].value or 0) - (figures["xstest_safe"].value or 0)
    assert gap == (pytest.approx(0, abs=0.12) if shuffled else 1.0)


def test_rows_that_cannot_be_used_are_listed(tmp_path: Path) -> None:
    good = prompts(2, "safe")
    write_csv(tmp_path / FILE, [good[0], {**good[1], "label": "maybe"}, {**good[1], "prompt": ""}, good[0], good[1]])
    loaded = XSTEST.read(tmp_path)
    assert [row.id for row in loaded.rows] == ["safe0", "safe1"]
    assert [(row.line, row.reason) for row in loaded.bad] == [
        (3, "'label' is 'maybe'; safe or unsafe is expected"),
        (4, "'prompt' is missing or empty"),
        (5, "the id 'safe0' stands twice, first in line 2"),
    ]


def test_the_real_prompts(shared_data: Path) -> None:
    loaded = XSTEST.read(shared_data)
    assert loaded.bad == []
    assert sum(row.half == "safe" for row in loaded.rows) == 250
    assert len(loaded.rows) == 450
    system = subject(answer=lambda _: "I cannot help with that.")
    items = list(XSTEST.run(system, loaded.rows[::90], TaskSettings()))
    assert {item.value for item in items} == {1.0}
