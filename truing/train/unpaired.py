"""Training on single answers that people called good or bad: KTO and BCO. Nobody needs to have compared two answers.

Both compare an answer's log-ratio with a middle of log-ratios, which a whole batch shares:

    kto    z0, the mean over the batch's prompts, each with an answer that was written for another one (`kto_baseline`):
           a pass without gradient over these mismatched rows before every step
    bco    δ, the middle of all log-ratios that earlier steps saw (`reward_shift`); it is part of the checkpoint

Reference, resuming and the SFT term (of the good answers) as in `preference`. Equations: `losses/kto.py` and
`losses/bco.py`.
"""

from collections.abc import Hashable, Iterator, Sequence
from itertools import count, islice
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor

from truing.core.protocols import Store
from truing.core.records import Progress
from truing.core.twins import sample
from truing.engine.adapters import AdapterConfig, adapter_parameters, add_adapter, copy_weights
from truing.engine.score import TOKENS_AT_ONCE, batches
from truing.engine.tree import TokenSequence, build_forest
from truing.engine.trunk import Trunk
from truing.losses.bco import reward_shift, seen_ratios
from truing.losses.dpo import kl_estimate
from truing.losses.kto import kto_baseline
from truing.train.checkpoint import Checkpoints
from truing.train.fit import begin, load_of
from truing.train.mismatched import mismatched_rows
from truing.train.objectives import ANSWERS, LossConfig
from truing.train.optimise import OptimiserConfig, optimiser, take_steps
from truing.train.records import TrainStart, TrainStep
from truing.train.reference import Prepared, reference_logprobs
from truing.train.rows import identity, lower_pass, schedule

VERSION = 1
Answer = tuple[TokenSequence, bool]  # and whether it is a good one


class UnpairedConfig(LossConfig):
    """`limit`: train on about so many answers, drawn by the seed, twins together (None: all of them)."""

    limit: int | None = Field(default=None, ge=1)
    loss: Literal["kto", "bco"] = "kto"
    beta: float | None = Field(default=None, gt=0)
    desirable_weight: float | None = Field(default=None, gt=0)
    undesirable_weight: float | None = Field(default=None, gt=0)
    sft_weight: float | None = Field(default=None, ge=0)
    epochs: int = Field(default=1, ge=1)
    batch_rows: int = Field(default=32, ge=1)
    microbatch_tokens: int = Field(default=2048, ge=1)
    checkpoint_every: int = Field(default=20, ge=1)
    adapter: AdapterConfig = AdapterConfig()
    optimiser: OptimiserConfig = OptimiserConfig(learning_rate=1e-4)


def train_unpaired(
    trunk: Trunk,
    answers: Sequence[Answer],
    config: UnpairedConfig,
    *,
    twins: Sequence[Hashable] | None = None,
    seed: int = 0,
    name: str = "policy",
    start_from: Path | None = None,
    store: Store | None = None,
    checkpoint: Path | None = None,
) -> Iterator[Progress | TrainStart | TrainStep]:
    """Train a new adapter `name` on the trunk; it holds the result when the iterator ends. Arguments and errors as in
    `preference`; `InputError`, too, where kto finds no two prompts."""
    marks = twins or range(len(answers))
    used = sample(marks, config.limit, seed)
    marks, answers = [marks[row] for row in used], [answers[row] for row in used]
    rows, labels = [row for row, _ in answers], [label for _, label in answers]
    order = list(schedule(marks, config.epochs, config.batch_rows, seed))
    run_of = f"unpaired {''.join('+' if label else '-' for label in labels)}"
    run = identity(run_of, trunk, rows, marks, config, seed, start_from)
    numbers = count(len(rows))
    mismatched = [[next(numbers) for _ in batch] for _, _, batch in order]  # each step's; their rows follow the others
    if config.loss == "kto":
        taken = iter([row for _, _, batch in order for row in batch])
        epochs = [list(islice(taken, len(answers))) for _ in range(config.epochs)]
        rows = [*rows, *(row for epoch in epochs for row in mismatched_rows(rows, labels, epoch, trunk.context))]
    first = add_adapter(trunk, name, config.adapter, seed)
    if start_from is not None:
        copy_weights(start_from, trunk, name)
    parameters = adapter_parameters(trunk, name)
    adamw = optimiser(parameters, config.optimiser)
    seen = torch.zeros(4, dtype=torch.float64)  # log-ratios of earlier steps, for bco
    kept = Checkpoints(checkpoint, run, parameters, adamw, config.checkpoint_every, {"seen": seen})
    forest = build_forest(rows)
    load = load_of(trunk, forest, [batch for _, _, batch in order], 1, first, parameters)
    start = begin(load, kept, config.microbatch_tokens)
    yield start
    below = yield from lower_pass(trunk, forest, first, store, kept.beside("lower") if start.lower_on_disk else None)
    reference = yield from reference_logprobs(trunk, rows, forest, below, first, start_from, store, group=1)
    prepared = Prepared(trunk, forest, below, first, reference)
    kept.restore()

    def gradient(step: int, batch: list[int]) -> dict[str, Any]:
        middle = reward_shift(seen) if config.loss == "bco" else _baseline(prepared, mismatched[step])
        good = torch.tensor([labels[row] for row in batch])
        ratio, found = _batch_gradient(prepared, batch, good, middle, config, start.microbatch_tokens)
        seen.add_(seen_ratios(ratio, good))
        return found

    yield from take_steps(adamw, kept, order, config.optimiser, gradient, TrainStep)


