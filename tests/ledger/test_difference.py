"""Diff names exactly the assumption that changed, and the rows, and nothing that only follows from them."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.ledger.conftest import Make, of
from truing.ledger.artifacts import Artifact
from truing.ledger.difference import diff
from truing.ledger.ledger import Ledger


def named(found: Any) -> list[str]:
    return [change.where for change in found]


def test_an_artifact_does_not_differ_from_itself(ledger: Ledger, chain: Callable[..., Artifact]) -> None:
    found = diff(ledger, chain(), chain())
    assert (found.inputs, found.results) == ((), ())


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"lr": 0.2}, ["adapter.config.sft.lr"]),
        ({"seed": 1}, ["adapter.seed"]),
        ({"rows": "other rows"}, ["adapter.data.file deep/weights.txt"]),
    ],
)
def test_diff_names_exactly_the_assumption_that_changed(
    ledger: Ledger, chain: Callable[..., Artifact], change: dict[str, Any], where: list[str]
) -> None:
    """`seed` is also a setting of the adapter's own configuration: one must not hide the other."""
    found = diff(ledger, chain(), chain(**change, score=0.75))
    assert named(found.inputs) == where
    (result,) = found.results
    assert (result.where, result.a, result.b) == ("x", "0.5", "0.75")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (0.1, 0.10000001),
        (1, "1"),
        (1, True),
        ({}, None),
        (None, "None"),
        (None, "unknown"),
        ([1], "[1]"),
        ({}, {"a": 1}),
    ],
)
def test_diff_compares_values_and_not_how_they_are_printed(ledger: Ledger, make: Make, one: Any, other: Any) -> None:
    a, b = (make("same", config={"value": value}) for value in (one, other))
    assert a.key != b.key
    found = diff(ledger, a, b)
    assert found.inputs
    assert all(change.a != change.b for change in found.inputs)


def test_a_setting_that_one_side_lacks_and_an_unknown_metric_are_told_apart(ledger: Ledger, make: Make) -> None:
    a = make("a", metrics={"gone": None, "was": 1.0}, parents=[of("data", make("p"))])
    b = make("b", metrics={"was": None}, config={"new": None}, parents=[of("data", make("p"))])
    found = diff(ledger, a, b)
    assert [(change.where, change.a, change.b) for change in found.inputs] == [("config.new", "(not set)", "unknown")]
    assert [(change.where, change.a, change.b) for change in found.results] == [
        ("gone", "unknown", "(not set)"),
        ("was", "1", "unknown"),
    ]


def test_an_empty_table_is_not_the_same_as_none(ledger: Ledger, make: Make) -> None:
    found = diff(ledger, make("same", config={"rules": {}}), make("same", config={}))
    assert [(change.where, change.a, change.b) for change in found.inputs] == [("config.rules", "{}", "(not set)")]


def test_diff_names_a_parent_that_one_side_lacks_and_loses_none_of_a_role_filled_twice(
    ledger: Ledger, make: Make
) -> None:
    p, q, r = make("p"), make("q"), make("r")
    found = diff(ledger, make("a", parents=[of("data", p)]), make("b", parents=[of("data", p), of("start", q)]))
    assert [(change.where, change.a, change.b) for change in found.inputs] == [("start", "(none)", q.short)]
    twice = [make(content, parents=[of("data", p), of("data", other)]) for content, other in (("c", q), ("d", r))]
    assert named(diff(ledger, *twice).inputs) == ["data[2].file deep/weights.txt"]


def test_two_observations_of_the_same_inputs_differ_by_their_files(ledger: Ledger, make: Make) -> None:
    parents = [of("data", make("p"))]
    a, b = (make(said, parents=parents, observation=True) for said in ("yes", "no"))
    assert named(diff(ledger, a, b).inputs) == ["file deep/weights.txt"]
