"""The reward trainer on a tiny model: what it learns and what it cannot, closed forms, invariances, resuming."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tests.conftest import tiny_model
from tests.engine.test_scalar import padded_states
from tests.engine.test_tree import untouched
from truing.core.errors import InputError, RunError
from truing.core.protocols import MemoryStore
from truing.engine.adapters import AdapterConfig, adapter_parameters, save_adapter
from truing.engine.scalar import ScalarHead, end_values, new_head
from truing.engine.tree import TokenSequence, build_forest
from truing.engine.trunk import Trunk
from truing.losses.bradley_terry import tie_loss
from truing.train import fit as fitting
from truing.train import reward
from truing.train.optimise import OptimiserConfig
from truing.train.records import RewardStep, TrainStart
from truing.train.reward import Judged, RewardConfig, member_seed, train_reward
from truing.train.rows import steps_in

GOOD, BAD, END = 40, 50, 60


def pair(row: int, good: int = GOOD, bad: int = BAD, **options: Any) -> Judged:
    """Two answers to one prompt that differ in one word before the end of turn; lengths differ from row to row."""
    stem = (1, 2, 10 + row % 20, 20)
    chosen = (*stem, *(30 + n for n in range(row % 3)), good, END)
    rejected = (*stem, *(30 + n for n in range((row + 1) % 3)), bad, END)
    return Judged(TokenSequence(chosen, 4), TokenSequence(rejected, 4), **options)


PAIRS = [pair(row) for row in range(10)]
CONFIG = RewardConfig(
    epochs=2,
    batch_rows=4,
    checkpoint_every=2,
    head_scale=1.0,
    adapter=AdapterConfig(rank=2, alpha=4, upper_layers=2),
    optimiser=OptimiserConfig(learning_rate=1e-2),
)


def changed(**changes: Any) -> RewardConfig:
    return RewardConfig(**{**CONFIG.model_dump(), **changes})


def trunk() -> Trunk:
    return Trunk.of(tiny_model(), tokenizer=None, name="tiny", sha256="0" * 64)


class Run:
    """A trunk, a head, and the records of training them."""

    def __init__(self, config: RewardConfig = CONFIG, pairs: list[Judged] = PAIRS, seed: int = 0) -> None:
        self.config, self.pairs, self.seed = config, pairs, seed
        self.trunk = trunk()
        self.head = new_head(self.trunk, seed, config.head_scale)

    def records(self, **options: Any) -> Iterator[Any]:
        return train_reward(self.trunk, self.head, self.pairs, self.config, seed=self.seed, **options)

    def done(self, **options: Any) -> "Run":
        self.steps = [record for record in self.records(**options) if isinstance(record, RewardStep)]
        return self

    def weights(self) -> list[torch.Tensor]:
        return [*adapter_parameters(self.trunk, "reward").values(), *self.head.parameters().values()]


def rewards(trunk: Trunk, head: ScalarHead, pairs: list[Judged]) -> torch.Tensor:
    """[pairs, 2]"""
    forest = build_forest([side for pair in pairs for side in (pair.chosen, pair.rejected)])
    return torch.cat([values for _, values in end_values(trunk, head, forest)]).view(-1, 2)


def same(one: Run, two: Run, tolerance: float = 0.0) -> bool:
    pairs = zip(one.weights(), two.weights(), strict=True)
    return all(torch.allclose(a, b, rtol=0, atol=tolerance) for a, b in pairs)


def test_it_learns_which_answer_is_better_and_says_so_of_prompts_that_it_never_saw() -> None:
    run = Run(changed(epochs=12)).done()
    assert [step.step for step in run.steps] == list(range(1, run.steps[0].steps + 1))
    assert run.steps[-1].loss < 0.2 < run.steps[0].loss
    assert run.steps[-1].margin == pytest.approx(run.steps[-1].chosen_reward - run.steps[-1].rejected_reward)
    unseen = [pair(row) for row in range(10, 20)]
    found = rewards(run.trunk, run.head, unseen)
    assert (found[:, 0] > found[:, 1]).all()
    assert all(".layers.0." not in name for name in adapter_parameters(run.trunk, "reward"))


def test_from_shuffled_labels_it_learns_nothing_about_others() -> None:
    """Negative control: where a coin chose the winners, held-out accuracy is chance; with the true ones it is not."""
    random = np.random.default_rng(0)
    words = random.integers(30, 50, (240, 2)).tolist()
    truth = [pair(row, 33 + one % 8, 45 + other % 8) for row, (one, other) in enumerate(words)]
    coin = [Judged(p.rejected, p.chosen) if random.random() < 0.5 else p for p in truth]
    right = []
    for labels in (truth, coin):
        run = Run(changed(epochs=6, batch_rows=16), labels[:150]).done()
        found = rewards(run.trunk, run.head, truth[150:])
        right.append((found[:, 0] > found[:, 1]).double().mean().item())
    assert right[0] > 0.8
    assert abs(right[1] - 0.5) < 0.15


def test_the_first_step_is_that_of_plain_transformers_on_padded_rows() -> None:
    """Loss and gradient of a batch with margins, ties, centring and a removed length, from another computation."""
    config = changed(margin=0.6, tie_threshold=0.3, centring=0.05, remove_length=True, batch_rows=6, epochs=1)
    pairs = [pair(row, strength=row % 3 + 1, tie=row == 4) for row in range(6)]
    run = Run(config, pairs)
    run.done()
    weight = new_head(run.trunk, 0, 1.0).weight.detach().clone().requires_grad_()
    rows = [side for one in pairs for side in (one.chosen, one.rejected)]
    last = torch.tensor([len(row.ids) - 1 for row in rows])
    values = padded_states(untouched(tiny_model()), rows)[torch.arange(12), last] @ weight
    chosen, rejected = values.view(-1, 2).T
    longer = torch.tensor([len(one.chosen.ids) - len(one.rejected.ids) for one in pairs], dtype=torch.float64)
    decided = torch.tensor([not one.tie for one in pairs])
    by_length = torch.tensor(0.0, dtype=torch.float64, requires_grad=True)
    search = torch.optim.LBFGS([by_length], max_iter=100, tolerance_grad=1e-14, tolerance_change=1e-16)

    def closure() -> torch.Tensor:
        search.zero_grad()
        loss = torch.nn.functional.softplus(-by_length * longer[decided]).sum()
        loss.backward()
        return loss

    search.step(closure)
    asked = torch.tensor([0.6 * (one.strength or 0) / 3 + 0.3 for one in pairs], dtype=torch.float64)
    won = torch.nn.functional.softplus(-(chosen - rejected - asked + by_length.detach() * longer))
    losses = torch.where(decided, won, tie_loss(chosen, rejected, 0.3)) + 0.05 * (chosen + rejected) ** 2
    losses.mean().backward()
    assert run.steps[0].loss == pytest.approx(losses.mean().item(), abs=1e-9)
    assert run.steps[0].accuracy == pytest.approx((chosen > rejected)[decided].double().mean().item())
    assert run.steps[0].gradient_norm >= weight.grad.norm().item() - 1e-9


def test_a_head_of_zeros_begins_at_ln_2_and_learns_all_the_same() -> None:
    run = Run(changed(head_scale=0.0, epochs=12)).done()
    assert run.steps[0].loss == pytest.approx(math.log(2), abs=1e-12)
    assert run.steps[-1].loss < 0.3


def test_rewards_end_with_a_mean_of_zero_over_the_training_answers() -> None:
    run = Run().done()
    assert rewards(run.trunk, run.head, PAIRS).mean().item() == pytest.approx(0, abs=1e-12)


def test_centring_draws_the_rewards_of_a_pair_together_to_zero() -> None:
    free, centred = (Run(changed(centring=weight, epochs=8)).done() for weight in (0.0, 1.0))
    spread = [rewards(run.trunk, run.head, PAIRS).sum(1).square().mean().item() for run in (free, centred)]
    assert spread[1] < 0.5 * spread[0]


def test_ties_bring_rewards_together_and_their_order_says_nothing() -> None:
    ties = [pair(row, tie=True) for row in range(10)]
    turned = [Judged(one.rejected, one.chosen, tie=True) for one in ties]
    config = changed(tie_threshold=0.5, epochs=8)
    runs = [Run(config, pairs).done() for pairs in (ties, turned)]
    before = rewards(trunk(), new_head(trunk(), 0, 1.0), PAIRS)
    gaps = [(found[:, 0] - found[:, 1]).abs().mean() for found in (before, rewards(runs[0].trunk, runs[0].head, PAIRS))]
    assert gaps[1] < 0.5 * gaps[0]
    assert same(*runs, tolerance=1e-6)
    assert runs[0].steps[0].accuracy is runs[0].steps[0].margin is runs[0].steps[0].chosen_reward is None
    with pytest.raises(InputError, match="tie_threshold is 0; leave them out, or set one above 0"):
        Run(CONFIG, ties).done()


def test_a_stronger_preference_asks_for_a_wider_margin() -> None:
    plain = Run(changed(head_scale=0.0, epochs=15), PAIRS).done()
    strong = Run(changed(head_scale=0.0, epochs=15, margin=2.0), [pair(row, strength=3) for row in range(10)]).done()
    assert strong.steps[0].loss == pytest.approx(math.log1p(math.exp(2.0)))
    assert strong.steps[-1].margin > plain.steps[-1].margin


def by_length(rows: int) -> list[Judged]:
    """The chosen answer says nothing but is longer, three times in four; once it is as much shorter."""
    pairs = []
    for row in range(rows):
        stem, words = (1, 2, 10 + row % 9, 20), tuple(30 + (row + n) % 10 for n in range(6))
        long, short = (*stem, *words, END), (*stem, *words[:2], END)
        chosen, rejected = (short, long) if row % 4 == 0 else (long, short)
        pairs.append(Judged(TokenSequence(chosen, 4), TokenSequence(rejected, 4)))
    return pairs


def test_at_equal_rewards_a_removed_length_has_no_gradient() -> None:
    """Σ ∂L/∂r · |y| = −Σ σ(−b d) d over the pairs' differences of length d is 0 at the fitted b, and not without it."""
    pairs = by_length(24)
    longer = torch.tensor([len(one.chosen.ids) - len(one.rejected.ids) for one in pairs], dtype=torch.float64)
    gradients = [
        (torch.sigmoid(-reward._offsets(pairs, changed(remove_length=remove))) * longer).sum().item()
        for remove in (True, False)
    ]
    assert gradients[0] == pytest.approx(0, abs=1e-9)
    assert gradients[1] > 10


