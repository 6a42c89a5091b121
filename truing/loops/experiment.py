"""Runs of one recipe that differ in chosen settings: what they share is computed once, and all measure the same items.

A run is the part of the recipe that one evaluation, the *measured* one, depends on; gates, reports and other branches
are left out. Which steps will run is known beforehand: a step's key is the digest of its inputs, whoever makes it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from truing.core.digest import digest
from truing.core.errors import InputError
from truing.core.records import Record
from truing.evals.artifact import metrics_of, read_items
from truing.evals.compare import by_task, check_same_items
from truing.evals.methods import Claim, Measure, MethodRun, claim_of, measures_of_items
from truing.ledger.ledger import Ledger
from truing.loops.api import prepare
from truing.loops.context import Context
from truing.loops.events import RunDone, RunStarted, StepDone
from truing.loops.methods import check_gold, method_run, trained_tokens
from truing.loops.recipe import LEDGER, Recipe, Verb, run_recipe, step_inputs

ABSENT = "(not there)"


@dataclass(frozen=True)
class Change:
    """A setting that differs: where it stands in a recipe (step, then key), and its value before and after, as JSON has
    it, or `ABSENT`."""

    path: tuple[str, ...]
    before: Any
    after: Any

    @property
    def name(self) -> str:
        """`dpo.beta`."""
        return ".".join(self.path)

    def __str__(self) -> str:
        before, after = ("none" if value is None else str(value) for value in (self.before, self.after))
        return f"{self.name}: {before} → {after}"


@dataclass(frozen=True)
class Variant:
    """A recipe to run: what to call it, its tables, and where it differs from the one that it is held against."""

    label: str
    values: Mapping[str, Any]
    changes: tuple[Change, ...] = ()


@dataclass(frozen=True)
class PlannedRun:
    """One variant with one seed: its recipe up to the measured evaluation, and which of its steps will run, or be
    reused: from the ledger, or from an earlier run of these."""

    variant: Variant
    recipe: Recipe
    context: Context
    to_run: tuple[str, ...] = ()
    to_reuse: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        return self.variant.label


def measured_step(recipe: Recipe, where: str, name: str | None) -> str:
    """The evaluation that effects are measured by: the named one, or the recipe's last. Raises `InputError`."""
    from truing.loops.verbs.table import VERBS

    found = [step.name for step in recipe.steps if VERBS[step.verb].kind == "evaluation"]
    if not found:
        raise InputError(
            f'{where}: there is no evaluation to measure an effect by; add a step with verb = "evaluate" or "benchmark"'
        )
    if name is not None and name not in found:
        raise InputError(f"--measure {name}: {where} has no such evaluation; there are: {', '.join(found)}")
    return name or found[-1]


def up_to(recipe: Recipe, measured: str) -> Recipe:
    """The recipe's steps that the measured one depends on, and itself."""
    needed = {measured}
    for step in reversed(recipe.steps):
        if step.name in needed:
            needed |= set(step.roles.values())
    return recipe.model_copy(update={"steps": tuple(step for step in recipe.steps if step.name in needed)})


def tables_of(recipe: Recipe) -> dict[str, Any]:
    """A recipe's tables with every setting written out, defaults included."""
    from truing.loops.verbs.table import VERBS

    tables: dict[str, Any] = {"name": recipe.name, "seed": recipe.seed, "model": recipe.model.model_dump(mode="json")}
    for step in recipe.steps:
        own = {} if step.seed is None else {"seed": step.seed}
        config = VERBS[step.verb].config.parse(step.settings, f"[{step.name}]")
        tables[step.name] = {"verb": step.verb, **step.roles, **own, **config.model_dump(mode="json")}
    return tables


def differences(a: Mapping[str, Any], b: Mapping[str, Any], above: tuple[str, ...] = ()) -> Iterator[Change]:
    """Where two recipes' tables differ, setting by setting; a step that does something else differs as a whole."""
    for key in [*a, *(key for key in b if key not in a)]:
        one, other = a.get(key, ABSENT), b.get(key, ABSENT)
        if isinstance(one, dict) and isinstance(other, dict) and one.get("verb") == other.get("verb"):
            yield from differences(one, other, (*above, key))
        elif one != other:
            yield Change((*above, key), one, other)


