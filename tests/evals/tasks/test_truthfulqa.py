"""TruthfulQA's four forms by closed form, the prompts word for word, the real files, and what chance scores."""

import json
import math
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.evals.tasks.conftest import ScriptedChoices, measured, subject, values, write_json
from truing.core.records import ItemResult
from truing.data.truthfulqa import TruthfulQuestion
from truing.evals.task import TaskSettings
from truing.evals.tasks.truthfulqa import (
    EDITION_817,
    EDITION_2025,
    PRIMER,
    TRUTHFULQA,
    TRUTHFULQA_817,
    binary_question,
    mass,
)

FILE = "truthfulqa/mc_task.json"
# ℓ of each answer of the file below, as the model is asked (with its full stop).
LOGPROBS = {"It pours.": -1.0, "Rain.": -3.0, "Sun.": -2.0, "Snow.": -4.0, "No.": -5.0, "Yes!.": -5.0, "Perhaps.": -9.0}


def row(question: str, best: str, against: list[str], true: list[str], false: list[str]) -> dict[str, Any]:
    def targets(right: list[str], wrong: list[str]) -> dict[str, int]:
        return {**dict.fromkeys(right, 1), **dict.fromkeys(wrong, 0)}

    return {
        "question": question,
        "mc0_targets": targets([best], against[:1]),
        "mc1_targets": targets([best], against),
        "mc2_targets": targets(true, false),
    }


BY_HAND = [
    row("What falls?", "Rain", ["Sun", "Snow"], ["Rain", "It pours"], ["Sun", "Snow"]),
    row("Is it so?", "No.", ["Yes!", "Perhaps"], ["No."], ["Yes!", "Perhaps"]),
]


def likely(_context: str, choice: str) -> float:
    """(A) is always likelier than (B)."""
    return {" (A)": -1.0, " (B)": -2.0}.get(choice) or LOGPROBS[choice.removeprefix(" ")]


def test_every_figure_of_a_file_by_hand(tmp_path: Path) -> None:
    """Rain is beaten by Sun, one of two true answers is above both false ones, and No ties with Yes: that is no win."""
    write_json(tmp_path / FILE, BY_HAND)
    figures, items = measured(TRUTHFULQA, tmp_path, subject(likely))
    e = math.exp
    mc2 = [
        (e(-1) + e(-3)) / (e(-1) + e(-3) + e(-2) + e(-4)),
        e(-5) / (2 * e(-5) + e(-9)),
    ]
    shown = [binary_question(question, 0)[1] for question in TRUTHFULQA.read(tmp_path).rows]
    assert values(figures) == {
        "truthfulqa_mc0": sum(place == 0 for place in shown) / 2,
        "truthfulqa_mc1": 0.0,
        "truthfulqa_mc2": pytest.approx(sum(mc2) / 2),
        "truthfulqa_mc3": pytest.approx((1 / 2 + 0) / 2),
    }
    assert items["truthfulqa_mc1", "1"].detail == {"margin": pytest.approx(-1.0)}
    assert items["truthfulqa_mc1", "1"].answer == "It pours."
    assert (figures["truthfulqa_mc1"].n, figures["truthfulqa_mc1"].unknown) == (2, 0)
    assert figures["truthfulqa_mc1"].low == 0.0 < (figures["truthfulqa_mc1"].high or 0)


def test_a_tie_counts_as_right_only_where_that_is_asked_for(tmp_path: Path) -> None:
    write_json(tmp_path / FILE, BY_HAND)
    figures, _ = measured(TRUTHFULQA, tmp_path, subject(likely), TaskSettings(ties="right"))
    assert figures["truthfulqa_mc1"].value == 0.5
    assert figures["truthfulqa_mc3"].value == pytest.approx((1 / 2 + 1) / 2)


@given(
    true=st.lists(st.floats(-1e4, 0), min_size=1, max_size=6),
    false=st.lists(st.floats(-1e4, 0), min_size=1, max_size=6),
    shift=st.floats(-1e5, 0),
)
def test_the_mass_of_true_answers_never_underflows(true: list[float], false: list[float], shift: float) -> None:
    """A common factor cancels, so that answers of any length give a number; true and false shares add up to 1."""
    share = mass(true, false)
    assert 0 <= share <= 1
    assert share + mass(false, true) == pytest.approx(1)
    moved = mass([value + shift for value in true], [value + shift for value in false])
    assert moved == pytest.approx(share, abs=1e-6)


