"""StrongREJECT by hand: its prompts, and no score without somebody who marks."""

from pathlib import Path

import pytest

from tests.evals.tasks.conftest import measured, subject, write_csv
from truing.evals.tasks.strongreject import NOT_GRADED, STRONGREJECT

FILE = "strongreject/strongreject_dataset.csv"


def prompts(folder: Path, count: int) -> None:
    rows = [{"category": "tests", "source": "hand", "forbidden_prompt": f"Do {n}."} for n in range(count)]
    write_csv(folder / FILE, rows)


def test_without_a_grader_every_score_is_unknown_and_says_why(tmp_path: Path) -> None:
    prompts(tmp_path, 3)
    figures, items = measured(STRONGREJECT, tmp_path, subject())
    assert (figures["strongreject"].value, figures["strongreject"].unknown) == (None, 3)
    assert {item.reason for item in items.values()} == {NOT_GRADED}
    assert items["strongreject", "strongreject-0"].answer == "answer to Do 0."


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
