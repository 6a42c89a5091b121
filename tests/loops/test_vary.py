"""One assumption at a time: what will run is known beforehand, and effects are those of the closed form."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.loops.worlds import State, use
from truing.core.errors import InputError, RunError
from truing.evals.methods import MethodResult
from truing.ledger.ledger import Ledger
from truing.loops.events import RunDone
from truing.loops.experiment import PlannedRun, plan, run_all
from truing.loops.vary import effects, variants

# a ──► b ──► other
#       └───► measured
RECIPE: dict[str, Any] = {
    "a": {"verb": "train", "x": 1.0},
    "b": {"verb": "train", "of": "a"},
    "aside": {"verb": "train"},
    "other": {"verb": "measure", "adapter": "b"},
    "measured": {"verb": "measure", "adapter": "b"},
}


def worth(state: State) -> float:
    return 10 * state["a"] + state["b"] + 0.25 * state["b seed"]


@pytest.fixture(autouse=True)
def verbs(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    return use(monkeypatch, worth)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / ".truing"


def planned(
    root: Path, *settings: str, seeds: Sequence[int] | None = None, measure: str | None = None, **recipe: Any
) -> tuple[str, list[PlannedRun]]:
    measured, found = variants(recipe or RECIPE, settings, "recipe.toml", root, measure)
    return measured, plan(found, seeds, measured, "recipe.toml", root)


def ran(root: Path, *settings: str, **options: Any) -> tuple[list[RunDone], list[MethodResult]]:
    """The runs, each of which did exactly what was planned, and the effects."""
    measured, runs = planned(root, *settings, **options)
    done = [record for record in run_all(runs, measured) if isinstance(record, RunDone)]
    assert [(one.ran, one.reused) for one in done] == [(run.to_run, run.to_reuse) for run in runs]
    return done, effects(done, Ledger.open(root))


def test_every_change_reruns_what_depends_on_it_and_nothing_else(root: Path) -> None:
    done, _ = ran(root, "b.x=2,3", "a.x=5", "measured.more=1")
    assert [(one.label, one.ran, one.reused) for one in done] == [
        ("recipe", ("a", "b", "measured"), ()),
        ("b.x=2", ("b", "measured"), ("a",)),
        ("b.x=3", ("b", "measured"), ("a",)),
        ("a.x=5", ("a", "b", "measured"), ()),
        ("measured.more=1", ("measured",), ("a", "b")),  # the last step: all before it is reused
    ]
    assert [one.tokens for one in done] == [14] * 5
    again, _ = ran(root, "b.x=2,3", "a.x=5", "measured.more=1")
    assert [one.ran for one in again] == [()] * 5
    assert [one.seconds for one in again] == [0] * 5


def test_effects_are_those_of_the_closed_form_one_setting_at_a_time(root: Path) -> None:
    _, found = ran(root, "b.x=2,-3", "a.x=5", "measured.more=0.5")
    assert [(one.method, one.difference) for one in found] == [
        ("recipe", None),
        ("b.x=2", 2.0),
        ("b.x=-3", -3.0),
        ("a.x=5", 40.0),
        ("measured.more=0.5", 0.5),
    ]
    assert [one.verdict for one in found] == [None, "better", "worse", "better", "better"]
    assert found[1].adjusted_p > found[1].p  # corrected for all four verdicts


def test_a_dry_plan_writes_nothing_and_says_how_the_settings_differ(root: Path) -> None:
    _, runs = planned(root, "b.wide.deep=3", 'b.kind="two"')
    assert [str(change) for run in runs for change in run.variant.changes] == [
        "b.wide.deep: 1 → 3",
        "b.kind: one → two",
    ]
    assert not root.exists()


def test_with_seeds_everything_runs_anew_but_what_has_a_seed_of_its_own(root: Path) -> None:
    recipe = {**RECIPE, "a": {**RECIPE["a"], "seed": 0}}
    done, found = ran(root, "b.x=2", seeds=(0, 1, 2), **recipe)
    assert [one.ran for one in done] == [("a", "b", "measured"), *[("b", "measured")] * 5]
    effect = found[1]
    assert (effect.seeds, effect.difference, effect.verdict) == ((0, 1, 2), 2.0, "better")
    assert found[0].by_seed == (12.0, 12.25, 12.5)
    # Two seeds: these runs are told apart, and nothing is said of seeds.
    _, two = ran(root, "b.x=2", seeds=(0, 1), **recipe)
    assert (two[1].seed_error, two[1].difference, two[1].verdict) == (None, 2.0, "better")


def test_what_was_stopped_goes_on(root: Path, verbs: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    measured, runs = planned(root, "b.x=2", "a.x=5")
    monkeypatch.setattr(verbs["train"], "broken", "b")
    with pytest.raises(RunError, match="stopped, as told"):
        list(run_all(runs, measured))
    monkeypatch.setattr(verbs["train"], "broken", "")
    done, _ = ran(root, "b.x=2", "a.x=5")
    assert (done[0].ran, done[0].reused) == (("b", "measured"), ("a",))


def test_another_evaluation_can_be_the_measure(root: Path) -> None:
    done, _ = ran(root, "other.more=1", measure="other")
    assert done[1].ran == ("other",)


def test_a_recipes_own_value_makes_no_run_of_its_own(root: Path) -> None:
    _, runs = planned(root, "b.x=0,2", "a.x=1.0,3")
    assert [run.label for run in runs] == ["recipe", "b.x=2", "a.x=3"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["b.y=1"], "b.y=1: recipe.toml: [b]: unknown key 'y'"),
        (["b.wide.dep=1"], "b.wide.dep=1: recipe.toml: [b]: unknown key 'wide.dep'; did you mean 'deep'?"),
        (["b.x=1,much"], "b.x=much: recipe.toml: [b]: 'x' is 'much'"),
        (["b.kind=[1,2]"], "b.kind=[1,2]: recipe.toml: [b]: 'kind' is [1, 2]"),
        (["bb.x=1"], "bb.x=1: recipe.toml has no step 'bb'; did you mean b?"),
        (["zebra.x=1"], "zebra.x=1: recipe.toml has no step 'zebra'; its steps are a, b, aside, other, measured"),
        (
            ["aside.x=1"],
            "aside.x=1: this changes nothing that is measured: measured does not depend on [aside], but on a",
        ),
        (["b.x=0,0.0"], "b.x=0,0.0: so it stands in recipe.toml already, and nothing would change"),
        (["b.x=2,2.0"], "b.x=2.0 stands twice"),
        (["b.of=c"], "b.of=c: recipe.toml: [b] of = 'c' is not an earlier step"),
        (["seed=1,2"], "seed=1,2: seeds are varied by --seeds 0,1,2"),
        (["b=1"], "b=1: write it as STEP.KEY=VALUE,VALUE"),
        (["b.x"], "b.x: write it as STEP.KEY=VALUE,VALUE"),
        (["b.x=1,,2"], "b.x=1,,2: write it as"),
    ],
)
def test_a_wrong_setting_is_one_sentence_before_anything_runs(root: Path, settings: list[str], message: str) -> None:
    with pytest.raises(InputError) as told:
        planned(root, *settings)
    assert str(told.value).startswith(message)
    assert not root.exists()


def test_a_recipe_without_evaluation_and_one_that_is_none_are_named(root: Path) -> None:
    with pytest.raises(InputError, match=r"recipe.toml: there is no evaluation to measure an effect by; add a step"):
        planned(root, "a.x=2", a=RECIPE["a"])
    with pytest.raises(
        InputError, match=r"--measure b: recipe.toml has no such evaluation; there are: other, measured"
    ):
        planned(root, "a.x=2", measure="b")


def test_runs_that_measured_other_items_end_with_the_first_of_them(root: Path) -> None:
    measured, runs = planned(root, "measured.items=9,8")
    with pytest.raises(
        InputError, match=r"recipe with seed 0 and measured.items=9 with seed 0 cannot be compared: .*11 "
    ):
        list(run_all(runs, measured))
    assert len(Ledger.open(root).list("evaluation")) == 2  # the third did not run
