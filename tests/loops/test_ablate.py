"""Between two recipes: which settings differ, what has to be run, and parts that are those of the closed form."""

import copy
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.loops.worlds import State, use
from truing.core.config import apply_overrides
from truing.core.errors import InputError
from truing.evals.attribution import REST, Attribution
from truing.ledger.ledger import Ledger
from truing.loops.ablate import Ablation, ablation, parts
from truing.loops.events import RunDone
from truing.loops.experiment import plan, run_all, tables_of
from truing.loops.recipe import parse_recipe
from truing.loops.verbs.table import VERBS

NAMES = "abcde"
BEFORE: dict[str, Any] = {
    "a": {"verb": "train"},
    **{name: {"verb": "train", "of": above} for above, name in pairwise(NAMES)},
    "measured": {"verb": "measure", "adapter": "e"},
}
FILES = ("before.toml", "after.toml")


def worth(state: State) -> float:
    """Each its own, a pair that helps each other, and three that do."""
    a, b, c, d, e = (state.get(name, 0.0) for name in NAMES)
    return a + 2 * b + 3 * c + 4 * d + 5 * e + 6 * a * b + 8 * c * d * e + 0.25 * state.get("a seed", 0.0)


@pytest.fixture(autouse=True)
def world(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    return use(monkeypatch, worth)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / ".truing"


def after(*changes: str) -> dict[str, Any]:
    return apply_overrides(BEFORE, list(changes))


def ran(
    root: Path, b: dict[str, Any], a: dict[str, Any] = BEFORE, seeds: tuple[int, ...] | None = None, **options: Any
) -> tuple[Ablation, list[RunDone], dict[str | None, Attribution]]:
    found = ablation(a, b, FILES, root, seeded=seeds is not None, **options)
    runs = plan(list(found.combinations.values()), seeds, found.measured, FILES[0], root)
    done = [record for record in run_all(runs, found.measured) if isinstance(record, RunDone)]
    assert [(one.ran, one.reused) for one in done] == [(run.to_run, run.to_reuse) for run in runs]
    return found, done, {one.setting: one for one in parts(found, done, Ledger.open(root))}


def test_a_pair_that_helps_each_other_shares_that(root: Path) -> None:
    found, done, told = ran(root, after("a.x=1", "b.x=1"))
    assert list(found.settings) == ["a.x", "b.x"]
    assert [one.label for one in done] == [
        "before.toml", "before.toml with a.x of after.toml", "before.toml with b.x of after.toml", "after.toml",
    ]  # fmt: skip
    assert [one.ran for one in done][2] == ("b", "c", "d", "e", "measured")  # a is as in the first run
    assert {name: one.value for name, one in told.items()} == {None: 9.0, "a.x": 1 + 3.0, "b.x": 2 + 3.0}
    assert (told["a.x"].first, told["a.x"].last, told["a.x"].verdict) == (1.0, 7.0, "better")


def test_both_ends_are_the_recipes_themselves_and_a_second_time_nothing_runs(root: Path) -> None:
    from truing.loops.api import run_recipe

    other = after("a.wide.deep=4", "c.kind=two", "c.tau=2", "seed=3")
    together = ["c.kind,c.tau"]
    found, done, told = ran(root, other, together=together)
    assert list(found.settings) == ["seed", "a.wide.deep", "c.kind+c.tau"]
    assert told["c.kind+c.tau"].value == 6.0
    assert told["seed"].value == 0.75
    assert told[None].value == sum(one.value for name, one in told.items() if name is not None)
    ends = [list(run_recipe(recipe, root))[-1].artifact.id for recipe in (BEFORE, other)]
    assert ends == [done[0].evaluation.id, done[-1].evaluation.id]
    assert all(not one.ran for one in ran(root, other, together=together)[1])


def test_more_than_four_settings_are_changed_first_and_last(root: Path, world: dict[str, Any]) -> None:
    world["measure"].worth = lambda state: state["a"] ** 2 * state["b"]
    short = {"a": BEFORE["a"], "b": BEFORE["b"], "measured": {"verb": "measure", "adapter": "b"}}
    changes = ["a.x=1", "a.wide.deep=2", "b.x=1", "b.wide.deep=2", "measured.more=1"]
    found, done, told = ran(root, apply_overrides(short, changes), short)
    assert len(done) == 12
    assert list(found.settings) == [change.partition("=")[0] for change in changes]
    assert [told[name].first for name in found.settings] == [0, 0, 0, 0, 1]
    assert [told[name].last for name in found.settings] == [9 - 3, 9 - 3, 9 - 5, 9 - 5, 1]
    assert [told[name].value for name in found.settings] == [3, 3, 2, 2, 1]
    assert (told[None].value, told[REST].value) == (9.0, 9.0 - 11.0)


def test_given_seeds_take_the_place_of_the_recipes_own(root: Path) -> None:
    found, done, told = ran(root, after("a.x=1", "seed=5"), seeds=(0, 1, 2))
    assert (list(found.settings), len(done)) == (["a.x"], 6)
    assert (told["a.x"].value, told["a.x"].verdict) == (1.0, "better")


def test_a_step_of_one_recipe_alone_is_there_for_both_and_its_role_is_the_setting(root: Path) -> None:
    less = copy.deepcopy(BEFORE)
    del less["c"], less["d"]
    less["e"]["of"] = "b"
    more = after("c.x=2", "d.x=1")
    for a, b, value in ((less, more, 2 * 3 + 4), (more, less, -10.0)):
        found, _, told = ran(root, b, a)
        assert (list(found.settings), told["e.of"].value) == (["e.of"], value)


def test_a_step_that_does_something_else_is_one_setting(root: Path, world: dict[str, Any]) -> None:
    world["other"] = type("Other", (type(world["train"]),), {"name": "other"})()
    found, _, told = ran(root, {**BEFORE, "b": {"verb": "other", "of": "a", "x": 3.0}})
    assert (list(found.settings), told["b"].value) == (["b"], 6.0)


@pytest.mark.parametrize(
    ("changes", "together", "message"),
    [
        (["aside.verb=train"], [], "before.toml and after.toml differ in nothing that measured depends on"),
        (["a.x=0.0", "name=other"], [], "before.toml and after.toml differ in nothing that measured depends on"),
        (
            ["c.tau=1", "c.kind=two"],
            [],
            "before.toml with c.tau of after.toml: the recipe between them: [c]: tau belongs to the kind two; settings "
            "that only make sense together count as one with --together SETTING,SETTING",
        ),
        (
            ["a.x=1"],
            ["a.x,b.x"],
            "--together a.x,b.x: 'b.x' is no setting in which the recipes differ; these differ: a.x",
        ),
        (["a.x=1", "b.x=1"], ["a.x,b.x", "a.x"], "--together a.x: 'a.x' stands in two groups"),
    ],
)
def test_what_cannot_be_divided_is_said_before_anything_runs(
    root: Path, changes: list[str], together: list[str], message: str
) -> None:
    with pytest.raises(InputError) as told:
        ablation(BEFORE, after(*changes), FILES, root, together=together)
    assert str(told.value).startswith(message)
    assert not root.exists()


def test_another_measure_and_an_opposite_order_are_named(root: Path) -> None:
    with pytest.raises(InputError, match=r"--measure measured: after.toml has no such evaluation; there are: end"):
        ablation(BEFORE, {"a": BEFORE["a"], "end": {"verb": "measure", "adapter": "a"}}, FILES, root)
    turned = {
        "b": {"verb": "train"},
        "a": {"verb": "train", "of": "b"},
        "measured": {"verb": "measure", "adapter": "a"},
    }
    straight = {**{name: BEFORE[name] for name in "ab"}, "measured": {"verb": "measure", "adapter": "b"}}
    with pytest.raises(InputError, match="have their steps in opposite order"):
        ablation(straight, turned, FILES, root)


REQUIRED: dict[str, dict[str, Any]] = {
    "judged": {"source": "x.jsonl"},
    "benchmark": {"tasks": ["truthfulqa"]},
    "gate": {"rule": [{"metric": "refusal", "require": "better"}]},
    "judge": {"question": "harm"},
    "dataset": {"source": "starter", "columns": {"prompt": "question"}},
    "gate_running": {"rule": [{"metric": "refusal", "require": "better"}], "tasks": ["xstest"]},
    "pairwise": {"by": "clearer.toml"},
    "latency": {"prompts": "prompts.jsonl"},
    "ppo": {"reward": {"judge": "refusal"}, "adapter": {"rank": 4}},
}


@pytest.mark.parametrize("verb", list(VERBS))
def test_a_recipe_with_every_setting_written_out_is_the_same_recipe(verb: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the real verbs: what lies between two recipes is written so."""
    monkeypatch.setattr("truing.loops.verbs.table.VERBS", VERBS)
    found = parse_recipe(
        {"step": {"verb": verb, "seed": 3, **dict.fromkeys(VERBS[verb].roles, "ledger:x"), **REQUIRED.get(verb, {})}},
        "recipe", VERBS, lambda _: _of_kind(verb),
    )  # fmt: skip
    written = tables_of(found)
    assert tables_of(parse_recipe(written, "recipe", VERBS, lambda _: _of_kind(verb))) == written
    assert VERBS[verb].config.parse(found.steps[0].settings, "") == VERBS[verb].config.parse(
        {k: v for k, v in written["step"].items() if k not in {"verb", "seed", *VERBS[verb].roles}}, ""
    )


def _of_kind(verb: str) -> Any:
    """An artifact that fills the verb's role, whatever it is called."""

    class Found:
        id = "x"
        kind = next(iter(VERBS[verb].roles.values()), "dataset")

    return Found()