def _baseline(prepared: Prepared, mismatched: list[int]) -> Tensor:
    """KTO's z0 [], in nats."""
    with torch.no_grad():
        parts = [prepared.score(part) for part in batches(prepared.forest, mismatched, TOKENS_AT_ONCE)]
        return kto_baseline(torch.cat([part.policy.sums() - part.reference_sums() for part in parts]).cpu())


def _batch_gradient(
    prepared: Prepared, batch: list[int], good: Tensor, middle: Tensor, config: UnpairedConfig, tokens: int
) -> tuple[Tensor, dict[str, Any]]:
    """Accumulate the batch's gradient over micro-batches; returns its rows' log-ratios [rows] and the step's record.

    Every sum is divided by the whole batch's number of answers, never by a micro-batch's.
    """
    objective, settings, total, size, distance, done = ANSWERS[config.loss], config.settings(), 0.0, 0, 0.0, 0
    columns: list[tuple[Tensor, Tensor, Tensor]] = []
    for part in batches(prepared.forest, batch, tokens):
        scored = prepared.score(part)
        sums, lengths = scored.policy.sums(), scored.policy.lengths()
        ratio, label = sums - scored.reference_sums(), good[done : done + len(part)].to(sums.device)
        losses = objective.loss(ratio, label, middle.to(ratio), settings).sum() / len(batch)
        sft_term = -settings["sft_weight"] * (label * sums / lengths).sum() / max(1, int(good.sum()))
        loss = losses + sft_term
        loss.backward()  # type: ignore[no-untyped-call]
        assert scored.reference is not None
        distance += kl_estimate(scored.policy.value.detach(), scored.reference).item() * len(scored.reference)
        columns.append((sums.detach().cpu(), ratio.detach().cpu(), lengths.cpu()))
        total, size, done = total + loss.item(), size + scored.tokens, done + len(part)
    sums, ratio, lengths = (torch.cat(column) for column in zip(*columns, strict=True))
    of_good, of_bad = _mean(ratio[good]), _mean(ratio[~good])
    return ratio, {
        "loss": total,
        "middle": middle.item(),
        "margin": None if of_good is None or of_bad is None else of_good - of_bad,
        "accuracy": ((ratio > middle.to(ratio)) == good).double().mean().item(),
        "chosen_logprob": _mean(sums[good]),
        "rejected_logprob": _mean(sums[~good]),
        "kl": distance / int(lengths.sum()),
        "mean_length": lengths.double().mean().item(),
        "tokens": size,
    }


def _mean(values: Tensor) -> float | None:
    """None of nothing."""
    return values.mean().item() if len(values) else None
