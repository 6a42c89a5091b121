"""A guard over a policy-gradient run: which round's policy is kept, and when a run is stopped for hacking its reward.

A second reward, the *gold* one, that training does not see (another seed, other comparisons, a judge) scores the same
answers, and harmless prompts are asked beside them (`benign.py`). What a round measures is the policy that drew its
answers, before the round's updates; so the weights from before the best round by gold are kept, not the last ones, and
of the same time the critic's. What "hacking" is, and how sure one must be: `core/watch.py`.
"""

import json
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from truing.core.records import Progress, Record
from truing.core.watch import Iteration, Reading
from truing.engine.adapters import adapter_parameters
from truing.engine.trunk import Trunk
from truing.ledger.disk import sync_file, sync_folder
from truing.train.records import Guarded, PolicyStep, TrainStart
from truing.train.watched import GuardConfig, iteration_of, readings


@dataclass(frozen=True)
class _Best:
    """The weights that drew the answers of a round (and the critic's at that time), and their mean gold reward."""

    step: int
    gold: float
    weights: dict[str, Tensor]


def guard(
    records: Generator[Record, None, None],
    trunk: Trunk,
    name: str,
    config: GuardConfig,
    iterations: int,
    curve: Path,
    best: Path,
    critic: Mapping[str, Tensor] | None = None,
) -> Iterator[Record]:
    """Pass a trainer's records on, and end with `Guarded`; the adapter `name` then holds what is kept.

    `curve` is where the caller keeps the steps, a JSON line each: a resumed run reads there what it showed before.
    `best` is the guard's own file. `critic` are the critic's parameters, where the run has one (`train_ppo`).
    """

    def parameters() -> dict[str, Tensor]:
        own = {f"critic/{key}": value for key, value in (critic or {}).items()}
        return {**adapter_parameters(trunk, name), **own}

    points: list[Iteration] = []
    kept = _read(best)
    before: dict[str, Tensor] | None = None
    alarms: tuple[Reading, ...] = ()
    for record in records:
        if isinstance(record, TrainStart):
            points = _shown_before(curve, record.done)
        elif isinstance(record, Progress) and record.stage == "rollouts" and before is None:
            before = {key: value.detach().clone() for key, value in parameters().items()}
        elif isinstance(record, PolicyStep):
            points.append(iteration_of(record))
            if record.gold is not None and before is not None and (kept is None or record.gold > kept.gold):
                kept = _Best(record.step, record.gold, before)
                _write(kept, best)
            before = None
        yield record
        if isinstance(record, PolicyStep):
            alarms = tuple(reading for reading in readings(points, config, iterations) if reading.state == "alarm")
            if alarms and config.stop:
                records.close()
                break
    if kept is not None:
        with torch.no_grad():
            for key, parameter in parameters().items():
                parameter.copy_(kept.weights[key])
    yield Guarded(
        kept_step=None if kept is None else kept.step, kept_gold=None if kept is None else kept.gold, alarms=alarms
    )


def _shown_before(curve: Path, done: int) -> list[Iteration]:
    """The rounds up to `done` of a run that goes on; of a round that was run twice, the later line."""
    found: dict[int, Iteration] = {}
    if done and curve.is_file():
        for line in curve.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                step = PolicyStep.model_validate(json.loads(line))
            except ValueError:
                continue  # empty, or cut short by a kill: its round was run again
            found[step.step] = iteration_of(step)
    return [found[number] for number in sorted(found) if number <= done]


def _write(best: _Best, path: Path) -> None:
    """Whole or not at all; on the disk before the round's line and checkpoint are."""
    staging = path.with_suffix(".writing")
    save_file(best.weights, staging, {"step": str(best.step), "gold": repr(best.gold)})
    sync_file(staging)
    staging.replace(path)
    sync_folder(path.parent)


def _read(path: Path) -> _Best | None:
    if not path.is_file():
        return None
    with safe_open(path, framework="pt") as file:
        facts = file.metadata()
        weights = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (safe_open is no dict)
    return _Best(int(facts["step"]), float(facts["gold"]), weights)
