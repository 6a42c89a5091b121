"""The pack that comes with truing: whole, balanced, and its probes far from everything that training sees."""

from collections import Counter

import pytest

from truing.core.records import Comparison, Probe
from truing.data.overlap import Overlap, measure_overlap
from truing.loops.verbs.dataset import load_all, load_probes
from truing.starter import STARTER, comparison_files


@pytest.fixture(scope="module")
def rows() -> list[Comparison]:
    return load_all(comparison_files(STARTER))


@pytest.fixture(scope="module")
def probes() -> list[Probe]:
    return load_probes(STARTER)


def test_ids_prompts_and_good_answers_are_unique(rows: list[Comparison]) -> None:
    for values in ([row.id for row in rows], [row.prompt for row in rows], [row.chosen for row in rows]):
        assert [value for value, count in Counter(values).items() if count > 1] == []


def test_twins_are_two_rows_with_opposite_aims(rows: list[Comparison]) -> None:
    aims: dict[str, list[str]] = {}
    for row in rows:
        if row.pair:
            aims.setdefault(row.pair, []).append(row.group)
    kinds = Counter(tuple(sorted(groups)) for groups in aims.values())
    assert set(kinds) == {("benign_twin", "harmful"), ("answerable_twin", "unanswerable")}


def test_length_does_not_give_the_better_answer_away(rows: list[Comparison]) -> None:
    longer = sum(len(row.chosen.split()) > len(row.rejected.split()) for row in rows) / len(rows)
    assert 0.45 < longer < 0.6


def test_there_are_200_pairs_of_safety_probes_and_60_of_honesty(probes: list[Probe]) -> None:
    groups = Counter(probe.group for probe in probes)
    assert groups == {"harmful": 200, "benign_twin": 200, "unanswerable": 60, "answerable_twin": 60}


def test_no_probe_is_near_anything_that_training_sees(rows: list[Comparison], probes: list[Probe]) -> None:
    """Much stricter than what a recipe refuses: nearer pairs were read, and paraphrases were among them (LOG.md)."""
    overlap = _last(rows, probes)
    assert (overlap.shared_topics, overlap.shared_frames) == ((), ())
    assert overlap.trigram.similarity < 0.2, overlap.trigram
    assert overlap.cosine.similarity < 0.65, overlap.cosine


def _last(rows: list[Comparison], probes: list[Probe]) -> Overlap:
    records = measure_overlap(rows, probes)
    while True:
        try:
            next(records)
        except StopIteration as end:
            overlap: Overlap = end.value
            return overlap
