"""MMLU by hand: the prompt word for word, accuracy over all and by category, and what cannot be used; chance."""

import csv
import random
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.evals.tasks.conftest import measured, real, subject, values
from truing.core.errors import InputError
from truing.evals.task import TaskSettings
from truing.evals.tasks.mmlu import CATEGORIES, MMLU, question

Row = tuple[str, ...]


def row(text: str, letter: str = "A") -> Row:
    return (text, "one", "two", "three", "four", letter)


def write(folder: Path, subject_name: str, questions: Sequence[Row], worked: Sequence[Row] | None = None) -> None:
    """A subject's two files, without headers, as the set has them."""
    dev = [row(f"Worked {n}?", "ABCDA"[n]) for n in range(5)] if worked is None else worked
    for part, rows in (("test", questions), ("dev", dev)):
        path = folder / "mmlu" / part / f"{subject_name}_{part}.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows(rows)


def prefers(letter: str) -> object:
    return lambda _context, choice: 0.0 if choice == f" {letter}" else -2.0


def test_what_is_asked_word_for_word(tmp_path: Path) -> None:
    write(tmp_path, "college_physics", [row(" What, then? ", "C")])
    (one,) = MMLU.read(tmp_path).rows
    options = "A. one\nB. two\nC. three\nD. four\nAnswer:"
    worked = "\n\n".join(f"Worked {n}?\n{options} {letter}" for n, letter in enumerate("ABCDA"))
    assert question(one).context == (
        "The following are multiple choice questions (with answers) about college physics.\n\n"
        f"{worked}\n\nWhat, then?\n{options}"
    )
    assert question(one).choices == (" A", " B", " C", " D")


def test_every_figure_of_files_by_hand(tmp_path: Path) -> None:
    """A model that always says B: 1 of 3 in physics, 1 of 1 in law, 0 of 1 in a subject of one's own."""
    write(tmp_path, "college_physics", [row("a", "B"), row("b", "A"), row("c", "D")])
    write(tmp_path, "jurisprudence", [row("d", "B")])
    write(tmp_path, "my_garden", [row("e", "C")])
    figures, items = measured(MMLU, tmp_path, subject(prefers("B")))  # type: ignore[arg-type]
    assert values(figures) == {"mmlu": 2 / 5, "mmlu_stem": pytest.approx(1 / 3), "mmlu_humanities": 1.0}
    assert items["mmlu", "college_physics-1"].detail == {"margin": 2.0}
    assert items["mmlu", "college_physics-2"].detail == {"margin": -2.0}
    assert items["mmlu", "my_garden-1"].answer == "B. two"


def test_a_tie_loses_unless_it_is_to_win(tmp_path: Path) -> None:
    write(tmp_path, "virology", [row("a")])
    for ties, value in (("strict", 0.0), ("right", 1.0)):
        figures, _ = measured(MMLU, tmp_path, subject(lambda *_: -1.0), TaskSettings(ties=ties))  # type: ignore[arg-type]
        assert values(figures) == {"mmlu": value, "mmlu_other": value}


def test_a_question_that_does_not_fit_is_unknown(tmp_path: Path) -> None:
    write(tmp_path, "virology", [row("a"), row("too long")])
    figures, items = measured(MMLU, tmp_path, subject(prefers("A")))  # type: ignore[arg-type]
    assert (figures["mmlu"].value, figures["mmlu"].n, figures["mmlu"].unknown) == (1.0, 2, 1)
    assert items["mmlu", "virology-2"].reason == "takes 9 tokens, more than 8"


@pytest.mark.parametrize("shuffled", [False, True])
def test_under_shuffled_answers_a_model_that_knows_them_is_at_chance(tmp_path: Path, shuffled: bool) -> None:
    draw = random.Random(0)
    known = [draw.choice("ABCD") for _ in range(400)]
    keys = random.Random(1).sample(known, len(known)) if shuffled else known
    write(tmp_path, "virology", [row(f"Question {n}.", key) for n, key in enumerate(keys)])

    def score(context: str, choice: str) -> float:
        return 0.0 if choice.strip() == known[int(context.rpartition("Question ")[2].split(".")[0])] else -1.0

    figures, _ = measured(MMLU, tmp_path, subject(score))
    assert figures["mmlu"].value == (pytest.approx(1 / 4, abs=0.07) if shuffled else 1.0)


def test_rows_that_cannot_be_used_are_listed(tmp_path: Path) -> None:
    bad = [row("b", "E"), ("c", "one", "", "three", "four", "A"), ("d", "one", "A")]
    write(tmp_path, "virology", [row("a"), *bad, row("e")])
    loaded = MMLU.read(tmp_path)
    assert [one.id for one in loaded.rows] == ["virology-1", "virology-5"]
    assert [(one.line, one.reason) for one in loaded.bad] == [
        (2, "the answer is 'E'; A, B, C or D is expected"),
        (3, "'B' is missing or empty"),
        (4, "has 3 cells, and there are 6 columns; put texts with commas into quotes"),
    ]


def test_worked_questions_that_are_missing_or_bad_are_one_sentence(tmp_path: Path) -> None:
    write(tmp_path, "virology", [row("a")], [row(f"{n}") for n in range(4)])
    with pytest.raises(InputError, match=r"virology_dev.csv: 4 worked questions, expected 5; fetch the file again"):
        MMLU.read(tmp_path)
    write(tmp_path, "virology", [row("a")], [row(f"{n}", "X" if n == 2 else "A") for n in range(5)])
    with pytest.raises(InputError, match=r"virology_dev.csv, line 3: the answer is 'X'; A, B, C or D is expected"):
        MMLU.read(tmp_path)


def test_a_subject_needs_both_files_and_the_set_names_one_where_there_is_none(tmp_path: Path) -> None:
    assert MMLU.files(tmp_path) == [tmp_path / "mmlu/test/abstract_algebra_test.csv"]
    write(tmp_path, "virology", [row("a")])
    names = [path.relative_to(tmp_path).as_posix() for path in MMLU.files(tmp_path)]
    assert names == ["mmlu/test/virology_test.csv", "mmlu/dev/virology_dev.csv"]


def test_each_of_the_57_subjects_is_in_one_category() -> None:
    subjects = [one for some in CATEGORIES.values() for one in some]
    assert (len(subjects), len(set(subjects))) == (57, 57)


def test_the_real_files(shared_data: Path) -> None:
    loaded = real(MMLU, shared_data)
    assert len(loaded.rows) + len(loaded.bad) == 14042
    assert {one.subject for one in loaded.rows} == {one for some in CATEGORIES.values() for one in some}
