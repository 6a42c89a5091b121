"""The report of a reward model: what is counted, by what, and what stays unknown."""

import math

import pytest

from truing.core.records import Comparison, Message
from truing.evals.reward import ScoredPair, items_of, report, scored_pair


def pairs(margins: list[float], topics: list[str] | None = None, sources: list[str] | None = None) -> list[ScoredPair]:
    return [
        ScoredPair(
            id=f"r{number}",
            topic=topics[number] if topics else f"r{number}",
            source=sources[number] if sources else "",
            chosen=margin,
            rejected=0.0,
            chosen_length=5 + number % 3,
            rejected_length=6,
        )
        for number, margin in enumerate(margins)
    ]


def test_accuracy_counts_equal_rewards_half_and_temperature_is_the_log_odds() -> None:
    found = report(pairs([2.0] * 3 + [-2.0] + [0.0]))
    assert (found.pairs, found.accuracy.mean) == (5, 0.7)
    assert found.accuracy.low < 0.7 < found.accuracy.high
    assert found.temperature == pytest.approx(2 / math.log(3))
    assert sum(one.accuracy.n for one in found.bins) == 5
    assert found.length.chosen_longer.n + found.length.chosen_shorter.n + found.length.equal.n == 5
    assert [item.value for item in items_of(pairs([1.0, -1.0, 0.0]))] == [1.0, 0.0, 0.5]


def test_rows_of_one_topic_are_no_independent_evidence() -> None:
    margins = [1.0] * 30 + [-1.0] * 20
    alone = report(pairs(margins)).accuracy
    together = report(pairs(margins, [f"t{number // 10}" for number in range(50)])).accuracy
    assert together.mean == alone.mean
    assert together.low < alone.low - 0.05


def test_sources_are_told_apart_where_there_are_several() -> None:
    found = report(pairs([1.0, -1.0, 1.0], sources=["a", "a", "b"]))
    assert {name: (one.right, one.n) for name, one in found.by_source.items()} == {"a": (1, 2), "b": (1, 1)}
    assert report(pairs([1.0])).by_source == {}
    row = Comparison(id="x", prompt=(Message(role="user", content="?"),), chosen="a", rejected="b", origin="page")
    assert scored_pair(row, 1.0, 0.0, 3, 4).source == "page"
    assert scored_pair(row.model_copy(update={"group": "g"}), 1.0, 0.0, 3, 4).source == "g"
    assert scored_pair(row, 1.0, 0.0, 3, 4).topic == "x"


@pytest.mark.parametrize("margins", [[], [1.0, 2.0], [-1.0]])
def test_what_the_pairs_do_not_say_is_unknown(margins: list[float]) -> None:
    found = report(pairs(margins))
    assert found.temperature is found.calibration_error is None
    assert found.bins == ()
    assert (found.accuracy.mean is None) == (not margins)
