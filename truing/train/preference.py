"""Preference training of an adapter on comparisons, each pair one token tree. Which loss is one setting: the table of
them is `objectives.py`, their equations stand in `truing/losses/`.

The reference, where a loss has one, is what training starts from: the bare trunk, or the adapter given as `start_from`
(after SFT). Its log-probabilities are computed once, before the first step, and kept by content. The optional SFT term
    L = L_pref + w · (−log π(y_w | x) / |y_w|)
keeps the chosen answers likely (as in RPO, Pang et al. 2024, arXiv:2404.19733, equation 3; it is part of ORPO and CPO).
"""

from collections import defaultdict
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from pydantic import Field
from torch import Tensor

from truing.core.protocols import Store
from truing.core.records import Progress
from truing.core.twins import sample
from truing.engine.adapters import AdapterConfig, adapter_parameters, add_adapter, copy_weights
from truing.engine.score import batches
from truing.engine.tree import TokenSequence, build_forest
from truing.engine.trunk import Trunk
from truing.losses.dpo import kl_estimate
from truing.losses.pairs import PairScores
from truing.train.checkpoint import Checkpoints
from truing.train.fit import begin, load_of
from truing.train.objectives import ANSWERS, PAIRS, LossConfig
from truing.train.optimise import OptimiserConfig, optimiser, take_steps
from truing.train.records import TrainStart, TrainStep
from truing.train.reference import Prepared, reference_logprobs
from truing.train.rows import identity, lower_pass, schedule
from truing.train.unpaired import UnpairedConfig, train_unpaired

VERSION = 1
Pair = tuple[TokenSequence, TokenSequence]


class PreferenceConfig(LossConfig):
    """What was measured for the embedded model is in the demo's recipe. `limit`: train on about so many pairs, drawn by
    the seed, twins together (None: all of them).

    Settings of the loss: `beta` scales log-ratios into rewards; `tau` is IPO's; `gamma` SimPO's margin; `flip_rate` ε,
    the share of wrong labels, of cdpo and robust_dpo; `odds_weight` ORPO's λ; `desirable_weight` and
    `undesirable_weight` KTO's λ_D and λ_U; `sft_weight` the weight w of the SFT term.
    """

    limit: int | None = Field(default=None, ge=1)
    loss: Literal[
        "dpo", "cdpo", "robust_dpo", "sigmoid_norm", "ipo", "hinge", "nca", "apo_zero", "apo_down",
        "orpo", "simpo", "cpo", "kto", "bco",
    ] = "dpo"  # fmt: skip
    beta: float | None = Field(default=None, gt=0)
    tau: float | None = Field(default=None, gt=0)
    gamma: float | None = Field(default=None, ge=0)
    flip_rate: float | None = Field(default=None, gt=0, lt=0.5)
    odds_weight: float | None = Field(default=None, gt=0)
    desirable_weight: float | None = Field(default=None, gt=0)
    undesirable_weight: float | None = Field(default=None, gt=0)
    sft_weight: float | None = Field(default=None, ge=0)
    epochs: int = Field(default=1, ge=1)
    batch_rows: int = Field(default=16, ge=1)
    microbatch_tokens: int = Field(default=2048, ge=1)
    checkpoint_every: int = Field(default=20, ge=1)
    adapter: AdapterConfig = AdapterConfig()
    optimiser: OptimiserConfig = OptimiserConfig(learning_rate=1e-4)


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
    and errors as in `sft`. For kto and bco, a pair is a good and a bad answer: see `unpaired`.
    """
    marks = twins or range(len(pairs))
    used = sample(marks, config.limit, seed)
    marks, pairs = [marks[row] for row in used], [pairs[row] for row in used]
    rows = [sequence for pair in pairs for sequence in pair]
    if config.loss in ANSWERS:
        same = {key: value for key, value in config if key in UnpairedConfig.model_fields}
        yield from train_unpaired(
            trunk,
            [(row, number % 2 == 0) for number, row in enumerate(rows)],
            UnpairedConfig(**{**same, "limit": None, "batch_rows": 2 * config.batch_rows}),
            twins=[mark for mark in marks for _ in range(2)],
            seed=seed,
            name=name,
            start_from=start_from,
            store=store,
            checkpoint=checkpoint,
        )
        return
    first = add_adapter(trunk, name, config.adapter, seed)
    if start_from is not None:
        copy_weights(start_from, trunk, name)
    parameters = adapter_parameters(trunk, name)
    adamw = optimiser(parameters, config.optimiser)
    run = identity("preference", trunk, rows, marks, config, seed, start_from)
    kept = Checkpoints(checkpoint, run, parameters, adamw, config.checkpoint_every)
    forest = build_forest(rows)
    order = list(schedule(marks, config.epochs, config.batch_rows, seed))
    load = load_of(trunk, forest, [batch for _, _, batch in order], 2, first, parameters)
    start = begin(load, kept, config.microbatch_tokens)
    yield start
    below = yield from lower_pass(trunk, forest, first, store, kept.beside("lower") if start.lower_on_disk else None)
    reference: list[Tensor] | None = None
    if PAIRS[config.loss].needs_reference:
        reference = yield from reference_logprobs(trunk, rows, forest, below, first, start_from, store, group=2)
    prepared = Prepared(trunk, forest, below, first, reference)
    kept.restore()

    def gradient(_step: int, batch: list[int]) -> dict[str, float]:
        return _batch_gradient(prepared, batch, config, start.microbatch_tokens)

    yield from take_steps(adamw, kept, order, config.optimiser, gradient, TrainStep)


def _batch_gradient(prepared: Prepared, batch: list[int], config: PreferenceConfig, tokens: int) -> dict[str, float]:
    """Accumulate the batch's gradient over micro-batches; returns the step's means (and its number of tokens).

    Every sum is divided by the whole batch's number of pairs, never by a micro-batch's.
    """
    objective, settings, found = PAIRS[config.loss], config.settings(), defaultdict[str, float](float)
    for part in batches(prepared.forest, batch, tokens, group=2):
        scored = prepared.score([2 * pair + side for pair in part for side in (0, 1)])
        sums, lengths = scored.policy.sums(), scored.policy.lengths()
        pairs = PairScores(sums[0::2], sums[1::2], lengths[0::2], lengths[1::2])
        means = {"rejected_logprob": pairs.rejected.mean(), "mean_length": lengths.double().mean()}
        if scored.reference is None:
            margin = pairs.chosen - pairs.rejected
        else:
            reference = scored.reference_sums()
            pairs = replace(pairs, reference_chosen=reference[0::2], reference_rejected=reference[1::2])
            margin = pairs.margin()
            means["kl"] = kl_estimate(scored.policy.value, scored.reference)
        sft_term = -settings["sft_weight"] * pairs.chosen / pairs.chosen_length
        loss = (objective.loss(pairs, settings) + sft_term).sum() / len(batch)
        loss.backward()  # type: ignore[no-untyped-call]
        means |= {
            "margin": margin.mean(),
            "accuracy": (margin > 0).double().mean(),
            "chosen_logprob": pairs.chosen.mean(),
        }
        for key, value in means.items():
            found[key] += len(part) / len(batch) * value.item()
        found["loss"] += loss.item()
        found["tokens"] += scored.tokens
    return dict(found)