def plan(
    variants: Sequence[Variant],
    seeds: Sequence[int] | None,
    measured: str,
    where: str,
    root: Path,
    benchmarks: Path | None = None,
) -> list[PlannedRun]:
    """Every variant with every seed (None: with the recipe's own), in this order. All of them are checked; nothing is
    written. Raises `InputError` where a variant is no valid recipe."""
    from truing.loops.verbs.table import VERBS

    contexts: dict[str, Context] = {}  # a model is opened once for all runs with it
    runs = []
    for variant in variants:
        try:
            recipe, context = prepare(dict(variant.values), where, root, benchmarks)
        except InputError as error:
            raise InputError(f"{variant.label}: {error}") from None
        context = contexts.setdefault(recipe.model.model_dump_json(), context)
        for seed in seeds or [recipe.seed]:
            seeded = up_to(recipe, measured).model_copy(update={"seed": seed})
            runs.append(PlannedRun(variant, seeded, context))
    return list(_with_reuse(runs, VERBS, root))


def _with_reuse(runs: Sequence[PlannedRun], verbs: Mapping[str, Verb], root: Path) -> Iterator[PlannedRun]:
    """Each run with what it will run and reuse. A step that is not there yet is known by the digest of its inputs."""
    try:
        ledger = Ledger.open(root, create=False)
    except InputError:
        ledger = None  # nothing is there yet
    made: set[str] = set()
    for run in runs:
        outside: Mapping[str, str | None] = {"model": run.recipe.model.model_dump_json()}
        if ledger is not None and any(verbs[step.verb].uses_model for step in run.recipe.steps):
            outside = run.context.model_identity()
        known: dict[str, str] = {}
        ran: list[str] = []
        reused: list[str] = []
        for step in run.recipe.steps:
            verb, seed = verbs[step.verb], run.recipe.seed if step.seed is None else step.seed
            parents = {role: known.get(source) or source.removeprefix(LEDGER) for role, source in step.roles.items()}
            inputs = step_inputs(step, verb, seed, parents, outside if verb.uses_model else {}, run.context)
            found = None if ledger is None else ledger.find(ledger.key(**inputs))
            known[step.name] = digest(inputs) if found is None else found.id
            (ran if found is None and known[step.name] not in made else reused).append(step.name)
            made.add(known[step.name])
        yield replace(run, to_run=tuple(ran), to_reuse=tuple(reused))


def run_all(runs: Sequence[PlannedRun], measured: str) -> Iterator[Record]:
    """Run them in order; yields their steps' records, with `RunStarted` and `RunDone` around them. What was stopped
    goes on when the same is run again, since the ledger keeps every step.

    Raises `InputError` as soon as a run has measured other items than the first one, or by another gold reward.
    """
    from truing.loops.verbs.table import VERBS

    done: list[RunDone] = []
    for number, run in enumerate(runs, start=1):
        ledger, seed = run.context.ledger, run.recipe.seed
        steps, reused = len(run.recipe.steps), len(run.to_reuse)
        yield RunStarted(number=number, of=len(runs), label=run.label, seed=seed, steps=steps, reused=reused)
        finished: list[StepDone] = []
        for record in run_recipe(run.recipe, VERBS, run.context):
            if isinstance(record, StepDone):
                finished.append(record)
            yield record
        evaluation = next(one.artifact for one in finished if one.step == measured)
        ended = RunDone(
            label=run.label,
            seed=seed,
            evaluation=evaluation,
            ran=tuple(one.step for one in finished if not one.reused),
            reused=tuple(one.step for one in finished if one.reused),
            seconds=sum(one.seconds for one in finished if not one.reused),
            tokens=trained_tokens(ledger, evaluation),
        )
        done.append(ended)
        _check_alike(ledger, done[0], ended)
        yield ended


def _check_alike(ledger: Ledger, first: RunDone, other: RunDone) -> None:
    """Raise `InputError` unless two runs measured the same items, by one gold reward."""
    sides = [by_task(read_items(ledger.folder(one.evaluation))) for one in (first, other)]
    try:
        for task in sorted({task for side in sides for task in side}):
            check_same_items(task, *(side.get(task, {}) for side in sides))
        check_gold(ledger, [first.evaluation, other.evaluation])
    except InputError as error:
        runs = " and ".join(f"{one.label} with seed {one.seed}" for one in (first, other))
        raise InputError(
            f"{runs} cannot be compared: {error}. Vary what is trained on and how, not what measures it; a dataset "
            "that draws its probes needs a seed of its own in the recipe, such as seed = 0"
        ) from None


def method_runs_of(done: Sequence[RunDone], ledger: Ledger) -> tuple[list[MethodRun], tuple[Measure, ...], Claim]:
    """The runs as those of methods, what they were measured on, and of what verdicts may speak."""
    measures = measures_of_items(metrics_of(*(ledger.folder(one.evaluation) for one in done)))
    runs = [method_run(ledger, one.label, one.seed, one.evaluation) for one in done]
    return runs, measures, claim_of(one.seed for one in done)
