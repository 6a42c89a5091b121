"""The ledger keeps whole artifacts or none, names them by content, and finds them by their inputs."""

import hashlib
import json
import multiprocessing
from pathlib import Path
from typing import Any

import pytest

import truing.ledger.ledger as module
from tests.ledger.conftest import Make, weights
from truing.core.errors import InputError, RunError
from truing.ledger import folders, index
from truing.ledger.artifacts import Parent
from truing.ledger.integrity import verify
from truing.ledger.ledger import Ledger

INPUTS: dict[str, Any] = {"verb": "sft", "verb_version": 1, "config": {"lr": 0.1}, "parents": [], "seed": 0}


def test_an_artifact_is_named_by_the_hash_of_its_manifest_and_a_file_by_that_of_its_bytes(
    ledger: Ledger, make: Make
) -> None:
    artifact = make("hello")
    manifest = (ledger.folder(artifact) / "manifest.json").read_bytes()
    assert hashlib.sha256(manifest).hexdigest() == artifact.id == ledger.folder(artifact).name
    (file,) = artifact.files
    assert (file.name, file.size) == ("deep/weights.txt", 5)
    assert file.sha256 == json.loads(manifest)["files"][0]["sha256"] == hashlib.sha256(b"hello").hexdigest()
    assert artifact.short == artifact.id[:12]


def test_time_and_code_version_are_no_part_of_an_id(
    ledger: Ledger, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = make()
    monkeypatch.setattr(module, "code_version", lambda: "another")
    again = make()
    assert again.id == first.id
    assert again.created > first.created
    assert ledger.get(first.id).code_version == "another"
    assert len(ledger.list()) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"verb": "dpo"},
        {"verb_version": 2},
        {"config": {"lr": 0.2}},
        {"parents": [Parent(role="data", artifact="0" * 64)]},
        {"seed": 1},
        {"seed": None},
    ],
)
def test_every_input_is_part_of_the_key(ledger: Ledger, change: dict[str, Any]) -> None:
    assert ledger.key(**INPUTS) == ledger.key(**INPUTS)
    assert ledger.key(**{**INPUTS, **change}) != ledger.key(**INPUTS)


def test_the_order_of_settings_is_no_part_of_the_key(ledger: Ledger) -> None:
    one = ledger.key(**{**INPUTS, "config": {"a": 1, "b": 2}})
    assert one == ledger.key(**{**INPUTS, "config": {"b": 2, "a": 1}})


def test_find_gives_the_newest_of_a_key_and_never_an_observation(ledger: Ledger, make: Make) -> None:
    seen = make("people said so", observation=True)
    key = ledger.key(verb="make", verb_version=1, config={}, parents=[], seed=0)
    assert seen.observation
    assert ledger.find(key) is None
    make("one")
    newest = make("two")
    assert not newest.observation
    assert ledger.find(key) == newest


def test_an_artifact_that_is_used_again_is_the_newest_of_its_name_and_otherwise_as_it_was(
    ledger: Ledger, make: Make
) -> None:
    first = make("one", rows=[("r", "0" * 64)])
    second = make("two", seed=1)
    make("another", name="elsewhere")
    assert ledger.get("step") == second
    ledger.touch(first)
    assert ledger.get("step") == first
    assert ledger.list()[0] == first
    assert ledger.rows(first) == [("r", "0" * 64)]
    ledger.touch(first)
    third = make("three", seed=2)
    assert [artifact.id for artifact in ledger.list()][:2] == [third.id, first.id]
    assert verify(ledger) == []


@pytest.mark.parametrize("damage", ["missing", "cut"])
def test_a_damaged_artifact_is_not_found_and_committing_it_again_repairs_it(
    ledger: Ledger, make: Make, damage: str
) -> None:
    artifact = make("whole")
    assert artifact.key is not None
    if damage == "missing":
        weights(ledger, artifact).unlink()
    else:
        weights(ledger, artifact).write_text("who", encoding="utf-8")
    assert ledger.find(artifact.key) is None
    assert make("whole").id == artifact.id
    assert weights(ledger, artifact).read_text(encoding="utf-8") == "whole"
    assert ledger.find(artifact.key) is not None
    assert not list((ledger.root / "staging").iterdir())