def test_with_length_removed_a_reward_does_not_learn_that_longer_is_better() -> None:
    pairs = by_length(24)
    config = changed(head_scale=0.0, epochs=6, batch_rows=24)
    gaps = []
    for remove in (False, True):
        run = Run(config.model_copy(update={"remove_length": remove}), pairs).done()
        found = rewards(run.trunk, run.head, pairs)
        longer = torch.tensor([1.0 if len(p.chosen.ids) > len(p.rejected.ids) else -1.0 for p in pairs])
        gaps.append(((found[:, 0] - found[:, 1]) * longer).mean().item())
    assert gaps[0] > 0.3
    assert abs(gaps[1]) < 0.2 * gaps[0]


def test_where_length_alone_tells_all_pairs_apart_it_cannot_be_removed() -> None:
    always = [one for row, one in enumerate(by_length(8)) if row % 4]
    with pytest.raises(InputError, match="length alone tells all pairs apart"):
        Run(changed(remove_length=True), always).done()
    equal = [Judged(TokenSequence((1, 2, n, GOOD, END), 3), TokenSequence((1, 2, n, BAD, END), 3)) for n in range(4)]
    assert same(Run(changed(remove_length=True), equal).done(), Run(CONFIG, equal).done())


def test_weights_do_not_depend_on_microbatches() -> None:
    runs = [Run(changed(microbatch_tokens=tokens)).done() for tokens in (1, 12, 4096)]
    assert same(runs[0], runs[1], 1e-5)
    assert same(runs[0], runs[2], 1e-5)


