"""The runs of training methods that a ledger holds: evaluations that differ in their seeds alone."""

import json
from collections.abc import Iterator, Sequence

from truing.core.digest import digest
from truing.core.errors import InputError
from truing.data.native import lines_of
from truing.evals.artifact import own_tasks, read_items
from truing.evals.methods import MethodRun
from truing.ledger.artifacts import Artifact
from truing.ledger.ledger import Ledger

_TRAINED = ("adapter", "reward")


def method_runs(ledger: Ledger, names: Sequence[str]) -> tuple[list[MethodRun], list[str]]:
    """The runs of the named methods, and what should be said of them.

    A name is an evaluation's, or that of the adapter which it measured. The newest one says which settings are meant:
    an evaluation belongs to it if everything behind it is the same but for seeds. A run's seed is its adapter's, or of
    the bare model the evaluation's own.

    Raises `InputError` for a name without evaluation, and where runs were not measured in the same way.
    """
    found = {name: _of_one_method(ledger, name) for name in dict.fromkeys(names)}
    _check_alike(ledger, [evaluation for _, evaluations in found.values() for evaluation in evaluations.values()])
    runs = [
        method_run(ledger, name, seed, evaluation)
        for name, (_, evaluations) in found.items()
        for seed, evaluation in sorted(evaluations.items())
    ]
    notices = [
        f"{name}: {left} evaluation{'s' * (left > 1)} with other settings, or older ones of a seed, left out"
        for name, (left, _) in found.items()
        if left
    ]
    return runs, notices


def _of_one_method(ledger: Ledger, name: str) -> tuple[int, dict[int, Artifact]]:
    """How many evaluations of a name are not meant, and those that are, by seed."""
    every = ledger.list("evaluation")  # the newest first
    named = [one for one in every if one.name == name]
    if not named:
        named = [one for one in every if (adapter := _parent(ledger, one, "adapter")) and adapter.name == name]
    if not named:
        raise InputError(
            f"{name!r}: there is no evaluation of this name, nor of an adapter of this name; "
            "`truing ls --kind evaluation` lists those that there are"
        )
    meant = _without_seeds(ledger, named[0])
    by_seed: dict[int, Artifact] = {}
    for one in named:
        if _without_seeds(ledger, one) == meant:
            by_seed.setdefault((_parent(ledger, one, "adapter") or one).seed or 0, one)
    return len(named) - len(by_seed), by_seed


def _without_seeds(ledger: Ledger, artifact: Artifact) -> str:
    """A digest of all that is behind an artifact, but for seeds."""
    parents = [[parent.role, _without_seeds(ledger, ledger.get(parent.artifact))] for parent in artifact.parents]
    return digest([artifact.verb, artifact.verb_version, artifact.config, sorted(parents)])


def _check_alike(ledger: Ledger, evaluations: Sequence[Artifact]) -> None:
    first = evaluations[0]
    for one in evaluations[1:]:
        ours, theirs = ({**side.config, "the version of the evaluation": side.verb_version} for side in (first, one))
        changed = sorted(key for key in {*ours, *theirs} if ours.get(key) != theirs.get(key))
        if changed:
            raise InputError(
                f"{first.name} {first.short} and {one.name} {one.short} were measured with another "
                f"{' and '.join(changed)}; evaluate all methods in the same way"
            )
    check_gold(ledger, evaluations)


def check_gold(ledger: Ledger, evaluations: Sequence[Artifact]) -> None:
    """Raise `InputError` unless the evaluations' answers were judged by one gold reward, or by none."""
    golds = {gold.id if (gold := _parent(ledger, one, "gold_model")) else "none" for one in evaluations}
    if len(golds) > 1:
        raise InputError(
            f"the evaluations do not share one gold reward ({', '.join(sorted(gold[:12] for gold in golds))}); give "
            "its step, and the dataset that it learns from, a seed of their own in the recipe, such as seed = 100"
        )


def method_run(ledger: Ledger, name: str, seed: int, evaluation: Artifact) -> MethodRun:
    """An evaluation as a run of the method `name`, with what training its adapter took."""
    adapter = _parent(ledger, evaluation, "adapter")
    folder = ledger.folder(evaluation)
    items, metrics = tuple(read_items(folder)), tuple(one for task in own_tasks(folder) for one in task.metrics)
    if adapter is None:
        return MethodRun(method=name, seed=seed, items=items, metrics=metrics, seconds=0.0, seconds_in_all=0.0)
    cost = ledger.cost(adapter)
    behind = [ledger.cost(one) for one in {one.id: one for one in _behind(ledger, adapter)}.values()]
    return MethodRun(
        method=name,
        seed=seed,
        items=items,
        metrics=metrics,
        seconds=cost.seconds if cost else None,
        seconds_in_all=sum(one.seconds for one in behind if one) if None not in behind else None,
        peak_mb=cost.peak_mb if cost else None,
    )


def trained_tokens(ledger: Ledger, evaluation: Artifact) -> int | None:
    """The tokens that passed through all training behind the measured adapter, as the curves count them; 0 of a bare
    model, None where a curve is not there."""
    adapter = _parent(ledger, evaluation, "adapter")
    behind = [] if adapter is None else {one.id: one for one in _behind(ledger, adapter)}.values()
    curves = [ledger.folder(one) / "steps.jsonl" for one in behind]
    if not all(curve.is_file() for curve in curves):
        return None
    return sum(int(json.loads(line)["tokens"]) for curve in curves for line in lines_of(curve))


def _behind(ledger: Ledger, artifact: Artifact) -> Iterator[Artifact]:
    """An artifact and all that was trained before it."""
    if artifact.kind in _TRAINED:
        yield artifact
    for parent in artifact.parents:
        yield from _behind(ledger, ledger.get(parent.artifact))


def _parent(ledger: Ledger, artifact: Artifact, role: str) -> Artifact | None:
    return next((ledger.get(parent.artifact) for parent in artifact.parents if parent.role == role), None)