def test_the_same_content_twice_keeps_the_folder_that_is_there(ledger: Ledger, make: Make) -> None:
    artifact = make()
    before = weights(ledger, artifact).stat().st_ino
    make()
    assert weights(ledger, artifact).stat().st_ino == before


class Crash(BaseException):
    """Stands for the power cut: nothing in the ledger may catch it."""


@pytest.mark.parametrize("point", ["flush", "write_manifest", "write_made", "write_rows", "sync_folder", "_refresh"])
def test_a_crash_leaves_the_whole_artifact_or_none_and_the_step_can_be_run_again(
    ledger: Ledger, make: Make, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    """The short version of scripts/fault_table.py, where one point is seen at work."""

    def crash(*_: Any, **__: Any) -> None:
        raise Crash

    with monkeypatch.context() as broken:
        place = {"sync_folder": module, "_refresh": index}.get(point, folders)
        broken.setattr(place, point, crash)
        with pytest.raises(Crash):
            make("precious")
    placed = point in ("sync_folder", "_refresh")  # after the rename: the artifact is whole, and found
    again = Ledger.open(ledger.root)
    assert len(again.list()) == placed
    assert verify(again) == []
    artifact = make("precious")
    assert [one.id for one in ledger.list()] == [artifact.id]
    assert weights(ledger, artifact).read_text(encoding="utf-8") == "precious"


def test_a_race_for_the_same_folder_is_no_error(ledger: Ledger, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    first = make()
    calls = iter([False, False])  # the folder seems absent when asked, and is there when renamed onto
    real = Path.exists

    def exists(path: Path, **options: Any) -> bool:
        return next(calls, True) if path == ledger.folder(first) else real(path, **options)

    monkeypatch.setattr(Path, "exists", exists)
    assert make().id == first.id


def _commit_many(root: str, start: Any, worker: int) -> None:
    start.wait()
    ledger = Ledger.open(Path(root))
    for number in range(5):
        for content in (f"{worker}-{number}", f"shared-{number}"):
            with ledger.begin() as staging:
                (staging / "f").write_text(content, encoding="utf-8")
                ledger.commit(
                    staging, kind="k", verb="v", verb_version=1, name="n", config={}, parents=[], seed=0,
                    rows=[(content, "0" * 64)],
                )  # fmt: skip


def test_processes_may_open_and_write_one_new_ledger_at_once(tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    start = spawn.Barrier(3)
    workers = [spawn.Process(target=_commit_many, args=(str(tmp_path / "l"), start, number)) for number in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    ledger = Ledger.open(tmp_path / "l", create=False)
    assert len(ledger.list()) == 3 * 5 + 5
    assert all(len(ledger.rows(artifact)) == 1 for artifact in ledger.list())


def test_get_by_id_prefix_and_name(ledger: Ledger, make: Make) -> None:
    old = make("one", name="dpo")
    new = make("two", name="dpo")
    assert ledger.get("dpo") == new
    for reference in (old.id, old.short, old.id[:8]):
        assert ledger.get(reference) == old
    with pytest.raises(InputError, match=r"did you mean dpo\?"):
        ledger.get("dop")
    with pytest.raises(InputError, match="names it knows: dpo"):
        ledger.get("zzzzzzzz")


def test_a_prefix_of_several_ids_or_too_short_a_one_is_refused(ledger: Ledger, make: Make) -> None:
    by_first: dict[str, list[str]] = {}
    for number in range(17):  # 17 ids, 16 first digits: two must share one
        artifact = make(str(number), name=f"name {number}")
        by_first.setdefault(artifact.id[0], []).append(artifact.id)
    first, ids = next((first, ids) for first, ids in by_first.items() if len(ids) > 1)
    with pytest.raises(InputError, match="give more digits") as error:
        ledger.get(first)
    assert all(identity[:12] in str(error.value) for identity in ids[:5])
    with pytest.raises(InputError, match="give more digits"):
        ledger.get(ids[0][:3])


def test_a_percent_sign_is_no_wildcard(ledger: Ledger, make: Make) -> None:
    make()
    for wild in ("%%%%", "____"):
        with pytest.raises(InputError, match="has no artifact"):
            ledger.get(wild)


def test_list_is_newest_first_by_kind_and_limit(ledger: Ledger, make: Make) -> None:
    a, b, c = make("a"), make("b", kind="dataset"), make("c")
    assert ledger.list() == [c, b, a]
    assert ledger.list("adapter") == [c, a]
    assert ledger.list("adapter", limit=1) == [c]
    assert ledger.list("nothing") == []


def test_rows_keep_their_order_and_lead_back_to_artifacts(ledger: Ledger, make: Make) -> None:
    sha = [hashlib.sha256(row.encode()).hexdigest() for row in ("z", "a")]
    first = make("one", rows=[("z", sha[0]), ("a", sha[1])])
    second = make("two", rows=[("z", sha[0])])
    assert ledger.rows(first) == [("z", sha[0]), ("a", sha[1])]
    assert ledger.artifacts_with_row("z") == [second, first]
    assert ledger.artifacts_with_row(sha[1][:10]) == [first]
    assert ledger.artifacts_with_row("none such") == []
    make("one")
    assert ledger.rows(first) == [("z", sha[0]), ("a", sha[1])]


def test_an_absent_ledger_is_not_made_by_looking(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no ledger here"):
        Ledger.open(tmp_path / "none", create=False)
    assert not (tmp_path / "none").exists()


def test_a_file_in_the_ledgers_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be made here"):
        Ledger.open(tmp_path / "file")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_metric_that_is_no_number_is_refused_and_none_is_kept(ledger: Ledger, make: Make, value: float) -> None:
    with pytest.raises(RunError, match=r"'loss' is (nan|inf)"):
        make(metrics={"loss": value})
    assert ledger.list() == []
    assert ledger.get(make(metrics={"loss": None}).id).metrics == {"loss": None}


def test_a_step_that_fails_leaves_nothing_in_staging(ledger: Ledger) -> None:
    def fail() -> None:
        with ledger.begin() as staging:
            (staging / "half").write_text("half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert not list((ledger.root / "staging").iterdir())


def test_a_step_may_not_write_the_manifest(ledger: Ledger) -> None:
    for name in ("manifest.json", ".ledger"):
        with ledger.begin() as staging:
            (staging / name).write_text("{}")
            with pytest.raises(RunError, match="the ledger's own"):
                ledger.commit(staging, kind="k", name="n", **INPUTS)


def test_a_workspace_outlives_its_step_until_discarded(ledger: Ledger) -> None:
    key = ledger.key(**INPUTS)
    (ledger.workspace(key) / "checkpoint").write_text("half")
    assert (Ledger.open(ledger.root).workspace(key) / "checkpoint").read_text() == "half"
    ledger.discard_workspace(key)
    assert not list(ledger.workspace(key).iterdir())


def test_code_version_names_no_commit_outside_a_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Installed in the .venv of somebody's own repository, truing must not record that repository's commit."""
    (tmp_path / ".git").mkdir()
    package = tmp_path / ".venv" / "truing"
    package.mkdir(parents=True)
    monkeypatch.setattr(module.truing, "__file__", str(package / "__init__.py"))
    called = []
    monkeypatch.setattr(module.subprocess, "run", lambda *_, **__: called.append(1))
    assert module.code_version.__wrapped__() == module.truing.__version__
    assert not called
