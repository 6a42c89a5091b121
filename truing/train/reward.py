"""A reward model from comparisons: an adapter and a scalar head, read at the token that ends an answer's turn.

The two answers of a pair share their prompt as one token tree, and the output layer over the vocabulary never runs.

    L = −log σ(r_w − r_l − m + w (|y_w| − |y_l|))  +  c (r_w + r_l)²

m is the pair's margin (by how strongly it was preferred), c the centring weight; ties have Rao and Kupper's likelihood,
whose threshold η is then part of every m. With `remove_length`, w is the maximum-likelihood weight of answer length
(tokens) alone, found before training, held fixed, and dropped from the reward. While rewards are equal and m is 0,
Σ ∂L/∂r · |y| is then 0: length wins nothing, and the head learns what length does not say already (the two heads of
Chen et al. 2024, arXiv:2402.07319, with the second one solved for). It takes out what is linear in length, and no more.
Losses: `losses/bradley_terry.py`.

Only differences of rewards are learned; at the end the head's bias is set so that rewards have a mean of 0 over the
training answers. Knows nothing of ledgers or evaluation; ensembles are several runs with other seeds.
"""

from collections.abc import Generator, Hashable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor

from truing.core.calibration import logistic_scale
from truing.core.config import Config
from truing.core.digest import digest, digest_bytes
from truing.core.ensemble import Combine
from truing.core.errors import InputError
from truing.core.protocols import Store
from truing.core.records import Progress
from truing.core.twins import sample, together
from truing.engine.adapters import AdapterConfig, adapter_parameters, add_adapter, copy_weights
from truing.engine.scalar import ScalarHead, end_values, ends, values_at
from truing.engine.score import batches
from truing.engine.tree import Forest, TokenSequence, build_forest
from truing.engine.trunk import Trunk
from truing.losses.bradley_terry import bradley_terry_loss, centring_loss, tie_loss
from truing.train.checkpoint import Checkpoints
from truing.train.fit import begin, load_of
from truing.train.optimise import OptimiserConfig, optimiser, take_steps
from truing.train.records import RewardStep, TrainStart
from truing.train.rows import identity, lower_pass, schedule

VERSION = 1


@dataclass(frozen=True)
class Judged:
    """Two answers to one prompt as tokens, how strongly the first was preferred (1 slightly … 3 much; None: not said),
    and whether neither was: then their order says nothing."""

    chosen: TokenSequence
    rejected: TokenSequence
    strength: int | None = None
    tie: bool = False


class RewardConfig(Config):
    """`margin`: what a strength of 3 asks for in nats, 1 and 2 a third and two. `tie_threshold`: η of ties (0: ties are
    left out). `head_scale`: the head's first weights (0: zero). `limit` as in `PreferenceConfig`.

    Of an ensemble: how many `members`, whether each learns from rows drawn anew with replacement (`bootstrap`), and how
    their scores are put together (`core.ensemble`)."""

    limit: int | None = Field(default=None, ge=1)
    members: int = Field(default=1, ge=1)
    bootstrap: bool = False
    combine: Combine = "mean"
    variance_weight: float = Field(default=0.0, ge=0)
    margin: float = Field(default=0.0, ge=0)
    tie_threshold: float = Field(default=0.0, ge=0)
    centring: float = Field(default=0.0, ge=0)
    remove_length: bool = False
    head_scale: float = Field(default=0.0, ge=0)
    epochs: int = Field(default=1, ge=1)
    batch_rows: int = Field(default=16, ge=1)
    microbatch_tokens: int = Field(default=2048, ge=1)
    checkpoint_every: int = Field(default=20, ge=1)
    adapter: AdapterConfig = AdapterConfig()
    optimiser: OptimiserConfig = OptimiserConfig(learning_rate=1e-4)

    @model_validator(mode="after")
    def _variance_weight_is_used(self) -> "RewardConfig":
        if (self.combine == "mean_minus_variance") != (self.variance_weight > 0):
            raise ValueError('variance_weight belongs to combine = "mean_minus_variance", which needs one above 0')
        return self


def member_seed(seed: int, member: int) -> int:
    """The seed of an ensemble's member: the run's own for the first, another for each further one."""
    return seed if member == 0 else int(np.random.SeedSequence([seed, member]).generate_state(1)[0])


