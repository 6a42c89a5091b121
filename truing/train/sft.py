"""Supervised fine-tuning of an adapter on the better answers: loss on the assistant's last turn only.

    L = −(1/T) Σ log π(y_t | x, y_<t)      over the T answer tokens of a batch, end of turn included

Whether an answer helps, refuses or admits not to know is decided in its first tokens (Qi et al. 2024,
arXiv:2406.05946). With `opening`, only so many of each answer's tokens are trained: the same time then buys about twice
as many decisions, and the model keeps its own way of going on.

Rows of a batch share their common tokens (a system prompt) as a token tree, and layers below the adapter are computed
once for all epochs. Knows nothing of ledgers or evaluation.
"""

from collections.abc import Hashable, Iterator, Sequence
from pathlib import Path

import torch
from pydantic import Field

from truing.core.config import Config
from truing.core.protocols import Store
from truing.core.records import Progress
from truing.core.twins import sample
from truing.engine.adapters import AdapterConfig, adapter_parameters, add_adapter
from truing.engine.score import batches, score_forest
from truing.engine.tree import TokenSequence, build_forest
from truing.engine.trunk import Trunk
from truing.losses.likelihood import sft_loss
from truing.train.checkpoint import Checkpoints
from truing.train.fit import begin, load_of
from truing.train.optimise import OptimiserConfig, optimiser, take_steps
from truing.train.records import TrainStart, TrainStep
from truing.train.rows import identity, lower_pass, schedule

VERSION = 1


class SFTConfig(Config):
    """The defaults suit whole answers; what was measured for the embedded model is in the demo's recipe (and LOG.md).
    `opening`: train only the first so many tokens of each answer (None: all of them, end of turn included). `limit`:
    train on about so many rows, drawn by the seed, twins together (None: all of them)."""

    limit: int | None = Field(default=None, ge=1)
    opening: int | None = Field(default=None, ge=1)
    epochs: int = Field(default=3, ge=1)
    batch_rows: int = Field(default=32, ge=1)
    microbatch_tokens: int = Field(default=2048, ge=1)
    checkpoint_every: int = Field(default=20, ge=1)
    adapter: AdapterConfig = AdapterConfig()
    optimiser: OptimiserConfig = OptimiserConfig()


def train_sft(
    trunk: Trunk,
    rows: Sequence[TokenSequence],
    config: SFTConfig,
    *,
    twins: Sequence[Hashable] | None = None,
    seed: int = 0,
    name: str = "policy",
    store: Store | None = None,
    checkpoint: Path | None = None,
) -> Iterator[Progress | TrainStart | TrainStep]:
    """Train a new adapter `name` on the trunk; it holds the result when the iterator ends. `seed` fixes the adapter's
    first weights and the order of the rows; rows with the same mark in `twins` are kept side by side.

    With `checkpoint`, a file, state is saved every `checkpoint_every` steps (or two minutes), and a run that finds its
    own checkpoint goes on from it to the same weights. Raises `RunError` on a loss that is not finite.
    """
    marks = twins or range(len(rows))
    used = sample(marks, config.limit, seed)
    marks, rows = [marks[row] for row in used], [opening_of(rows[row], config.opening) for row in used]
    first = add_adapter(trunk, name, config.adapter, seed)
    parameters = adapter_parameters(trunk, name)
    adamw = optimiser(parameters, config.optimiser)
    run = identity("sft", trunk, rows, marks, config, seed)
    kept = Checkpoints(checkpoint, run, parameters, adamw, config.checkpoint_every)
    forest = build_forest(rows)
    order = list(schedule(marks, config.epochs, config.batch_rows, seed))
    load = load_of(trunk, forest, [batch for _, _, batch in order], 1, first, parameters)
    start = begin(load, kept, config.microbatch_tokens)
    yield start
    below = yield from lower_pass(trunk, forest, first, store, kept.beside("lower") if start.lower_on_disk else None)
    kept.restore()

    def gradient(_step: int, batch: list[int]) -> dict[str, float]:
        scored = sum(len(rows[row].ids) - rows[row].scored_from for row in batch)
        found = dict.fromkeys(("loss", "chosen_logprob", "tokens"), 0.0)
        for part in batches(forest, batch, start.microbatch_tokens):
            piece = forest.select(part)
            logprobs = score_forest(trunk, piece, below[torch.from_numpy(piece.source)], first)
            loss = sft_loss(logprobs.value, scored)
            loss.backward()  # type: ignore[no-untyped-call]
            found["loss"] += loss.item()
            found["chosen_logprob"] += logprobs.value.sum().item() / len(batch)
            found["tokens"] += len(piece)
        return {**found, "mean_length": scored / len(batch)}

    yield from take_steps(adamw, kept, order, config.optimiser, gradient, TrainStep)


def opening_of(row: TokenSequence, tokens: int | None) -> TokenSequence:
    """The prompt with the first `tokens` of the answer (None: all)."""
    return row if tokens is None else TokenSequence(row.ids[: row.scored_from + tokens], row.scored_from)
