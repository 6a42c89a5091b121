"""AdvBench, Do-Not-Answer and HarmBench by hand: rates by area and category, and what is unknown stays unknown."""

import json
import random
from pathlib import Path
from typing import Any

import pytest

from tests.evals.tasks.conftest import measured, subject, values, write_csv, write_lines
from truing.core.errors import InputError
from truing.core.records import Message
from truing.evals.task import Task, TaskSettings, missing_files
from truing.evals.tasks.advbench import ADVBENCH
from truing.evals.tasks.do_not_answer import AREAS, DO_NOT_ANSWER
from truing.evals.tasks.harmbench import HARMBENCH, NotRefused
from truing.judges.refusal import RefusalJudge

REFUSAL = "I can't help with that."


def refuses(*prompts: str) -> Any:
    """A model that refuses these prompts, and answers all others."""
    return subject(answer=lambda prompt: REFUSAL if prompt in prompts else "Like this.")


def goals(count: int) -> list[dict[str, Any]]:
    return [{"goal": f"Do {n}", "target": f"Sure, {n}"} for n in range(count)]


def behaviours() -> list[dict[str, Any]]:
    kinds = ["standard", "standard", "standard", "contextual", "copyright"]
    return [
        {
            "Behavior": f"Do {n}",
            "FunctionalCategory": kind,
            "SemanticCategory": "illegal",
            "Tags": "",
            "ContextString": "Some context." if kind == "contextual" else "",
            "BehaviorID": f"do_{n}",
        }
        for n, kind in enumerate(kinds)
    ]


def areas(folder: Path, each: int = 2) -> None:
    for area in AREAS:
        write_lines(folder / "do-not-answer" / f"{area}.jsonl", [{"prompt": f"{area} {n}"} for n in range(each)])


def test_advbench_by_hand(tmp_path: Path) -> None:
    write_csv(tmp_path / "advbench/advbench.csv", goals(4))
    figures, items = measured(ADVBENCH, tmp_path, refuses("Do 2"))
    assert values(figures) == {"advbench": 0.25}
    assert items["advbench", "advbench-2"].value == 1.0


def test_do_not_answer_by_hand(tmp_path: Path) -> None:
    areas(tmp_path)
    figures, _ = measured(DO_NOT_ANSWER, tmp_path, refuses(f"{AREAS[0]} 0", f"{AREAS[0]} 1", f"{AREAS[3]} 1"))
    shares = dict.fromkeys(AREAS, 0.0) | {AREAS[0]: 1.0, AREAS[3]: 0.5}
    assert values(figures) == {
        "do_not_answer": pytest.approx(3 / 10),
        **{f"do_not_answer_{area}": share for area, share in shares.items()},
    }


def test_harmbench_by_hand(tmp_path: Path) -> None:
    """An answer that does not refuse counts as a success; recited or not cannot be told, refused or not."""
    write_csv(tmp_path / "harmbench/behaviors_text_test.csv", behaviours())
    figures, items = measured(HARMBENCH, tmp_path, refuses("Do 1", "Some context.\n\n---\n\nDo 3", "Do 4"))
    assert values(figures) == {
        "harmbench_asr": pytest.approx(2 / 4),
        "harmbench_asr_standard": pytest.approx(2 / 3),
        "harmbench_asr_contextual": 0.0,
        "harmbench_asr_copyright": None,
    }
    assert (figures["harmbench_asr"].n, figures["harmbench_asr"].unknown) == (5, 1)
    assert items["harmbench_asr", "do_4"].reason == "the text under copyright is not at hand to compare with"


def test_what_cannot_be_judged_is_neither_safe_nor_a_success() -> None:
    ask = (Message(role="user", content="?"),)
    for answer in (REFUSAL, "Like this.", " … "):
        refused, succeeded = RefusalJudge().judge(ask, answer).value, NotRefused().judge(ask, answer).value
        assert succeeded == (None if refused is None else 1 - refused)


@pytest.mark.parametrize("task", [ADVBENCH, DO_NOT_ANSWER, HARMBENCH])
def test_unknown_answers_and_prompts_that_do_not_fit_are_counted(tmp_path: Path, task: Task) -> None:
    write_csv(tmp_path / "advbench/advbench.csv", goals(3))
    areas(tmp_path)
    write_csv(tmp_path / "harmbench/behaviors_text_test.csv", behaviours()[:3])
    figures, _ = measured(task, tmp_path, subject(answer=lambda _: "…"))
    main = figures[task.metrics[0].task]
    assert (main.value, main.unknown) == (None, main.n)
    figures, items = measured(task, tmp_path, subject(misfit=lambda *_: "is too long"))
    assert {item.reason for item in items.values()} == {"is too long"}
    assert figures[task.metrics[0].task].unknown == main.n


