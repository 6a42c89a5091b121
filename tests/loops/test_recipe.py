"""Recipes: a step runs once for its inputs and never again; a change re-runs what depends on it, and nothing else."""

import copy
from pathlib import Path
from typing import Any

import pytest

import truing.ledger.ledger as ledger_module
from tests.loops.scripted import Runs
from truing.core.errors import InputError, RunError
from truing.loops.verbs.table import VERBS

# a ──► b (the model) ──► d ──► e (a verdict)
#  └──► c (a file) ──────┘
STEPS: dict[str, Any] = {
    "a": {"verb": "make", "text": "one"},
    "b": {"verb": "model", "text": "two", "of": "a"},
    "c": {"verb": "join", "text": "three", "of": "a", "file": "outside.txt"},
    "d": {"verb": "join", "text": "four", "of": "b", "with": "c"},
    "e": {"verb": "judge", "text": "five", "of": "d"},
}


@pytest.fixture(autouse=True)
def outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "outside.txt"
    path.write_text("as it was")
    return path


def changed(**texts: str) -> dict[str, Any]:
    steps = copy.deepcopy(STEPS)
    for name, text in texts.items():
        steps[name]["text"] = text
    return steps


def test_every_step_runs_once_and_then_never_again(runs: Runs) -> None:
    ran, first = runs(STEPS)
    assert sorted(ran) == ["a", "b", "c", "d", "e"]
    ran, second = runs(STEPS)
    assert ran == []
    assert {name: artifact.id for name, artifact in second.items()} == {
        name: artifact.id for name, artifact in first.items()
    }
    assert (runs.ledger.folder(second["d"]) / "text").read_text() == "four two one three one"


@pytest.mark.parametrize(("step", "rerun"), [("a", "abcde"), ("b", "bde"), ("c", "cde"), ("d", "de"), ("e", "e")])
def test_a_changed_setting_reruns_the_step_and_what_depends_on_it(runs: Runs, step: str, rerun: str) -> None:
    runs(STEPS)
    ran, _ = runs(changed(**{step: "other"}))
    assert "".join(sorted(ran)) == rerun
    assert runs(STEPS)[0] == []  # and the way back is free


def test_the_seed_is_part_of_every_key(runs: Runs) -> None:
    runs(STEPS)
    assert sorted(runs(STEPS, seed=1)[0]) == ["a", "b", "c", "d", "e"]


def test_the_models_weights_rerun_what_uses_the_model_and_their_name_is_no_substitute(runs: Runs) -> None:
    runs(STEPS)
    (runs.model / "weights.safetensors").write_text("other weights")
    assert sorted(runs(STEPS)[0]) == ["b", "d", "e"]


def test_the_content_of_an_outside_file_reruns_its_reader(runs: Runs, outside: Path) -> None:
    runs(STEPS)
    outside.write_text("as it is now")
    assert sorted(runs(STEPS)[0]) == ["c", "d", "e"]
    outside.write_text("as it was")
    assert runs(STEPS)[0] == []


def test_the_version_of_a_verb_reruns_its_steps(runs: Runs) -> None:
    runs(STEPS)
    runs.verbs["join"].version = 2
    assert sorted(runs(STEPS)[0]) == ["c", "d", "e"]


