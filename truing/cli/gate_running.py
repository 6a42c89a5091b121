"""`truing gate BASE MODEL --sequential`: measure a model only until the verdict on it is certain."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console

from truing.cli.deployed import asked_how
from truing.cli.evaluate import system_of
from truing.cli.run import execute, prepare
from truing.core.errors import InputError
from truing.loops.systems import names_a_model

if TYPE_CHECKING:
    from truing.evals.compare import MetricComparison
    from truing.evals.gate import GateConfig, GateReport


def is_measurable(ledger: Path, name: str) -> bool:
    """Whether a name is that of a model, or of an adapter in the ledger, and not of an evaluation."""
    from truing.ledger.ledger import Ledger
    from truing.loops.baseline import SUFFIX

    if name.endswith(SUFFIX) or names_a_model(name):
        return not name.endswith(SUFFIX)
    try:
        return Ledger.open(ledger, create=False).get(name).kind == "adapter"
    except InputError:
        return False  # whoever looks for an evaluation says what is wrong


def measure_until_certain(
    context: typer.Context,
    base: str,
    candidate: str,
    config: "GateConfig",
    *,
    model: str | None,
    data_dir: Path | None,
    remote: list[str] | None,
    since: str | None,
    resume: bool,
    as_json: bool,
) -> "tuple[list[MetricComparison], GateReport, list[str]]":
    """Comparisons, the gate's report, and how far the evaluation went. Raises `InputError` where the baseline does not
    say how it was measured."""
    from truing.evals.observed import read_observations
    from truing.loops.verbs.gating import read_gate
    from truing.loops.verbs.running import read_stopped

    root = context.obj.ledger
    step, seed = _baseline(root, base)
    name, adapter = system_of(candidate, model)
    deployed = asked_how(name, remote, since, resume)
    if adapter is not None:
        step["adapter"] = f"ledger:{adapter}"
    values: dict[str, Any] = {
        "name": "gate",
        "seed": seed,
        "model": {"name": name},
        "gate": {"verb": "gate_running", **config.model_dump(exclude_none=True), **step},
    }
    recipe, prepared = prepare(values, "gate", root, data_dir, deployed)
    finished = execute(recipe, prepared, Console(stderr=as_json), quiet=as_json)
    folder = prepared.ledger.folder(finished["gate"].artifact)
    results, report = read_gate(folder)
    stopped = read_stopped(folder)
    notes = [f"{candidate}: {stopped}; this is no whole evaluation, and its means are pulled towards the verdict"]
    if (observed := read_observations(folder)) is not None:
        notes.append(f"{candidate}: {observed}")
    if stopped.left_out:
        notes.append(f"not measured, since no rule speaks of it: {', '.join(stopped.left_out)}")
    return results, report, notes


def _baseline(root: Path, base: str) -> tuple[dict[str, Any], int]:
    """The part of the step that says what the baseline is and how it was measured, and the seed."""
    from truing.ledger.ledger import Ledger
    from truing.loops.baseline import SUFFIX, how_measured, read_baseline

    if base.endswith(SUFFIX):
        measured, named = dict(read_baseline(Path(base)).origin.measured), {"baseline_file": base}
        hint = "export it again with `truing show EVALUATION --export FILE`"
    else:
        found = Ledger.open(root, create=False).get(base)
        measured, named = how_measured(found), {"baseline": f"ledger:{found.id}"}
        hint = "name an evaluation on public sets, whose answers their own judges judged (`truing eval --task`)"
    if not measured:
        raise InputError(
            f"{base}: it is not known by which tasks it was measured, and the candidate must be, too; {hint}"
        )
    seed = measured.pop("seed")
    return {**named, **{key: value for key, value in measured.items() if value is not None}}, seed
