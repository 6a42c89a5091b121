"""The recipe: a chain of steps, each an artifact in the ledger; what exists is reused, what was interrupted goes on.

A recipe is TOML. Its top level names the model and the seed; every table is a step, in order:

    model = "smollm2-135m"     # or a table [model]: name, dtype, device, template
    seed = 0

    [comparisons]              # the step's name
    verb = "dataset"           # what it does: one of `VERBS`
    source = "starter"         # settings of that verb
    seed = 7                   # of this step, whatever the run's: for what runs of several seeds shall share

    [sft]
    verb = "sft"
    data = "comparisons"       # a role of the verb: an earlier step, or an artifact as "ledger:NAME-OR-ID"
    epochs = 2

A step's key is a digest of its verb's version, its settings, its parents, its seed, the model's weights and the files
that it reads: changing one assumption re-runs exactly what depends on it.
"""

import time
from collections.abc import Callable, Collection, Generator, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from truing.core.config import Config
from truing.core.errors import InputError
from truing.core.records import Record
from truing.engine.settings import ModelConfig
from truing.ledger.artifacts import Artifact, Parent
from truing.loops.context import Context
from truing.loops.cost import Meter
from truing.loops.events import Reading, StepDone, StepStarted, StepWaiting

LEDGER = "ledger:"


@dataclass
class StepResult:
    """What a verb leaves beside its files: metrics, and the (id, sha256) of the rows that the artifact holds.
    `observation`: a deployed model was asked, which is not the one that is measured."""

    metrics: Mapping[str, float | str | None] = field(default_factory=dict)
    rows: list[tuple[str, str]] = field(default_factory=list)
    observation: bool = False


@dataclass
class Step:
    """One step about to run: where to write, what it stands on, and the run's context."""

    name: str
    key: str
    seed: int
    parents: dict[str, Artifact]
    folder: Path
    context: Context

    def parent_folder(self, role: str) -> Path:
        """The files of the artifact in a role."""
        return self.context.ledger.folder(self.parents[role])


class Verb(Protocol):
    """What a recipe's step does. `roles` are the parents that it needs, `optional_roles` those that it may have, each
    with the kind of artifact that can fill it."""

    name: str
    version: int
    kind: str
    config: type[Config]
    roles: Mapping[str, str]
    optional_roles: Mapping[str, str]
    uses_model: bool

    def reads(self, config: Any, roles: Collection[str], context: Context, /) -> Mapping[str, str]:
        """Digests of everything outside the ledger that the step reads: part of its key. `roles` are those that are
        filled. Raises `InputError` where something is missing."""
        ...

    def run(self, step: Step, config: Any) -> Generator[Record, None, StepResult]: ...


class PlannedStep(Record):
    """One step as written: its settings, its roles, each with an earlier step's name or `ledger:` and an id, and its
    seed where it is not the run's."""

    name: str
    verb: str
    roles: dict[str, str]
    settings: dict[str, Any]
    seed: int | None = None


class Recipe(Record):
    """A parsed recipe, its steps in order."""

    name: str
    model: ModelConfig
    seed: int
    steps: tuple[PlannedStep, ...]


def parse_recipe(
    values: Mapping[str, Any], where: str, verbs: Mapping[str, Verb], find: Callable[[str], Artifact]
) -> Recipe:
    """Check a recipe's shape: known verbs, valid settings, roles filled by earlier steps or by artifacts that `find`
    gets from the ledger.

    Raises `InputError` saying what is wrong and where.
    """
    steps: list[PlannedStep] = []
    kinds: dict[str, str] = {}
    tables = {key: value for key, value in values.items() if isinstance(value, dict)}
    head = _Head.parse({key: value for key, value in values.items() if key not in tables}, where)
    model = ModelConfig.parse(tables.pop("model", {"name": head.model}), f"{where}: [model]")
    for name, table in tables.items():
        verb = verbs.get(str(table.get("verb")))
        if verb is None:
            known = ", ".join(sorted(verbs))
            raise InputError(f"{where}: [{name}] needs verb = one of {known}; found {table.get('verb')!r}")
        roles = _roles(f"{where}: [{name}]", verb, table, kinds, find)
        own = _Own.parse({key: value for key, value in table.items() if key == "seed"}, f"{where}: [{name}]")
        settings = {key: value for key, value in table.items() if key not in {"verb", "seed", *roles}}
        verb.config.parse(settings, f"{where}: [{name}]")
        steps.append(PlannedStep(name=name, verb=verb.name, roles=roles, settings=settings, seed=own.seed))
        kinds[name] = verb.kind
    if not steps:
        raise InputError(f'{where}: there is no step; add a table such as [comparisons] with verb = "dataset"')
    return Recipe(name=head.name, model=model, seed=head.seed, steps=tuple(steps))


class _Head(Config):
    name: str = "run"
    model: str = "smollm2-135m"
    seed: int = 0


class _Own(Config):
    seed: int | None = None