def test_code_version_order_of_keys_and_names_of_steps_rerun_nothing(
    runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs(STEPS)
    monkeypatch.setattr(ledger_module, "code_version", lambda: "another commit")
    assert runs(STEPS)[0] == []
    assert runs({name: dict(reversed(table.items())) for name, table in STEPS.items()})[0] == []
    renamed = {"first": STEPS["a"], "second": {**STEPS["b"], "of": "first"}}
    assert runs(renamed)[0] == []


def test_two_steps_of_one_recipe_with_the_same_inputs_run_once(runs: Runs) -> None:
    ran, done = runs({"a": STEPS["a"], "again": STEPS["a"]})
    assert ran == ["a"]
    assert done["a"] == done["again"]


def test_a_step_that_fails_leaves_no_artifact_and_what_was_finished_stays(runs: Runs) -> None:
    broken = copy.deepcopy(STEPS)
    broken["c"]["fails"] = True
    with pytest.raises(RunError, match="told to fail"):
        runs(broken)
    assert sorted(runs.ran) == ["a", "b", "c"]
    assert sorted(artifact.name for artifact in runs.ledger.list()) == ["a", "b"]
    assert not list((runs.root / "staging").iterdir())
    assert sorted(runs(STEPS)[0]) == ["c", "d", "e"]


def test_a_reused_artifact_becomes_the_newest_of_its_name_and_keeps_its_time(runs: Runs) -> None:
    _, first = runs(STEPS)
    _, second = runs(changed(b="other"))
    assert runs.ledger.get("b") == second["b"]
    runs(STEPS)
    assert runs.ledger.get("b") == first["b"]
    assert runs.ledger.get("b").created == first["b"].created < second["b"].created
    assert len(runs.ledger.list()) == 8


def test_a_role_may_name_an_artifact_of_the_ledger(runs: Runs) -> None:
    _, done = runs(STEPS)
    steps = {"f": {"verb": "join", "text": "six", "of": "ledger:d", "with": f"ledger:{done['a'].short}"}}
    ran, made = runs(steps)
    assert ran == ["f"]
    assert {parent.role: parent.artifact for parent in made["f"].parents} == {"of": done["d"].id, "with": done["a"].id}
    assert runs(steps)[0] == []
    # By its name or as an earlier step, it is the same parent.
    assert runs({"a": STEPS["a"], "f": {**steps["f"], "with": "a"}})[0] == []


def test_an_artifact_named_when_the_recipe_was_checked_is_the_one_that_is_used(runs: Runs) -> None:
    _, before = runs({"a": STEPS["a"]})
    steps = {"a": {**STEPS["a"], "text": "newer"}, "f": {"verb": "join", "of": "ledger:a", "with": "a"}}
    _, done = runs(steps)
    assert [parent.artifact for parent in done["f"].parents] == [before["a"].id, done["a"].id]


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ({"x": {"text": "no verb"}}, r"\[x\] needs verb = one of join, judge, make, model; found None"),
        ({"x": {"verb": "mkae"}}, r"\[x\] needs verb = one of .*; found 'mkae'"),
        ({"x": {"verb": "make", "txet": "y"}}, r"\[x\]: unknown key 'txet'; did you mean 'text'"),
        ({"x": {"verb": "join", "of": "y"}}, r"\[x\] of = 'y' is not an earlier step; there are: first"),
        ({"x": {"verb": "join", "of": "x"}}, r"\[x\] of = 'x' is not an earlier step"),
        ({"x": {"verb": "join", "of": ["a"]}}, r"\[x\] of = .* is not an earlier step"),
        ({"x": {"verb": "join", "of": "ledger:d-"}}, r"\[x\] of = 'ledger:d-': the ledger has no artifact 'd-'"),
        (
            {"x": {"verb": "join", "of": "ledger:e"}},
            r"\[x\] of = 'ledger:e' is of the kind 'verdict', expected the kind",
        ),
        (
            {"v": {"verb": "judge"}, "x": {"verb": "join", "of": "v"}},
            r"\[x\] of = 'v' is of the kind 'verdict', expected the kind 'thing'",
        ),
        ({"x": {"verb": "make", "file": "absent"}}, r"recipe: \[x\] there is no absent"),
        ({"modle": "y", "x": {"verb": "make"}}, "recipe: unknown key 'modle'; did you mean 'model'"),
    ],
)
def test_a_wrong_recipe_is_refused_before_anything_runs(runs: Runs, steps: dict[str, Any], message: str) -> None:
    runs(STEPS)
    before = runs.ledger.list()
    with pytest.raises(InputError, match=message):
        runs({"first": {"verb": "make", "text": "would run first"}, **steps})
    assert runs.ledger.list() == before


def test_a_recipe_without_steps_is_refused(runs: Runs) -> None:
    with pytest.raises(InputError, match="there is no step"):
        runs({})


def test_a_role_that_is_needed_and_missing_is_named(runs: Runs) -> None:
    runs.verbs["join"].roles, runs.verbs["join"].optional_roles = {"of": "thing"}, {}
    with pytest.raises(InputError, match=r'recipe: \[x\] needs of = the name of an earlier step, or "ledger:NAME"'):
        runs({"x": {"verb": "join"}})
    assert not runs.root.exists()


def test_a_steps_own_seed_stands_for_the_runs(runs: Runs) -> None:
    runs(STEPS)
    steps = {**STEPS, "a": {**STEPS["a"], "seed": 0}, "c": {**STEPS["c"], "seed": 0}}
    assert runs(steps)[0] == []  # it is the run's own
    ran, done = runs(steps, seed=1)
    assert sorted(ran) == ["b", "d", "e"]
    assert (done["a"].seed, done["b"].seed) == (0, 1)
    with pytest.raises(InputError, match=r"recipe: \[a\]: 'seed' is 'one'"):
        runs({"a": {**STEPS["a"], "seed": "one"}})


def test_no_verb_has_a_setting_that_a_step_has_already() -> None:
    for verb in VERBS.values():
        assert not {"verb", "seed"} & {*verb.config.model_fields, *verb.roles, *verb.optional_roles}


def test_every_verb_is_called_as_it_stands_in_the_table() -> None:
    assert [verb.name for verb in VERBS.values()] == list(VERBS)
