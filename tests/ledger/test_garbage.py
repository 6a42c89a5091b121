"""Garbage collection never takes what is reachable, takes nothing by default that could be missed, and works alone."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.ledger.conftest import FAST, Make, of
from truing.core.errors import RunError
from truing.ledger.artifacts import Artifact
from truing.ledger.garbage import FINISHED, LEFTOVER, UNFINISHED, UNREACHABLE, UNUSED, collect
from truing.ledger.integrity import verify
from truing.ledger.ledger import Ledger


def commit(ledger: Ledger, name: str, parents: list[Artifact], stores: str | None = None) -> Artifact:
    with ledger.begin() as staging:
        (staging / "file").write_text(name)
        if stores is not None:
            ledger.store.put(stores, stores.encode())
        roles = [of(str(number), parent) for number, parent in enumerate(parents)]
        return ledger.commit(
            staging, kind="k", verb="v", verb_version=1, name=name, config={"n": name}, parents=roles, seed=0
        )


@settings(max_examples=12, deadline=None)
@given(data=st.data(), size=st.integers(1, 7))
def test_exactly_what_is_unreachable_goes(data: st.DataObject, size: int) -> None:
    """Against reachability computed the other way round: as the transitive closure of the parents' relation."""
    links = [data.draw(st.sets(st.integers(0, number - 1), max_size=3)) if number else set() for number in range(size)]
    wanted = data.draw(st.sets(st.integers(0, size - 1), min_size=1))
    above = [{number} for number in range(size)]
    for number in range(size):
        for parent in links[number]:
            above[number] |= above[parent]
    stay = set().union(*(above[number] for number in wanted))
    with tempfile.TemporaryDirectory(dir=FAST) as folder:
        ledger = Ledger.open(Path(folder) / "l")
        made: list[Artifact] = []
        for number in range(size):
            made.append(commit(ledger, str(number), [made[parent] for parent in links[number]], f"of {number}"))
        plan = collect(ledger, [made[number] for number in wanted])
        assert {artifact.name for artifact in ledger.list()} == {str(number) for number in stay}
        assert [waste.why for waste in plan.waste].count(UNREACHABLE) == size - len(stay)
        assert {number for number in range(size) if ledger.store.get(f"of {number}")} == stay
        assert verify(ledger) == verify(Ledger.open(ledger.root)) == []


def waste(ledger: Ledger, artifact: Artifact) -> None:
    assert artifact.key is not None
    (ledger.workspace(artifact.key) / "checkpoint").write_bytes(b"done")
    (ledger.root / "staging" / "left").mkdir()
    (ledger.root / "store" / "ab").mkdir()
    (ledger.root / "store" / "ab" / ".writing-cut").write_bytes(b"half")


def test_by_default_only_leftovers_finished_workspaces_and_unused_files_of_the_store_go(ledger: Ledger) -> None:
    made = [commit(ledger, "a", [], "used"), commit(ledger, "b", [])]
    waste(ledger, made[0])
    ledger.store.put("unused", b"?")
    would = collect(ledger, dry_run=True)
    assert (ledger.root / "staging" / "left").exists()
    plan = collect(ledger)
    assert plan == would
    assert sorted(one.why for one in plan.waste) == sorted([UNUSED, LEFTOVER, LEFTOVER, FINISHED])
    assert sum(one.size for one in plan.waste) == len(b"done") + len(b"half") + 32 + 1
    assert ledger.list() == made[::-1]
    assert (ledger.store.get("used"), ledger.store.get("unused")) == (b"used", None)
    assert collect(ledger).waste == ()


def test_checkpoints_of_unfinished_steps_stay_and_the_store_with_them(ledger: Ledger) -> None:
    commit(ledger, "a", [])
    (ledger.workspace("0" * 64) / "checkpoint").write_bytes(b"half")
    ledger.store.put("states", b"costly")
    plan = collect(ledger)
    assert plan.waste == ()
    assert len(plan.left) == 2
    assert ledger.store.get("states") == b"costly"
    assert sorted(one.why for one in collect(ledger, unfinished=True).waste) == sorted([UNFINISHED, UNUSED])
    assert not list((ledger.root / "work").iterdir())


def test_where_damage_hides_what_a_kept_artifact_was_made_from_nothing_goes(ledger: Ledger, make: Make) -> None:
    first = make("first")
    second = make("second", parents=[of("x", first)])
    third = make("third", parents=[of("x", second)])
    manifest = ledger.folder(second) / "manifest.json"
    manifest.write_bytes(manifest.read_bytes()[:-5])
    ledger.index.remove()
    with pytest.raises(RunError, match=f"{second.short} is missing or damaged"):
        collect(ledger, [third])
    assert ledger.folder(first).is_dir()


def test_beside_a_writing_process_nothing_goes(ledger: Ledger) -> None:
    with ledger.step("5" * 64), pytest.raises(RunError, match=r"another process writes .*\(process \d+ on .* since"):
        collect(Ledger.open(ledger.root))
    with ledger.begin() as staging:
        with pytest.raises(RunError, match="another process writes"):
            collect(ledger)
        assert staging.is_dir()
    assert collect(ledger).waste == ()
