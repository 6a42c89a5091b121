"""The recipe: a chain of steps, each an artifact in the ledger; what exists is reused, what was interrupted goes on.

A recipe is TOML. Its top level names the model and the seed; every table is a step, in order:

    model = "smollm2-135m"
    seed = 0

    [comparisons]              # the step's name
    verb = "dataset"           # what it does: one of `VERBS`
    source = "starter"         # settings of that verb

    [sft]
    verb = "sft"
    data = "comparisons"       # a role of the verb, filled by an earlier step
    epochs = 2

A step's key is a digest of its verb's version, its settings, its parents, the seed, the model's weights and the files that
it reads: changing one assumption re-runs exactly what depends on it.
"""

import time
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from truing.core.config import Config
from truing.core.errors import InputError
from truing.core.records import Record
from truing.ledger.artifacts import Artifact, Parent
from truing.ledger.ledger import Ledger
from truing.loops.context import Context
from truing.loops.events import StepDone, StepStarted


@dataclass
class StepResult:
    """What a verb leaves beside its files: metrics, and the (id, sha256) of the rows that the artifact holds."""

    metrics: dict[str, float | None | str] = field(default_factory=dict)
    rows: list[tuple[str, str]] = field(default_factory=list)


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
    """What a recipe's step does. `roles` are the parents that it needs, `optional_roles` those that it may have."""

    name: str
    version: int
    kind: str
    config: type[Config]
    roles: tuple[str, ...]
    optional_roles: tuple[str, ...]
    uses_model: bool

    def reads(self, config: Any, context: Context) -> Mapping[str, str]:
        """Digests of everything outside the ledger that the step reads: part of its key."""
        ...

    def run(self, step: Step, config: Any) -> Generator[Record, None, StepResult]: ...


class Recipe(Record):
    """A parsed recipe: steps in order, each (name, verb, settings and roles as written)."""

    name: str
    model: str
    seed: int
    steps: tuple[tuple[str, str, dict[str, Any]], ...]
    given: Mapping[str, Artifact] = {}


def parse_recipe(
    values: Mapping[str, Any], where: str, verbs: Mapping[str, Verb], given: Mapping[str, Artifact] | None = None
) -> Recipe:
    """Check a recipe's shape: known verbs, valid settings, roles filled by earlier steps or by `given` artifacts.

    Raises `InputError` saying what is wrong and where.
    """
    given = given or {}
    steps: list[tuple[str, str, dict[str, Any]]] = []
    plain = {key: value for key, value in values.items() if not isinstance(value, dict)}
    head = _Head.parse(plain, where)
    for name, table in values.items():
        if not isinstance(table, dict):
            continue
        verb = verbs.get(str(table.get("verb")))
        if verb is None:
            raise InputError(f"{where}: [{name}] needs verb = one of {', '.join(sorted(verbs))}; found {table.get('verb')!r}")
        settings = {key: value for key, value in table.items() if key != "verb"}
        _check_roles(name, verb, settings, [*given, *(earlier for earlier, _, _ in steps)], where)
        verb.config.parse(_settings(verb, settings), f"{where}: [{name}]")
        steps.append((name, verb.name, settings))
    if not steps:
        raise InputError(f"{where}: there is no step; add a table such as [comparisons] with verb = \"dataset\"")
    return Recipe(name=head.name, model=head.model, seed=head.seed, steps=tuple(steps), given=given)


class _Head(Config):
    name: str = "run"
    model: str = "smollm2-135m"
    seed: int = 0


def _check_roles(name: str, verb: Verb, settings: Mapping[str, Any], earlier: list[str], where: str) -> None:
    for role in (*verb.roles, *verb.optional_roles):
        if role not in settings:
            if role in verb.roles:
                raise InputError(f"{where}: [{name}] needs {role} = the name of an earlier step")
        elif settings[role] not in earlier:
            known = ", ".join(earlier) or "none"
            raise InputError(f"{where}: [{name}] {role} = {settings[role]!r} is not an earlier step; there are: {known}")


def _settings(verb: Verb, settings: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in settings.items() if key not in (*verb.roles, *verb.optional_roles)}


def run_recipe(recipe: Recipe, ledger: Ledger, verbs: Mapping[str, Verb], context: Context) -> Iterator[Record]:
    """Run the steps in order; yields their records, with `StepStarted` and `StepDone` around them."""
    made: dict[str, Artifact] = dict(recipe.given)
    for name, verb_name, written in recipe.steps:
        verb = verbs[verb_name]
        config = verb.config.parse(_settings(verb, written), f"[{name}]")
        parents = {role: made[written[role]] for role in (*verb.roles, *verb.optional_roles) if role in written}
        started = time.monotonic()
        identity: dict[str, Any] = {
            "verb": verb.name,
            "verb_version": verb.version,
            "config": {**config.model_dump(mode="json"), **_outside(verb, config, context)},
            "parents": [Parent(role=role, artifact=parent.id) for role, parent in parents.items()],
            "seed": recipe.seed,
        }
        key = ledger.key(**identity)
        artifact = ledger.find(key)
        reused = artifact is not None
        if artifact is None:
            yield StepStarted(step=name, verb=verb.name)
            with ledger.begin() as staging:
                step = Step(name, key, recipe.seed, parents, staging, context)
                result = yield from verb.run(step, config)
                artifact = ledger.commit(
                    staging, kind=verb.kind, name=name, metrics=result.metrics, rows=result.rows, **identity
                )
            ledger.discard_workspace(key)
        made[name] = artifact
        yield StepDone(
            step=name, verb=verb.name, artifact=artifact, reused=reused, seconds=time.monotonic() - started
        )


def _outside(verb: Verb, config: Config, context: Context) -> dict[str, str]:
    """What a step depends on besides its settings and parents: the model's weights and the files it reads."""
    model = {"model": context.model, "model_sha256": context.model_sha256} if verb.uses_model else {}
    return {**model, **verb.reads(config, context)}