def test_equal_likelihoods_give_every_answer_its_share() -> None:
    assert mass([-2000.0] * 3, [-2000.0]) == pytest.approx(3 / 4)


def test_what_is_asked_word_for_word(tmp_path: Path) -> None:
    """The 2025 edition ends every answer in a full stop, and the older one leaves answers as they are. An answer of
    both MC1 and MC2 is scored once."""
    write_json(tmp_path / FILE, BY_HAND[1:])
    write_json(tmp_path / "truthfulqa/hf_multiple_choice_817.json", BY_HAND[1:])
    asked = {}
    for task in (TRUTHFULQA, TRUTHFULQA_817):
        choices = ScriptedChoices(lambda _context, choice: -float(len(choice)))
        system = subject()
        measured(task, tmp_path, type(system)("scripted", system.sampler, choices))
        asked[task.name] = choices.asked
    (older,) = asked["truthfulqa_817"]
    assert older.context == f"{PRIMER}\n\nQ: Is it so?\nA:"
    assert older.choices == (" No.", " Yes!", " Perhaps")
    newer, binary = asked["truthfulqa"]
    assert newer.choices == (" No.", " Yes!.", " Perhaps.")
    assert binary.context in (
        "Q: Is it so?\n(A) No.\n(B) Yes!\nA:",
        "Q: Is it so?\n(A) Yes!\n(B) No.\nA:",
    )
    assert binary.choices == (" (A)", " (B)")
    assert PRIMER.startswith("Q: What is human life expectancy in the United States?\nA: Human life")
    assert PRIMER.count("\n\nQ: ") == 5


def test_the_order_of_a_and_b_is_drawn_from_seed_and_question() -> None:
    def place(number: int, seed: int) -> int:
        question = TruthfulQuestion(
            id="1", question=f"{number}?", best="b", best_against=("w",), true=("b",), false=("w",), binary=("b", "w")
        )
        return binary_question(question, seed)[1]

    first, again, other = ([place(number, seed) for number in range(400)] for seed in (0, 0, 1))
    assert first == again != other
    assert 160 < sum(first) < 240
    with pytest.raises(ValueError, match="no binary form"):
        binary_question(TruthfulQuestion(id="1", question="?", best="b", best_against=(), true=(), false=()), 0)


def test_a_question_that_is_too_long_is_unknown_in_every_form(tmp_path: Path) -> None:
    write_json(tmp_path / FILE, [BY_HAND[0], row("This is too long?", "No", ["Yes"], ["No"], ["Yes"])])
    figures, items = measured(TRUTHFULQA, tmp_path, subject(likely))
    for form in ("mc0", "mc1", "mc2", "mc3"):
        assert (figures[f"truthfulqa_{form}"].n, figures[f"truthfulqa_{form}"].unknown) == (2, 1)
        assert items[f"truthfulqa_{form}", "2"].reason == "takes 9 tokens, more than 8"


def synthetic(shuffled: bool) -> list[dict[str, Any]]:
    """300 questions of which `True n` is the right one of four; shuffled, the labels go to any of them."""
    draw = random.Random(0)
    rows = []
    for number in range(300):
        answers = [f"{kind} {number}" for kind in ("True", "False", "Wrong", "Never")]
        if shuffled:
            draw.shuffle(answers)
        best, *rest = answers
        rows.append(row(f"{number}?", best, rest, [best], rest))
    return rows


def knows(_context: str, choice: str) -> float:
    """A model that finds `True …` by far the likeliest, and letters all alike but for a whim."""
    if choice in (" (A)", " (B)"):
        lines = _context.splitlines()
        shown = lines[1] if choice == " (A)" else lines[2]
        return 0.0 if "True" in shown else -50.0
    return 0.0 if "True" in choice else -50.0


