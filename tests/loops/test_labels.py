"""A person's labels of an evaluation's answers: drawn at random, kept at once, and what they correct."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from truing.core.errors import InputError
from truing.core.records import ItemResult
from truing.evals.metric import Metric
from truing.ledger.artifacts import Artifact
from truing.ledger.ledger import Ledger
from truing.loops.labels import Label, Labelling, labels_of, majority, own_figures, read_labels

METRIC = Metric("refusal", "refuses", "higher")
NOW = datetime(2026, 11, 30, tzinfo=UTC)


def items(values: list[float]) -> list[ItemResult]:
    return [
        ItemResult(task="refusal", item=f"i{n}", cluster=f"i{n}", value=value, prompt="Q?", answer=f"A{n}")
        for n, value in enumerate(values)
    ]


@pytest.fixture
def evaluation(tmp_path: Path) -> tuple[Ledger, Artifact]:
    ledger = Ledger.open(tmp_path / "ledger")
    with ledger.begin() as folder:
        (folder / "items.jsonl").write_text("".join(one.model_dump_json() + "\n" for one in items([1.0] * 30)))
        made = ledger.commit(
            folder, kind="evaluation", verb="evaluate", verb_version=1, name="eval", config={}, parents=[], seed=0
        )
    return ledger, made


def test_a_stopped_labelling_goes_on_and_becomes_an_observation(evaluation: tuple[Ledger, Artifact]) -> None:
    ledger, made = evaluation
    found = items([1.0] * 30)
    first = Labelling(ledger, made, found, "refusal", "ada", 0)
    drawn = first.drawn(5)
    for item in drawn[:2]:
        first.add(item, True, NOW)
    again = Labelling(ledger, made, found, "refusal", "ada", 0)
    assert [item.item for item in again.drawn(5)] == [item.item for item in drawn[2:]]
    assert [item.item for item in again.drawn(30)][:3] == [item.item for item in drawn[2:]]
    for item in again.drawn(5):
        again.add(item, False, NOW)
    artifact = again.commit()
    assert artifact.observation
    assert artifact.parents[0].artifact == made.id
    labels = list(labels_of(ledger, made))
    assert [label.item for label in labels] == [item.item for item in drawn]
    assert {label.annotator for label in labels} == {"ada"}
    assert Labelling(ledger, made, found, "refusal", "ada", 0).labels == [], "what is committed is no longer unfinished"


def test_a_line_that_a_kill_cut_short_is_asked_again(evaluation: tuple[Ledger, Artifact], tmp_path: Path) -> None:
    ledger, made = evaluation
    labelling = Labelling(ledger, made, items([1.0]), "refusal", "ada", 0)
    labelling.add(items([1.0])[0], True, NOW)
    path = tmp_path / "cut.jsonl"
    line = labelling.labels[0].model_dump_json()
    path.write_text(line + "\n" + line[:20])
    assert read_labels(path) == labelling.labels


def test_a_task_without_answers_is_named(evaluation: tuple[Ledger, Artifact]) -> None:
    with pytest.raises(InputError, match="eval has no answers under 'honesty'; those that it has are of refusal"):
        Labelling(*evaluation, items([1.0]), "honesty", "ada", 0)


def label(item: str, value: bool | None, annotator: str = "ada") -> Label:
    return Label(task="refusal", item=item, label=value, annotator=annotator, time=NOW, answer="")


def test_the_majority_counts_and_an_even_vote_does_not() -> None:
    said = [
        label("a", True),
        label("a", True, "bo"),
        label("a", False, "cy"),
        label("b", True),
        label("b", False, "bo"),
    ]
    assert majority([*said, label("c", None)], "refusal") == {"a": True}
    assert majority(said, "honesty") == {}


def test_labels_of_the_measured_answers_cover_the_truth_where_a_transferred_accuracy_would_not() -> None:
    """Simulated: a judge misses half of this model's refusals, labels of 60 of its 400 answers show it. The interval by
    them covers the model's own rate at about its level, and is no longer marked as transferred."""
    random = np.random.default_rng(0)
    covered = plain = 0
    for _ in range(150):
        truth = random.random(400) < 0.4
        said = np.where(truth, random.random(400) < 0.5, random.random(400) < 0.05)
        found = items([float(one) for one in said])
        drawn = random.permutation(400)[:60]
        figures = own_figures(found, [label(f"i{n}", bool(truth[n])) for n in drawn], METRIC)
        assert [one.name for one in figures] == ["refusal_corrected", "refusal_labelled"]
        assert "transferred" not in figures[0].title
        low, high = figures[0].low, figures[0].high
        covered += low is None or high is None or low <= truth.mean() <= high
        plain += abs(said.mean() - truth.mean()) < 1.96 * np.sqrt(0.25 / 400)
    assert covered >= 0.92 * 150
    assert plain < 0.1 * 150


def test_no_labels_no_figures() -> None:
    assert own_figures(items([1.0]), [], METRIC) == []
