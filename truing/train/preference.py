"""Direct preference optimisation of an adapter on comparisons, each pair one token tree.

The reference is what training starts from: the bare trunk, or the adapter given as `start_from` (after SFT). Its
log-probabilities are computed once, before the first step, and kept by content. The optional SFT term
    L = L_pref + w · (−log π(y_w | x) / |y_w|)
keeps the chosen answers likely (as in RPO, Pang et al. 2024, arXiv:2404.19733, equation 3). Losses: `losses/dpo.py`.
"""

import io
import json
import time
from collections.abc import Callable, Generator, Hashable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor

from truing.core.config import Config
from truing.core.digest import digest, digest_bytes, digest_file
from truing.core.protocols import Store
from truing.core.records import Progress
from truing.core.twins import sample
from truing.engine.adapters import AdapterConfig, adapter_files, adapter_parameters, add_adapter, copy_weights
from truing.engine.score import TOKENS_AT_ONCE, batches, score_forest
from truing.engine.tree import Forest, TokenSequence, build_forest
from truing.engine.trunk import Trunk
from truing.losses.dpo import adjusted_margin, conservative_dpo_loss, dpo_loss, kl_estimate, robust_dpo_loss
from truing.train.checkpoint import Checkpoints
from truing.train.fit import begin, load_of
from truing.train.optimise import OptimiserConfig, optimiser, rate_at, take_step
from truing.train.records import TrainStart, TrainStep
from truing.train.rows import identity, lower_pass, schedule, steps_in

VERSION = 1
Pair = tuple[TokenSequence, TokenSequence]


class PreferenceConfig(Config):
    """What was measured for the embedded model is in the demo's recipe. `flip_rate` is ε of cdpo and robust_dpo.
    `limit`: train on about so many pairs, drawn by the seed, twins together (None: all of them)."""

    limit: int | None = Field(default=None, ge=1)
    loss: Literal["dpo", "cdpo", "robust_dpo"] = "dpo"
    beta: float = Field(default=0.1, gt=0)
    flip_rate: float = Field(default=0.0, ge=0, lt=0.5)
    sft_weight: float = Field(default=0.1, ge=0)
    epochs: int = Field(default=1, ge=1)
    batch_rows: int = Field(default=16, ge=1)
    microbatch_tokens: int = Field(default=2048, ge=1)
    checkpoint_every: int = Field(default=20, ge=1)
    adapter: AdapterConfig = AdapterConfig()
    optimiser: OptimiserConfig = OptimiserConfig(learning_rate=1e-4)

    @model_validator(mode="after")
    def _flip_rate_is_used(self) -> "PreferenceConfig":
        if (self.loss == "dpo") != (self.flip_rate == 0):
            raise ValueError(
                "flip_rate belongs to the losses cdpo and robust_dpo, which need one above 0; dpo takes none"
            )
        return self

    def loss_of(self) -> Callable[[Tensor], Tensor]:
        """margins [pairs] → losses [pairs]."""
        return {
            "dpo": lambda margin: dpo_loss(margin, self.beta),
            "cdpo": lambda margin: conservative_dpo_loss(margin, self.beta, self.flip_rate),
            "robust_dpo": lambda margin: robust_dpo_loss(margin, self.beta, self.flip_rate),
        }[self.loss]


@dataclass(frozen=True)
class _Prepared:
    """What every step needs: the pairs' forest (sequences 2i chosen, 2i+1 rejected), its nodes' states before the
    adapter's first layer, and the reference's log-probabilities of every scored token, sequence by sequence."""

    forest: Forest
    below: Tensor
    first: int
    reference: list[Tensor]


def train_preference(
    trunk: Trunk,
    pairs: Sequence[Pair],
    config: PreferenceConfig,
    *,
    twins: Sequence[Hashable] | None = None,
    seed: int = 0,
    name: str = "policy",
    start_from: Path | None = None,
    store: Store | None = None,
    checkpoint: Path | None = None,
) -> Iterator[Progress | TrainStart | TrainStep]:
    """Train a new adapter `name` on the trunk; it holds the result when the iterator ends.

    `start_from` is an adapter folder of the same shape: the starting point and the reference. Twins, seed, resuming
    and errors as in `sft`.
    """
    marks = twins or range(len(pairs))
    used = sample(marks, config.limit, seed)
    marks, pairs = [marks[row] for row in used], [pairs[row] for row in used]
    first = add_adapter(trunk, name, config.adapter, seed)
    if start_from is not None:
        copy_weights(start_from, trunk, name)
    parameters = adapter_parameters(trunk, name)
    adamw = optimiser(parameters, config.optimiser)
    rows = [sequence for pair in pairs for sequence in pair]
    run = identity("preference", trunk, rows, marks, config, seed, start_from)
    kept = Checkpoints(checkpoint, run, parameters, adamw, config.checkpoint_every)
    forest = build_forest(rows)
    order = [batch for _, _, batch in schedule(marks, config.epochs, config.batch_rows, seed)]
    load = load_of(trunk, forest, order, 2, first, parameters)
    start = begin(load, kept, config.microbatch_tokens)
    yield start
    config = config.model_copy(update={"microbatch_tokens": start.microbatch_tokens})
    below = yield from lower_pass(trunk, forest, first, store, kept.beside("lower") if start.lower_on_disk else None)
    prepared = yield from _prepare(trunk, pairs, forest, below, first, start_from, store)
    kept.restore()
    steps = steps_in(len(pairs), config.epochs, config.batch_rows)
    for step, epoch, batch in schedule(marks, config.epochs, config.batch_rows, seed):
        if step < kept.done:
            continue
        started = time.perf_counter()
        totals = _batch_gradient(trunk, prepared, batch, config)
        norm = take_step(adamw, totals["loss"], step, steps, config.optimiser)
        tokens = int(totals.pop("tokens"))
        yield TrainStep(
            step=step + 1,
            steps=steps,
            epoch=epoch,
            rate=rate_at(step, steps, config.optimiser),
            gradient_norm=norm,
            tokens=tokens,
            tokens_per_second=tokens / (time.perf_counter() - started),
            **totals,
        )
        kept.after(step + 1)