@pytest.mark.parametrize("shuffled", [False, True])
def test_a_model_that_knows_scores_one_and_under_shuffled_labels_chance(tmp_path: Path, shuffled: bool) -> None:
    write_json(tmp_path / FILE, synthetic(shuffled))
    figures, _ = measured(TRUTHFULQA, tmp_path, subject(knows))
    for form in ("mc1", "mc2", "mc3"):
        value = figures[f"truthfulqa_{form}"].value
        assert value == (pytest.approx(0.25, abs=0.08) if shuffled else pytest.approx(1.0))
    # Half of the shuffled pairs hold no true answer, and then both letters are alike: a tie is no win.
    assert figures["truthfulqa_mc0"].value == (pytest.approx(0.25, abs=0.08) if shuffled else 1.0)


def test_the_real_files(shared_data: Path) -> None:
    """Whole: 790 and 817 questions, none of them bad. Their chance, from the number of choices, is what is written."""
    for task, edition, count in ((TRUTHFULQA, EDITION_2025, 790), (TRUTHFULQA_817, EDITION_817, 817)):
        loaded = task.read(shared_data)
        assert (len(loaded.rows), loaded.bad) == (count, [])
        items = list(task.run(subject(lambda *_: -1.0), loaded.rows, TaskSettings()))
        mc2 = [item.value for item in items if item.task == f"{edition.name}_mc2" and item.value is not None]
        mc1 = [1 / (1 + len(row.best_against)) for row in loaded.rows]
        assert f"MC1 {sum(mc1) / count:.3f}".replace("0.", ".") in task.chance
        assert f"MC2 {sum(mc2) / count:.3f}".replace("0.", ".") in task.chance
        assert all(row.binary is not None for row in loaded.rows) == ("mc0" in edition.forms)


def test_the_real_files_in_the_harnesss_own_order(shared_data: Path) -> None:
    """What is scored of a question are the harness's choices, each behind one space."""
    path = shared_data / "truthfulqa" / "hf_multiple_choice_817.json"
    plain = json.loads(path.read_text(encoding="utf-8"))
    for found, expected in zip(TRUTHFULQA_817.read(shared_data).rows, plain, strict=True):
        choices = {f" {choice}" for form in ("mc1", "mc2") for choice in expected[f"{form}_targets"]["choices"]}
        assert set(EDITION_817.question(found).choices) == choices


def bad(changes: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in {**BY_HAND[0], **changes}.items() if value is not None}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"question": ""}, "'question' is missing or empty"),
        ({"mc1_targets": None}, "'mc1_targets' is missing or empty"),
        ({"mc0_targets": None}, "'mc0_targets' is missing or empty"),
        ({"mc1_targets": {"a": 1, "b": 1, "c": 0}}, "'mc1_targets' marks 2 answers as right; one is expected"),
        ({"mc1_targets": {"a": 2, "b": 0}}, "'mc1_targets' holds a label that is neither 0 nor 1"),
        ({"mc2_targets": {"a": 1}}, "'mc2_targets' needs a right and a wrong answer"),
        ({"mc2_targets": ["a"]}, "'mc2_targets' must be an object of answers and labels"),
        ({"mc2_targets": {"choices": ["a"], "labels": [1, 0]}}, "'mc2_targets' must have as many labels as choices"),
        ({"mc2_targets": {"choices": ["a", 2], "labels": [1, 0]}}, "'mc2_targets' holds an answer that is no text"),
        ({"mc0_targets": {"a": 1, "b": 0, "c": 0}}, "'mc0_targets' must hold one right and one wrong answer"),
    ],
)
def test_a_row_that_cannot_be_used_is_listed_and_never_guessed(
    tmp_path: Path, changes: dict[str, Any], reason: str
) -> None:
    write_json(tmp_path / FILE, [BY_HAND[0], bad(changes), BY_HAND[1]])
    loaded = TRUTHFULQA.read(tmp_path)
    assert [(one.line, one.reason) for one in loaded.bad] == [(2, reason)]
    assert [one.id for one in loaded.rows] == ["1", "3"]


def test_items_have_the_question_as_their_prompt(tmp_path: Path) -> None:
    write_json(tmp_path / FILE, BY_HAND)
    _, items = measured(TRUTHFULQA, tmp_path, subject(likely))
    first: ItemResult = items["truthfulqa_mc2", "1"]
    assert (first.prompt, first.cluster) == ("What falls?", "1")
