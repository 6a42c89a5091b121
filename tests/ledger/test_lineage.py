"""Trace follows parents; diff names exactly the assumption that changed; verify finds one flipped byte anywhere."""

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.ledger.conftest import Make, weights
from truing.ledger.artifacts import Artifact, Parent
from truing.ledger.ledger import Ledger
from truing.ledger.lineage import diff, trace, verify


def of(role: str, artifact: Artifact) -> Parent:
    return Parent(role=role, artifact=artifact.id)


@pytest.fixture
def chain(make: Make) -> Callable[..., Artifact]:
    """dataset → adapter → evaluation, with one assumption to change in each."""

    def build(rows: str = "rows", lr: Any = 0.1, seed: int = 0, score: float | None = 0.5) -> Artifact:
        data = make(rows, kind="dataset", name="data")
        adapter = make(
            f"{rows}{lr}{seed}", config={"sft": {"lr": lr}, "seed": 0}, seed=seed, parents=[of("data", data)]
        )
        return make(
            f"{adapter.id}", kind="evaluation", parents=[of("adapter", adapter), of("data", data)], metrics={"x": score}
        )

    return build


def named(found: Any) -> list[str]:
    return [change.where for change in found]


def test_trace_is_the_tree_of_parents_with_their_roles(ledger: Ledger, chain: Callable[..., Artifact]) -> None:
    node = trace(ledger, chain())
    assert [(parent.role, parent.artifact.kind) for parent in node.parents] == [
        ("adapter", "adapter"),
        ("data", "dataset"),
    ]
    assert node.parents[0].parents[0].artifact == node.parents[1].artifact


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


def test_a_whole_ledger_has_no_problems(ledger: Ledger, chain: Callable[..., Artifact]) -> None:
    assert verify(ledger) == []
    chain()
    assert verify(ledger) == []


def test_verify_finds_any_flipped_byte_and_names_the_artifact(ledger: Ledger, make: Make) -> None:
    artifact, whole = make("some text", metrics={"x": 1e-05}), make("another")
    for path in (weights(ledger, artifact), ledger.folder(artifact) / "manifest.json"):
        content = path.read_bytes()
        for place in range(0, len(content), 7):
            path.write_bytes(content[:place] + bytes([content[place] ^ 0x20]) + content[place + 1 :])
            problems = verify(ledger)
            assert {problem.artifact for problem in problems} == {artifact.id}, (path.name, place)
        path.write_bytes(content)
        assert verify(ledger) == []
    manifest = ledger.folder(artifact) / "manifest.json"
    manifest.write_bytes(manifest.read_bytes().replace(b"1e-05", b"1E-05"))  # the same number, other bytes
    assert [problem.what for problem in verify(ledger)] == ["its manifest does not match its id"]
    assert whole.id not in {problem.artifact for problem in verify(ledger)}


def _remove_folder(ledger: Ledger, artifact: Artifact) -> None:
    ledger.folder(artifact).rename(ledger.root / "away")


def _forget(ledger: Ledger, artifact: Artifact) -> None:
    _sql(ledger.root, "DELETE FROM artifacts WHERE id = ?", artifact.id)


def _garble(ledger: Ledger, artifact: Artifact) -> None:
    _sql(ledger.root, "UPDATE artifacts SET record = '{' WHERE id = ?", artifact.id)


def _rewrite(ledger: Ledger, artifact: Artifact) -> None:
    _sql(
        ledger.root,
        """UPDATE artifacts SET record = replace(record, '"seed":0', '"seed":1') WHERE id = ?""",
        artifact.id,
    )


def _misfile(ledger: Ledger, artifact: Artifact) -> None:
    _sql(ledger.root, "UPDATE artifacts SET key = 'another' WHERE id = ?", artifact.id)


def _add_file(ledger: Ledger, artifact: Artifact) -> None:
    (ledger.folder(artifact) / "extra").write_text("")


def _remove_file(ledger: Ledger, artifact: Artifact) -> None:
    weights(ledger, artifact).unlink()


def _sql(root: Path, statement: str, *values: str) -> None:
    connection = sqlite3.connect(root / "ledger.sqlite")
    assert connection.execute(statement, values).rowcount == 1
    connection.commit()
    connection.close()


@pytest.mark.parametrize(
    ("damage", "what"),
    [
        (_remove_folder, "folder is missing"),
        (_forget, "the index does not know it"),
        (_garble, "record of it cannot be read"),
        (_rewrite, "record of it does not match its id"),
        (_misfile, "columns contradict its record"),
        (_add_file, "extra does not belong to it"),
        (_remove_file, "weights.txt is missing"),
    ],
)
def test_verify_names_each_kind_of_damage_and_does_not_stop_at_it(
    ledger: Ledger, make: Make, damage: Callable[[Ledger, Artifact], None], what: str
) -> None:
    artifact = make("one")
    make("two")
    damage(ledger, artifact)
    (problem,) = verify(ledger)
    assert problem.artifact == artifact.id
    assert what in problem.what


def test_verify_names_a_child_whose_parent_is_gone(ledger: Ledger, make: Make) -> None:
    parent = make("parent")
    child = make("child", parents=[of("data", parent)])
    _remove_folder(ledger, parent)
    _forget(ledger, parent)
    (problem,) = verify(ledger)
    assert problem.artifact == child.id
    assert problem.what == f"its parent {parent.short} (data) is missing"


def test_verify_reports_a_damaged_database_as_a_problem(ledger: Ledger, make: Make) -> None:
    for number in range(40):
        make(str(number))
    path = ledger.root / "ledger.sqlite"
    content = bytearray(path.read_bytes())
    content[8192 : 8192 + 4096 * 4] = b"\xff" * (4096 * 4)
    path.write_bytes(content)
    assert any("the database is damaged" in problem.what for problem in verify(ledger))


def test_verify_asks_the_database_for_its_own_integrity(ledger: Ledger, make: Make) -> None:
    """An index entry that contradicts its table reads without any error: only the integrity check notices."""
    make(name="zebra")
    path = ledger.root / "ledger.sqlite"
    content = path.read_bytes()
    pages = [content[start : start + 4096] for start in range(0, len(content), 4096)]
    (index,) = (number for number, page in enumerate(pages) if b"zebra" in page and b'"name":"zebra"' not in page)
    pages[index] = pages[index].replace(b"zebra", b"zebrb")
    path.write_bytes(b"".join(pages))
    assert any("the database is damaged" in problem.what for problem in verify(ledger))
