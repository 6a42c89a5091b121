"""Training a judge on a tiny trunk from made-up labels, and holding it against the very rows it learned from."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from truing.cli.run import execute, prepare
from truing.core.errors import InputError
from truing.data.labelled import XSTEST, XSTEST_MODELS
from truing.judges.agreement import Validation
from truing.judges.trained import read_held_out, read_settings
from truing.ledger.artifacts import Artifact
from truing.loops.judges import open_trained
from truing.loops.validation import validate_named
from truing.loops.verbs.judge import read_table

FAST = {"verb": "judge", "question": "refusal", "answer_tokens": 8, "layers": (1,), "penalties": (1.0,)}
LABELS = {True: "2_full_refusal", False: "1_full_compliance"}


def write(folder: Path, seed: int = 0, told: bool = True) -> Path:
    """Three models' answers to 15 prompts. `told`: the label can be read off the answer (not by the strings)."""
    random = np.random.default_rng(seed)
    (folder / "xstest").mkdir(parents=True)
    for model in XSTEST_MODELS:
        with (folder / "xstest" / f"completions_{model}.csv").open("w", newline="") as file:
            out = csv.writer(file)
            out.writerow(["id", "type", "prompt", "completion", "annotation_1", "annotation_2", "final_label"])
            for n in range(15):
                refuses = bool(random.random() < 0.5)
                word = "zzzz" if (refuses if told else random.random() < 0.5) else "AAAA"
                label = LABELS[refuses]
                out.writerow([f"v{n}", "homonyms", f"Q{n}?", f"{word} it is {n}", label, label, label])
    return folder


def train(here: Path, folder: Path, tiny: Path) -> tuple[Artifact, Path]:
    values = {"name": "j", "model": {"name": str(tiny)}, "mine": FAST}
    recipe, prepared = prepare(values, "test", here / "ledger", folder)
    made = execute(recipe, prepared, Console(stderr=True), quiet=True)["mine"].artifact
    return made, prepared.ledger.folder(made)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Path) -> tuple[Path, Path, Path]:
    here = tmp_path_factory.mktemp("trained")
    data = write(here / "data")
    return here, data, train(here, data, tiny_folder)[1]


def test_the_table_holds_the_judge_against_strings_words_and_states(trained: tuple[Path, Path, Path]) -> None:
    table = {row.judge: row for row in read_table(trained[2])}
    assert list(table) == ["strings", "words", "words it reads", "states", "judge"]
    assert table["strings"].sensitivity.value == 0.0, "no pattern stands in these answers"
    assert table["words"].agreement.value == 1.0
    assert (table["judge"].agreement.value or 0) > 0.9
    settings = read_settings(trained[2])
    assert settings.accuracy == table["judge"].accuracy
    assert settings.sources == tuple(sorted(XSTEST_MODELS))


def whole(generator: object) -> Validation:
    while True:
        try:
            next(generator)  # type: ignore[call-overload]
        except StopIteration as end:
            found: Validation = end.value
            return found


def test_validation_on_its_own_rows_is_by_the_fits_that_had_not_seen_them(trained: tuple[Path, Path, Path]) -> None:
    here, data, folder = trained
    found = whole(validate_named(open_trained("mine", here / "ledger"), XSTEST, data))
    assert found.whole.accuracy.hits == read_settings(folder).accuracy.hits
    assert found.note.startswith("45 of 45 answers were learned from")
    assert found.made_on == ("gpt4", "mistralinstruct"), "the strings that it reads were chosen on these"


def test_a_row_that_changed_is_judged_anew(trained: tuple[Path, Path, Path], tmp_path: Path) -> None:
    here, data, _ = trained
    changed = tmp_path / "data"
    (changed / "xstest").mkdir(parents=True)
    for model in XSTEST_MODELS:
        text = (data / "xstest" / f"completions_{model}.csv").read_text()
        (changed / "xstest" / f"completions_{model}.csv").write_text(text.replace("Q3?", "Q33?"))
    found = whole(validate_named(open_trained("mine", here / "ledger"), XSTEST, changed))
    assert found.note.startswith("42 of 45")


def test_labels_that_cannot_be_told_are_not_learned(tmp_path: Path, tiny_folder: Path) -> None:
    """The negative control: with labels by a coin, held-out agreement is that of a coin, for every method."""
    _, folder = train(tmp_path, write(tmp_path / "data", seed=3, told=False), tiny_folder)
    for row in read_table(folder)[1:]:
        assert 0.25 < (row.agreement.value or 0) < 0.75
    assert len(read_held_out(folder)) == 45


def test_one_that_is_no_judge_is_named(trained: tuple[Path, Path, Path], tmp_path: Path, tiny_folder: Path) -> None:
    with pytest.raises(InputError, match="there is no judge 'mined'"):
        open_trained("mined", trained[0] / "ledger")
    values = {"name": "j", "model": {"name": str(tiny_folder)}, "mine": FAST}
    with pytest.raises(InputError, match="a judge of refusal learns from XSTest's completions: put DIR/xstest"):
        prepare(values, "test", tmp_path / "ledger", None)
    assert json.loads((trained[2] / "judge.json").read_text())["set"] == "xstest"
