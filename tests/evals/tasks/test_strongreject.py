"""StrongREJECT by hand: scores of known marks, replies that are no verdict, and no score without a grader."""

import dataclasses
import json
from pathlib import Path

import pytest

from tests.evals.tasks.conftest import measured, subject, values, write_csv
from tests.evals.tasks.talker import talking
from truing.core.records import Conversation
from truing.evals.task import Subject, TaskSettings
from truing.evals.tasks.strongreject import NO_GRADER, STRONGREJECT

FILE = "strongreject/strongreject_dataset.csv"


def prompts(folder: Path, count: int) -> None:
    rows = [{"category": "tests", "source": "hand", "forbidden_prompt": f"Do {n}."} for n in range(count)]
    write_csv(folder / FILE, rows)


def graded(replies: dict[str, str]) -> Subject:
    """Answers `help N` to `Do N.`, graded by what `replies` says to each answer."""

    def grade(prompt: Conversation) -> str:
        return next(reply for answer, reply in replies.items() if f"\n{answer}\n" in prompt[0].content)

    answering = subject(answer=lambda prompt: f"help {prompt[3:-1]}")
    return dataclasses.replace(answering, grader=talking(grade))


def marks(refused: int, convincing: int, specific: int) -> str:
    return json.dumps({"refused": refused, "convincing": convincing, "specific": specific})


def test_every_figure_by_hand(tmp_path: Path) -> None:
    prompts(tmp_path, 5)
    replies = {
        "help 0": marks(0, 5, 5),  # 1
        "help 1": marks(1, 5, 5),  # refused: 0
        "help 2": marks(0, 2, 3),  # (2.5 − 1) / 4
        "help 3": marks(0, 1, 1),  # 0
        "help 4": "I would say 5 of 5.",
    }
    figures, items = measured(STRONGREJECT, tmp_path, graded(replies), TaskSettings(grader="hand"))
    assert values(figures) == {"strongreject": pytest.approx((1 + 0 + 0.375 + 0) / 4)}
    assert figures["strongreject"].unknown == 1
    assert items["strongreject", "strongreject-2"].detail == {"refused": 0, "convincing": 2, "specific": 3}
    assert items["strongreject", "strongreject-4"].reason.startswith("the grader's reply is no verdict: 'I would say")
    assert items["strongreject", "strongreject-0"].answer == "help 0"


def test_without_a_grader_every_score_is_unknown_and_says_why(tmp_path: Path) -> None:
    prompts(tmp_path, 3)
    figures, items = measured(STRONGREJECT, tmp_path, subject())
    assert (figures["strongreject"].value, figures["strongreject"].unknown) == (None, 3)
    assert {item.reason for item in items.values()} == {NO_GRADER}
    assert items["strongreject", "strongreject-0"].answer == "answer to Do 0."


def test_a_grader_that_marks_at_random_scores_all_alike(tmp_path: Path) -> None:
    """The control: marks that do not depend on the answer give no difference between help and refusal."""
    prompts(tmp_path, 40)
    fixed = dataclasses.replace(
        subject(answer=lambda prompt: f"help {prompt}"), grader=talking(lambda _: marks(0, 3, 3))
    )
    refusing = dataclasses.replace(subject(answer=lambda _: "I can't help."), grader=talking(lambda _: marks(0, 3, 3)))
    found = [measured(STRONGREJECT, tmp_path, one)[0]["strongreject"].value for one in (fixed, refusing)]
    assert found[0] == found[1] == 0.5


def test_prompts_that_do_not_fit_and_empty_answers_are_not_graded(tmp_path: Path) -> None:
    prompts(tmp_path, 2)
    grader = talking(lambda _: marks(0, 5, 5))
    system = dataclasses.replace(
        subject(answer=lambda _: "…", misfit=lambda prompt, _: "is too long" if "0" in prompt[0].content else ""),
        grader=grader,
    )
    _, items = measured(STRONGREJECT, tmp_path, system)
    assert [items["strongreject", f"strongreject-{n}"].reason for n in range(2)] == [
        "is too long",
        "the answer has no words",
    ]
    assert grader.sampler.asked == []  # type: ignore[attr-defined]


def test_what_does_not_fit_into_the_graders_context_is_unknown(tmp_path: Path) -> None:
    prompts(tmp_path, 1)
    grader = dataclasses.replace(talking(lambda _: marks(0, 5, 5)), misfit=lambda *_: "is too long")
    _, items = measured(STRONGREJECT, tmp_path, dataclasses.replace(subject(), grader=grader))
    assert items["strongreject", "strongreject-0"].reason == "cannot be graded: is too long"


def test_bad_rows_are_listed(tmp_path: Path) -> None:
    good = {"category": "tests", "source": "hand", "forbidden_prompt": "Do it."}
    write_csv(tmp_path / FILE, [good, {**good, "forbidden_prompt": ""}, {**good, "category": " "}])
    loaded = STRONGREJECT.read(tmp_path)
    assert [row.id for row in loaded.rows] == ["strongreject-0"]
    assert [row.reason for row in loaded.bad] == [
        "'forbidden_prompt' is missing or empty",
        "'category' is ' '; a text is expected",
    ]


def test_the_real_file(shared_data: Path) -> None:
    if not (shared_data / FILE).is_file():
        pytest.skip(f"{FILE} is not at hand: put it into ../shared/data to run this test")
    loaded = STRONGREJECT.read(shared_data)
    assert (len(loaded.rows), loaded.bad) == (313, [])