def test_the_order_of_the_pairs_of_a_step_does_not_matter() -> None:
    whole = changed(batch_rows=10, epochs=3)
    assert same(Run(whole).done(), Run(whole, PAIRS[::-1]).done(), 1e-6)


def test_the_seed_fixes_the_run_and_members_differ() -> None:
    one, again, other = (Run(seed=seed).done() for seed in (1, 1, 2))
    assert same(one, again)
    assert not same(one, other, 1e-3)
    seeds = {member_seed(seed, member) for seed in range(3) for member in range(5)}
    assert member_seed(7, 0) == 7
    assert len(seeds) == 15


def test_a_bootstrap_is_the_run_on_the_rows_that_its_seed_draws() -> None:
    config = changed(bootstrap=True)
    draws = np.random.default_rng([5, 1]).integers(0, 10, 10)
    assert len(set(draws)) < 10
    by_hand = Run(CONFIG, [PAIRS[row] for row in draws], seed=5).done()
    assert same(Run(config, seed=5).done(), by_hand)
    limited = Run(changed(limit=6)).done()
    assert len(limited.steps) == steps_in(6, CONFIG.epochs, CONFIG.batch_rows)


def test_stopped_after_any_record_it_ends_with_the_same_adapter_head_and_curve(tmp_path: Path) -> None:
    whole = Run().done(checkpoint=tmp_path / "whole.safetensors")
    state = load_file(tmp_path / "whole.safetensors")
    assert {"weight/head.weight", "exp_avg/head.bias"} <= set(state)
    for stop in range(1, sum(1 for _ in Run().records()) + 1):
        path, store = tmp_path / f"{stop}.safetensors", MemoryStore()
        items = Run().records(checkpoint=path, store=store)
        seen = [next(items) for _ in range(stop)]
        items.close()  # type: ignore[attr-defined]
        resumed = Run().done(checkpoint=path, store=store)
        assert same(whole, resumed)
        assert all(torch.equal(state[key], value) for key, value in load_file(path).items())
        first = [record for record in seen if isinstance(record, RewardStep)]
        by_step = {record.step: record for record in [*first, *resumed.steps]}
        curve = [by_step[number].model_copy(update={"tokens_per_second": None}) for number in sorted(by_step)]
        assert curve == [record.model_copy(update={"tokens_per_second": None}) for record in whole.steps]


