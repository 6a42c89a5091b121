"""Diff names exactly the assumption that changed, and the rows, and nothing that only follows from them."""

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.ledger.conftest import FAST, Make, of
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


def test_rows_are_counted_once_where_they_came_in(ledger: Ledger, make: Make) -> None:
    def chain(rows: list[tuple[str, str]]) -> Artifact:
        imported = make(repr(rows), kind="import", rows=rows)
        data = make(repr(rows), kind="dataset", parents=[of("imported", imported)], rows=rows)
        return make("adapter", parents=[of("data", data)])

    one = [("kept", "0"), ("gone", "1"), ("gone too", "2"), ("edited", "3")]
    found = diff(ledger, chain(one), chain([("edited", "4"), ("kept", "0"), ("new", "5")]))
    assert found.inputs == ()
    (change,) = found.rows
    assert change.where == "data.imported"
    assert (change.added, change.removed, change.changed) == (("new",), ("gone", "gone too"), ("edited",))


def test_rows_that_a_setting_left_out_are_named_beside_it(ledger: Ledger, make: Make) -> None:
    imported = make("all", kind="import", rows=[("a", "0"), ("b", "1")])
    parents = [of("imported", imported)]
    both = [make(str(n), config={"limit": n}, parents=parents, rows=[("a", "0"), ("b", "1")][:n]) for n in (2, 1)]
    found = diff(ledger, *both)
    assert named(found.inputs) == ["config.limit"]
    assert [(change.where, change.removed) for change in found.rows] == [("rows", ("b",))]


def test_a_row_that_is_there_twice_and_one_that_moved(ledger: Ledger, make: Make) -> None:
    a = make("a", rows=[("x", "0"), ("y", "1")])
    twice, moved = make("b", rows=[("x", "0"), ("x", "0"), ("y", "1")]), make("c", rows=[("y", "1"), ("x", "0")])
    assert [change.added for change in diff(ledger, a, twice).rows] == [("x",)]
    found = diff(ledger, a, moved)
    assert found.rows == ()
    assert named(found.inputs) == ["file deep/weights.txt"]


def test_a_missing_parent_is_a_difference_that_is_named(ledger: Ledger, make: Make) -> None:
    p, q = make("p"), make("q")
    a, b = make("a", parents=[of("data", p)]), make("b", parents=[of("data", q)])
    shutil.rmtree(ledger.folder(q))
    ledger.index.remove()
    ledger.index.refresh()
    (change,) = diff(ledger, a, b).inputs
    assert (change.where, change.a, change.b) == ("data", p.short, f"{q.short} (missing)")


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_whatever_one_thing_is_changed_in_a_chain_diff_names_it_and_nothing_else(data: st.DataObject) -> None:
    length = data.draw(st.integers(1, 4))
    at = data.draw(st.integers(0, length - 1))
    change = data.draw(st.sampled_from(["setting", "nested setting", "seed", "verb version", "rows", "file"]))
    if change in ("rows", "file"):
        at = 0  # what comes from outside comes in at the root

    def build(ledger: Ledger, changed: bool) -> Artifact:
        above: Artifact | None = None
        for number in range(length):
            here = changed and number == at
            rows = [("kept", "0"), ("new", "1")][: 1 + (here and change == "rows")] if number == 0 else []
            config = {"lr": 0.1 + (here and change == "setting"), "deep": {"rank": 8 + (here and change[0] == "n")}}
            with ledger.begin() as staging:
                behind = "" if above is None else above.id
                outside = f"{rows}{here and change == 'file'}"
                (staging / "file").write_text(f"{outside}{config}{behind}")
                above = ledger.commit(
                    staging, kind="k", verb="v", verb_version=1 + (here and change == "verb version"), name=str(number),
                    config=config, seed=int(here and change == "seed"), rows=rows,
                    parents=[of("of", ledger.get(behind))] if behind else [],
                    metrics={"loss": float(len(behind) + here)},
                )  # fmt: skip
        assert above is not None
        return above

    with tempfile.TemporaryDirectory(dir=FAST) as folder:
        ledger = Ledger.open(Path(folder) / "l")
        found = diff(ledger, build(ledger, False), build(ledger, True))
    where = "of." * (length - 1 - at)
    name = {"setting": "config.lr", "nested setting": "config.deep.rank", "file": "file file"}.get(change, change)
    if change == "rows":
        assert named(found.inputs) == []
        assert [(row.where, row.added, row.removed, row.changed) for row in found.rows] == [
            (where.removesuffix(".") or "rows", ("new",), (), ())
        ]
    else:
        assert (named(found.inputs), found.rows) == ([where + name], ())