@dataclass(frozen=True)
class _Prepared:
    """What every step needs: the pairs and their forest (sequences 2i chosen, 2i+1 rejected), its nodes' states before
    the adapter's first layer, and for each pair what is added to r_w − r_l in the loss (0 for ties)."""

    pairs: Sequence[Judged]
    forest: Forest
    below: Tensor
    first: int
    offset: Tensor


def train_reward(
    trunk: Trunk,
    head: ScalarHead,
    pairs: Sequence[Judged],
    config: RewardConfig,
    *,
    twins: Sequence[Hashable] | None = None,
    seed: int = 0,
    member: int = 0,
    name: str = "reward",
    start_from: Path | None = None,
    store: Store | None = None,
    checkpoint: Path | None = None,
) -> Iterator[Progress | TrainStart | RewardStep]:
    """Train one reward model: a new adapter `name` on the trunk, and the head; they hold the result when the iterator
    ends. `seed` fixes the adapter's first weights, which rows are drawn, and their order.

    `start_from`, an adapter folder of the same shape, is where the adapter starts. Twins, resuming and errors as in
    `sft`. Raises `InputError` for ties without a threshold, and where length alone tells every pair apart.
    """
    marks, pairs = _drawn(twins or range(len(pairs)), pairs, config, seed)
    rows = [side for pair in pairs for side in (pair.chosen, pair.rejected)]
    offset = _offsets(pairs, config)
    first = add_adapter(trunk, name, config.adapter, seed)
    if start_from is not None:
        copy_weights(start_from, trunk, name)
    parameters = {**adapter_parameters(trunk, name), **head.parameters()}
    adamw = optimiser(parameters, config.optimiser)
    run = identity(_what(head, pairs), trunk, rows, marks, config, seed, start_from)
    kept = Checkpoints(checkpoint, run, parameters, adamw, config.checkpoint_every)
    forest = build_forest(rows)
    order = list(schedule(marks, config.epochs, config.batch_rows, seed))
    load = load_of(trunk, forest, [batch for _, _, batch in order], 2, first, parameters)
    start = begin(load, kept, config.microbatch_tokens)
    yield start
    config = config.model_copy(update={"microbatch_tokens": start.microbatch_tokens})
    below = yield from lower_pass(trunk, forest, first, store, kept.beside("lower") if start.lower_on_disk else None)
    prepared = _Prepared(pairs, forest, below, first, offset.to(head.weight))
    kept.restore()

    def gradient(_step: int, batch: list[int]) -> dict[str, float | None]:
        totals = _batch_gradient(trunk, head, prepared, batch, config)
        found = {"loss": totals["loss"], "tokens": totals["tokens"], "mean_length": totals["length"] / (2 * len(batch))}
        return {**found, **_means(totals), "member": member}

    yield from take_steps(adamw, kept, order, config.optimiser, gradient, RewardStep)
    yield from _shift_to_zero(trunk, head, prepared)


def _drawn(
    twins: Sequence[Hashable], pairs: Sequence[Judged], config: RewardConfig, seed: int
) -> tuple[list[Hashable], list[Judged]]:
    """The rows to learn from: within the limit, and for a bootstrap as many units (rows, or twins together) as there
    are, drawn with replacement. A unit that is drawn twice counts as two."""
    used = sample(twins, config.limit, seed)
    if not config.bootstrap:
        return [twins[row] for row in used], [pairs[row] for row in used]
    units = together([twins[row] for row in used])
    draws = np.random.default_rng([seed, 1]).integers(0, len(units), len(units))
    drawn = [(number, used[row]) for number, unit in enumerate(draws) for row in units[unit]]
    return [number for number, _ in drawn], [pairs[row] for _, row in drawn]