def _prepare(
    trunk: Trunk,
    pairs: Sequence[Pair],
    forest: Forest,
    below: Tensor,
    first: int,
    start_from: Path | None,
    store: Store | None,
) -> Generator[Progress, None, _Prepared]:
    """The reference's log-probabilities: computed once, and kept in the store by content."""
    key = digest(
        {
            "what": "reference logprobs",
            "trunk": trunk.sha256,
            "adapter": None if start_from is None else digest_file(adapter_files(start_from)[0]),
            "rows": digest_bytes(json.dumps([[row.ids, row.scored_from] for pair in pairs for row in pair]).encode()),
        }
    )
    kept = store.get(key) if store is not None and trunk.sha256 else None
    if kept is not None:
        flat = torch.from_numpy(np.load(io.BytesIO(kept)))
    else:
        parts = []
        for part in batches(forest, range(len(pairs)), TOKENS_AT_ONCE, group=2):
            piece = forest.select([2 * pair + side for pair in part for side in (0, 1)])
            with torch.no_grad():  # never across a yield: the caller would run without gradients, too
                parts.append(score_forest(trunk, piece, below[torch.from_numpy(piece.source)], first).value.cpu())
            yield Progress(stage="reference", done=part[-1] + 1, total=len(pairs))
        flat = torch.cat(parts)
        if store is not None and trunk.sha256:
            buffer = io.BytesIO()
            np.save(buffer, flat.numpy())
            store.put(key, buffer.getvalue())
    lengths = [len(row.ids) - max(row.scored_from, 1) for pair in pairs for row in pair]
    return _Prepared(forest, below, first, list(flat.split(lengths)))  # type: ignore[no-untyped-call]


def _batch_gradient(trunk: Trunk, prepared: _Prepared, batch: list[int], config: PreferenceConfig) -> dict[str, float]:
    """Accumulate the batch's gradient over micro-batches; returns the step's means (and its number of tokens).

    Every sum is divided by the whole batch's number of pairs, never by a micro-batch's.
    """
    loss_of = config.loss_of()
    totals = dict.fromkeys(
        ("loss", "margin", "accuracy", "chosen_logprob", "rejected_logprob", "kl", "mean_length", "tokens"), 0.0
    )
    for part in batches(prepared.forest, batch, config.microbatch_tokens, group=2):
        sequences = [2 * pair + side for pair in part for side in (0, 1)]
        piece = prepared.forest.select(sequences)
        logprobs = score_forest(trunk, piece, prepared.below[torch.from_numpy(piece.source)], prepared.first)
        reference = torch.cat([prepared.reference[sequence] for sequence in sequences]).to(trunk.device)
        sums, lengths = logprobs.sums(), logprobs.lengths()
        reference_sums = torch.zeros_like(sums).index_add(0, logprobs.sequence, reference)
        margin = adjusted_margin(sums[0::2], sums[1::2], reference_sums[0::2], reference_sums[1::2])
        loss = (loss_of(margin) - config.sft_weight * sums[0::2] / lengths[0::2]).sum() / len(batch)
        loss.backward()  # type: ignore[no-untyped-call]
        share = len(part) / len(batch)
        means = {
            "margin": margin.mean(),
            "accuracy": (margin > 0).double().mean(),
            "chosen_logprob": sums[0::2].mean(),
            "rejected_logprob": sums[1::2].mean(),
            "kl": kl_estimate(logprobs.value, reference),
            "mean_length": lengths.double().mean(),
        }
        for key, value in means.items():
            totals[key] += share * value.item()
        totals["loss"] += loss.item()
        totals["tokens"] += len(piece)
    return totals
