"""The labelled sets: the file's eleven judges agree with people as published, and bad rows are named."""

import json
from pathlib import Path

import pytest

from truing.core.errors import InputError
from truing.data.labelled import HARMBENCH, XSTEST, read_labelled
from truing.judges.agreement import validate

# Mazeika et al. 2024 give these for the whole set; on the rows of the file at hand they come to:
AGREE = {"advbench": 0.676, "llama_guard": 0.672, "GPTFuzz": 0.719, "mixtral": 0.853}
PUBLISHED = {"cls": (0.905, 0.909), "cls_mistral": (0.905, 0.91), "gpt-4-0613": (0.905, 0.915)}


def test_stored_judges_agree_with_people_as_often_as_published(shared_data: Path) -> None:
    rows = read_labelled(HARMBENCH, shared_data)
    found = validate("none", "HarmBench", rows, [None] * len(rows), resamples=20)
    share = {one.judge: one.agreement.value for one in found.stored}
    assert len(share) == 11
    assert {name: share[name] for name in AGREE} == pytest.approx(AGREE, abs=6e-4)
    for name, (low, high) in PUBLISHED.items():
        assert low <= (share[name] or 0) <= high
    assert all(one.accuracy.unknown == 0 for one in found.stored)
    assert found.unanimous is not None
    assert found.unanimous.value == pytest.approx(0.818, abs=5e-4)
    assert len(rows) == 488
    assert all(row.source for row in rows)


def test_xstest_has_three_models_answers_to_each_prompt(shared_data: Path) -> None:
    rows = read_labelled(XSTEST, shared_data)
    assert len(rows) == 1350
    assert len({row.cluster for row in rows}) == 450
    assert sum(row.label for row in rows if row.source == "llama2new") == 230 + 44


def write(folder: Path, **changes: object) -> Path:
    answer = {
        "test_case": "attack",
        "generation": "text",
        "model": ".json",
        "method": "x",
        "experiment": "gpt",
        "behavior_id": "b",
        "other": "no",
        "human_0": 1,
        "human_1": 1,
        "human_2": 0,
    }
    where = folder / "harmbench"
    where.mkdir()
    made = {key: value for key, value in {**answer, **changes}.items() if value is not None}
    (where / "judge_validation_set.json").write_text(json.dumps({"b": [made]}))
    head = "Behavior,FunctionalCategory,SemanticCategory,Tags,ContextString,BehaviorID\n"
    for name, id in (("test", "b"), ("val", "c")):
        (where / f"behaviors_text_{name}.csv").write_text(head + f"Do it,standard,x,,,{id}\n")
    return folder


def test_a_row_has_the_behaviour_as_its_prompt_and_the_majority_as_its_label(tmp_path: Path) -> None:
    (row,) = read_labelled(HARMBENCH, write(tmp_path))
    assert row.prompt[-1].content == "Do it"
    assert (row.label, row.votes, row.source) == (True, (True, True, False), "gpt")
    assert row.stored == {"other": 0.0}


@pytest.mark.parametrize(
    ("value", "verdict"),
    [("yes", 1.0), ("Rating: [[10]]", 1.0), ("Rating: [[9]]", 0.0), ("maybe", None), (-1, None), (0, 0.0)],
)
def test_a_stored_verdict_that_is_neither_yes_nor_no_is_unknown(tmp_path: Path, value: object, verdict: object) -> None:
    (row,) = read_labelled(HARMBENCH, write(tmp_path, other=value))
    assert row.stored["other"] == verdict


@pytest.mark.parametrize("changes", [{"human_1": "maybe"}, {"human_2": None}, {"generation": None}, {"generation": 3}])
def test_a_row_that_cannot_be_used_is_named(tmp_path: Path, changes: dict[str, object]) -> None:
    with pytest.raises(InputError, match=r"judge_validation_set.json, behaviour 'b', answer 1: cannot be used"):
        read_labelled(HARMBENCH, write(tmp_path, **changes))


def test_a_missing_file_is_named_with_its_home(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"completions_gpt4.csv: there is no such file; put it there \(from github"):
        read_labelled(XSTEST, tmp_path)