def test_shuffled_categories_have_the_same_rate(tmp_path: Path) -> None:
    """A model that refuses whatever is contextual: with the labels shuffled no category stands out."""
    rates = {}
    for shuffled in (False, True):
        rows = [
            {**behaviours()[3 * (n % 2)], "BehaviorID": f"b{n}", "Behavior": f"Do {'it' if n % 2 else 'that'} {n}"}
            for n in range(300)
        ]
        if shuffled:
            texts = [row["Behavior"] for row in rows]
            random.Random(0).shuffle(texts)
            rows = [{**row, "Behavior": text} for row, text in zip(rows, texts, strict=True)]
        folder = tmp_path / str(shuffled)
        write_csv(folder / "harmbench/behaviors_text_test.csv", rows)
        figures, _ = measured(
            HARMBENCH, folder, subject(answer=lambda prompt: REFUSAL if "Do it" in prompt else "Like this.")
        )
        rates[shuffled] = [figures[f"harmbench_asr_{kind}"].value or 0.0 for kind in ("standard", "contextual")]
    assert rates[False] == [1.0, 0.0]
    assert rates[True] == [pytest.approx(0.5, abs=0.12)] * 2


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"FunctionalCategory": "odd"}, "'FunctionalCategory' is 'odd'; one of standard, contextual, copyright"),
        ({"FunctionalCategory": "contextual"}, "a contextual behaviour needs a 'ContextString'"),
        ({"BehaviorID": "do_0"}, "the id 'do_0' stands twice, first in line 2"),
        ({"Behavior": " "}, "'Behavior' is ' '; a text is expected"),
    ],
)
def test_a_behaviour_that_cannot_be_used_is_listed(tmp_path: Path, changes: dict[str, Any], reason: str) -> None:
    rows = behaviours()
    write_csv(tmp_path / "harmbench/behaviors_text_test.csv", [rows[0], {**rows[1], **changes}, rows[2]])
    loaded = HARMBENCH.read(tmp_path)
    assert [row.id for row in loaded.rows] == ["do_0", "do_2"]
    assert reason in loaded.bad[0].reason


def test_a_column_that_is_not_there_is_named(tmp_path: Path) -> None:
    write_csv(tmp_path / "advbench/advbench.csv", [{"goals": "Do 1", "target": "Sure"}])
    with pytest.raises(InputError, match=r"advbench.csv: there is no column 'goal'; the columns are goals, target"):
        ADVBENCH.read(tmp_path)


def test_a_missing_area_is_a_missing_file(tmp_path: Path) -> None:
    areas(tmp_path)
    gone = tmp_path / "do-not-answer" / f"{AREAS[2]}.jsonl"
    gone.unlink()
    assert missing_files(DO_NOT_ANSWER, tmp_path) == [gone]


@pytest.mark.parametrize(("task", "count"), [(ADVBENCH, 520), (DO_NOT_ANSWER, 939), (HARMBENCH, 320)])
def test_the_real_files(shared_data: Path, task: Task, count: int) -> None:
    loaded = task.read(shared_data)
    assert (len(loaded.rows), loaded.bad) == (count, [])
    few = loaded.rows[:: count // 5]
    items = list(task.run(subject(answer=lambda _: REFUSAL), few, TaskSettings()))
    assert len(items) == len(few)
    known = {item.value for item in items if item.value is not None}
    assert known == ({0.0} if task is HARMBENCH else {1.0})


# The published agreement with the majority of people, recomputed from the reduced file of labelled answers.
AGREEMENT = {"advbench": 0.676, "llamaguard": 0.672, "gptfuzz": 0.719, "mixtral": 0.853}


def test_this_judge_agrees_with_people_as_often_as_is_said(shared_data: Path) -> None:
    """.679 of those that it can judge, as the string judge of AdvBench does on the same answers (.676 of all); what is
    printed beside the rate says so."""
    path = shared_data / "harmbench" / "judge_validation_set.json"
    rows = [row for rows in json.loads(path.read_text(encoding="utf-8")).values() for row in rows]
    accuracy = HARMBENCH.accuracy
    assert accuracy is not None
    verdicts = [
        (
            NotRefused().judge((Message(role="user", content=row["test_case"]),), row["generation"]).value,
            float(sum(int(row[f"human_{person}"]) for person in range(3)) >= 2),
        )
        for row in rows
    ]
    right = [ours == theirs for ours, theirs in verdicts if ours is not None]
    assert (len(rows) - len(right), accuracy.unknown) == (2, 2)
    assert sum(right) / len(right) == pytest.approx(accuracy.agreement or 0, abs=1e-9)
    assert sum(right) / len(rows) == pytest.approx(AGREEMENT["advbench"], abs=0.001)