def _roles(
    where: str, verb: Verb, table: Mapping[str, Any], kinds: Mapping[str, str], find: Callable[[str], Artifact]
) -> dict[str, str]:
    """The roles that are filled. `kinds` are the earlier steps, each with the kind of artifact that it makes."""
    roles: dict[str, str] = {}
    for role, kind in {**verb.roles, **verb.optional_roles}.items():
        if role not in table:
            if role in verb.roles:
                raise InputError(f'{where} needs {role} = the name of an earlier step, or "{LEDGER}NAME"')
            continue
        source = str(table[role])
        if source.startswith(LEDGER):
            try:
                artifact = find(source.removeprefix(LEDGER))
            except InputError as error:
                raise InputError(f"{where} {role} = {source!r}: {error}") from None
            found, roles[role] = artifact.kind, LEDGER + artifact.id
        elif source in kinds:
            found, roles[role] = kinds[source], source
        else:
            known = ", ".join(kinds) or "none"
            raise InputError(f"{where} {role} = {source!r} is not an earlier step; there are: {known}")
        if found != kind:
            raise InputError(f"{where} {role} = {source!r} is of the kind {found!r}, expected the kind {kind!r}")
    return roles


def check_outside(recipe: Recipe, where: str, verbs: Mapping[str, Verb], context: Context) -> None:
    """Raise `InputError` if a file that the model or a step will read is missing."""
    try:
        recipe.model.identity("")
    except InputError as error:
        raise InputError(f"{where}: [model] {error}") from None
    for step in recipe.steps:
        verb = verbs[step.verb]
        try:
            verb.reads(verb.config.parse(step.settings, ""), step.roles, context)
        except InputError as error:
            raise InputError(f"{where}: [{step.name}] {error}") from None


def run_recipe(recipe: Recipe, verbs: Mapping[str, Verb], context: Context) -> Iterator[Record]:
    """Run the steps in order; yields their records, with `StepStarted` and `StepDone` around them.

    Other processes may run recipes in the same ledger: one that wants a step which another runs waits, and reuses it.
    """
    with context.ledger.writing():
        made: dict[str, Artifact] = {}
        model: Mapping[str, str | None] = {}
        if any(verbs[step.verb].uses_model for step in recipe.steps):
            if context.deployed is None:
                yield Reading(what=context.model.name)
            model = context.model_identity()
        for planned in recipe.steps:
            verb = verbs[planned.verb]
            started = time.monotonic()
            outside = model if verb.uses_model else {}
            seed = recipe.seed if planned.seed is None else planned.seed
            artifact, reused = yield from _run_step(planned, verb, seed, made, outside, context)
            made[planned.name] = artifact
            seconds = time.monotonic() - started
            yield StepDone(step=planned.name, verb=verb.name, artifact=artifact, reused=reused, seconds=seconds)


def _run_step(
    planned: PlannedStep,
    verb: Verb,
    seed: int,
    made: Mapping[str, Artifact],
    outside: Mapping[str, str | None],
    context: Context,
) -> Generator[Record, None, tuple[Artifact, bool]]:
    """Make a step's artifact, or find it; returns it and whether it was there. `made` are the earlier steps' artifacts,
    `outside` what the step's key takes from outside the ledger beside what its verb reads. What a deployed model
    answered is an observation, which is never found: it may answer otherwise now."""
    ledger = context.ledger
    parents = {
        role: made.get(source) or ledger.get(source.removeprefix(LEDGER)) for role, source in planned.roles.items()
    }
    identity = step_inputs(planned, verb, seed, {role: one.id for role, one in parents.items()}, outside, context)
    key = ledger.key(**identity)
    if ledger.find(key) is None and (holder := ledger.running(key)) is not None:
        yield StepWaiting(step=planned.name, holder=holder)
    with ledger.step(key):
        artifact = ledger.find(key)
        if artifact is not None:
            ledger.touch(artifact)
            return artifact, True
        yield StepStarted(step=planned.name, verb=verb.name)
        whole = not ledger.unfinished(key)  # of a step that goes on, the first part's cost is not known
        with ledger.begin() as staging, Meter() as meter:
            step = Step(planned.name, key, seed, parents, staging, context)
            result = yield from verb.run(step, verb.config.parse(planned.settings, f"[{planned.name}]"))
            artifact = ledger.commit(
                staging,
                kind=verb.kind,
                name=planned.name,
                metrics=result.metrics,
                rows=result.rows,
                cost=meter.cost() if whole else None,
                observation=result.observation or (verb.uses_model and context.deployed is not None),
                **identity,
            )
        ledger.discard_workspace(key)
        return artifact, False


def step_inputs(
    planned: PlannedStep,
    verb: Verb,
    seed: int,
    parents: Mapping[str, str],
    outside: Mapping[str, str | None],
    context: Context,
) -> dict[str, Any]:
    """All that a step's key is a digest of (`Ledger.key`). `parents` are the ids in its roles, `outside` what comes
    from outside the ledger beside what its verb reads."""
    config = verb.config.parse(planned.settings, f"[{planned.name}]")
    return {
        "verb": verb.name,
        "verb_version": verb.version,
        "config": {**config.model_dump(mode="json"), **outside, **verb.reads(config, parents, context)},
        "parents": [Parent(role=role, artifact=parent) for role, parent in parents.items()],
        "seed": seed,
    }