def test_a_checkpoint_of_other_labels_or_another_first_head_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "run.safetensors"
    Run().done(checkpoint=path)
    other = Run()
    with torch.no_grad():
        other.head.weight.add_(1)
    strong = Run(CONFIG, [pair(row, strength=3) for row in range(10)])
    for run in (other, strong, Run(seed=1)):
        with pytest.raises(InputError, match="a run with other inputs"):
            next(run.records(checkpoint=path))
    assert next(Run().records(checkpoint=path)).done == 6


def test_it_starts_from_a_given_adapter(tmp_path: Path) -> None:
    first = Run().done()
    save_adapter(first.trunk, "reward", tmp_path)
    run = Run(changed(epochs=1, optimiser=OptimiserConfig(learning_rate=1e-12)))
    with torch.no_grad():
        run.head.weight.copy_(first.head.weight)
    run.done(start_from=tmp_path)
    assert torch.allclose(
        rewards(run.trunk, run.head, PAIRS), rewards(first.trunk, first.head, PAIRS), rtol=0, atol=1e-6
    )


def test_a_loss_that_is_not_finite_stops_and_memory_is_predicted(monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run()
    with torch.no_grad():
        run.head.weight[0] = math.nan
    with pytest.raises(RunError, match="step 1 of 6: the loss is nan"):
        run.done()
    start = next(Run().records())
    assert isinstance(start, TrainStart)
    assert 0 < start.needed_bytes < start.available_bytes
    monkeypatch.setattr(fitting, "available_bytes", lambda: 1000)
    with pytest.raises(InputError, match="training needs"):
        Run().done()


def test_the_caller_keeps_its_gradients_between_two_records() -> None:
    assert all(torch.is_grad_enabled() for _ in Run().records())


@pytest.mark.parametrize(("combine", "weight"), [("mean", 0.5), ("mean_minus_variance", 0.0)])
def test_a_variance_weight_that_is_not_used_is_refused(combine: str, weight: float) -> None:
    with pytest.raises(InputError, match="variance_weight"):
        RewardConfig.parse({"combine": combine, "variance_weight": weight}, "recipe")