def _offsets(pairs: Sequence[Judged], config: RewardConfig) -> Tensor:
    """[pairs] w (|y_w| − |y_l|) − m, 0 for ties."""
    if config.tie_threshold == 0 and any(pair.tie for pair in pairs):
        raise InputError("there are ties among the pairs, and tie_threshold is 0; leave them out, or set one above 0")
    longer = [_length(pair.chosen) - _length(pair.rejected) for pair in pairs]
    weight = 0.0
    if config.remove_length and any(difference for pair, difference in zip(pairs, longer, strict=True) if not pair.tie):
        found = logistic_scale([difference for pair, difference in zip(pairs, longer, strict=True) if not pair.tie])
        if found is None:
            raise InputError(
                "remove_length: length alone tells all pairs apart (the chosen answer is always the longer one, or "
                "always the shorter), so nothing would be left to learn; add pairs where it is not so"
            )
        weight = found
    offsets = [
        0.0 if pair.tie else weight * more - config.tie_threshold - config.margin * (pair.strength or 0) / 3
        for pair, more in zip(pairs, longer, strict=True)
    ]
    return torch.tensor(offsets, dtype=torch.float64)


def _length(sequence: TokenSequence) -> int:
    """An answer's tokens, end of turn included."""
    return len(sequence.ids) - sequence.scored_from


def _what(head: ScalarHead, pairs: Sequence[Judged]) -> str:
    """What distinguishes this run beside its rows and settings: the head's first weights, strengths and ties."""
    first = [digest_bytes(value.detach().cpu().numpy().tobytes()) for value in head.parameters().values()]
    return digest({"what": "reward", "head": first, "judged": [[pair.strength, pair.tie] for pair in pairs]})


def _batch_gradient(
    trunk: Trunk, head: ScalarHead, prepared: _Prepared, batch: list[int], config: RewardConfig
) -> dict[str, float]:
    """Accumulate the batch's gradient over micro-batches; returns the step's loss, and sums over its decided pairs.

    The loss is divided by the whole batch's number of pairs, never by a micro-batch's.
    """
    totals = dict.fromkeys(("loss", "chosen", "rejected", "right", "decided", "length", "tokens"), 0.0)
    for part in batches(prepared.forest, batch, config.microbatch_tokens, group=2):
        piece = prepared.forest.select([2 * pair + side for pair in part for side in (0, 1)])
        rewards = values_at(
            trunk, head, piece, ends(piece), prepared.below[torch.from_numpy(piece.source)], prepared.first
        )
        chosen, rejected = rewards[0::2], rewards[1::2]
        decided = torch.tensor([not prepared.pairs[pair].tie for pair in part], device=rewards.device)
        losses = bradley_terry_loss(chosen, rejected, -prepared.offset[part])
        if config.tie_threshold:
            losses = torch.where(decided, losses, tie_loss(chosen, rejected, config.tie_threshold))
        loss = (losses + config.centring * centring_loss(chosen, rejected)).sum() / len(batch)
        loss.backward()  # type: ignore[no-untyped-call]
        totals["loss"] += loss.item()
        totals["chosen"] += chosen[decided].sum().item()
        totals["rejected"] += rejected[decided].sum().item()
        totals["right"] += (chosen > rejected)[decided].sum().item()
        totals["decided"] += decided.sum().item()
        totals["length"] += sum(
            _length(side) for n in part for side in (prepared.pairs[n].chosen, prepared.pairs[n].rejected)
        )
        totals["tokens"] += len(piece)
    return totals


def _means(totals: dict[str, float]) -> dict[str, float | None]:
    """A step's means over its decided pairs; unknown where there are none."""
    decided = totals["decided"]
    chosen, rejected, right = (totals[key] / decided if decided else None for key in ("chosen", "rejected", "right"))
    margin = None if chosen is None or rejected is None else chosen - rejected
    return {
        "chosen_reward": chosen,
        "rejected_reward": rejected,
        "margin": margin,
        "accuracy": right,
    }


def _shift_to_zero(trunk: Trunk, head: ScalarHead, prepared: _Prepared) -> Generator[Progress, None, None]:
    """Set the head's bias so that rewards have a mean of 0 over the training answers."""
    total, sequences = 0.0, len(prepared.forest.paths)
    for part, rewards in end_values(trunk, head, prepared.forest, prepared.below, prepared.first):
        total += rewards.double().sum().item()
        yield Progress(stage="centring", done=part[-1] + 1, total=sequences)
    with torch.no_grad():
        head.bias.sub_(total / sequences)
