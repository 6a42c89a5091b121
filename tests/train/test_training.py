"""Both trainers on a tiny model: micro-batches do not matter, a seed fixes the run, NaN stops."""

import math
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.conftest import tiny_model
from truing.core.errors import InputError, RunError
from truing.core.protocols import MemoryStore
from truing.core.records import Progress
from truing.core.twins import sample
from truing.engine.adapters import AdapterConfig, adapter_parameters, save_adapter
from truing.engine.tree import TokenSequence
from truing.engine.trunk import Trunk
from truing.train.optimise import OptimiserConfig
from truing.train.preference import PreferenceConfig, train_preference
from truing.train.records import TrainStep
from truing.train.rows import steps_in
from truing.train.sft import SFTConfig, train_sft

SYSTEM = (1, 2, 3)
PAIRS = [
    (
        TokenSequence((*SYSTEM, 10 + row, 20, 30 + row % 3, 40), 5),
        TokenSequence((*SYSTEM, 10 + row, 20, 50, 51 + row % 2, 52), 5),
    )
    for row in range(10)
]
ROWS = [chosen for chosen, _ in PAIRS]
ADAPTER = AdapterConfig(rank=2, alpha=4, upper_layers=2)
FAST = OptimiserConfig(learning_rate=1e-2)
SFT = SFTConfig(epochs=2, batch_rows=4, checkpoint_every=2, adapter=ADAPTER, optimiser=FAST)
DPO = PreferenceConfig(epochs=2, batch_rows=4, checkpoint_every=2, adapter=ADAPTER, optimiser=FAST, sft_weight=0.5)


def trunk() -> Trunk:
    return Trunk.of(tiny_model(), tokenizer=None, name="tiny", sha256="0" * 64)


def train(on: Trunk, config: SFTConfig | PreferenceConfig, **options) -> Iterator[Progress | TrainStep]:  # type: ignore[no-untyped-def]
    if isinstance(config, SFTConfig):
        return train_sft(on, ROWS, config, **options)
    return train_preference(on, PAIRS, config, **options)


def weights(of: Trunk) -> list[torch.Tensor]:
    return [parameter.detach().clone() for parameter in adapter_parameters(of, "policy").values()]


def steps_of(items: Iterator[Progress | TrainStep]) -> list[TrainStep]:
    return [item for item in items if isinstance(item, TrainStep)]


@pytest.mark.parametrize("config", [SFT, DPO], ids=["sft", "dpo"])
def test_the_loss_falls_and_only_upper_layers_learn(config: SFTConfig | PreferenceConfig) -> None:
    on = trunk()
    records = steps_of(train(on, config))
    assert [record.step for record in records] == list(range(1, records[0].steps + 1))
    assert records[-1].loss < records[0].loss
    assert all(".layers.0." not in name for name in adapter_parameters(on, "policy"))


@pytest.mark.parametrize("config", [SFT, DPO], ids=["sft", "dpo"])
def test_a_limit_is_the_run_on_the_rows_that_it_draws_and_twins_stay_together(
    config: SFTConfig | PreferenceConfig,
) -> None:
    marks = [row // 2 for row in range(len(PAIRS))]
    kept = sample(marks, 6, seed=0)
    assert {marks[row] for row in kept} == {marks[row] for row in kept[::2]}
    on = [trunk(), trunk()]
    limited = steps_of(train(on[0], config.model_copy(update={"limit": 6}), twins=marks))
    if isinstance(config, SFTConfig):
        list(train_sft(on[1], [ROWS[row] for row in kept], config, twins=[marks[row] for row in kept]))
    else:
        list(train_preference(on[1], [PAIRS[row] for row in kept], config, twins=[marks[row] for row in kept]))
    assert len(limited) == steps_in(6, config.epochs, config.batch_rows)
    assert all(torch.equal(one, two) for one, two in zip(weights(on[0]), weights(on[1]), strict=True))


@pytest.mark.parametrize("config", [SFT, DPO], ids=["sft", "dpo"])
def test_weights_do_not_depend_on_microbatches(config: SFTConfig | PreferenceConfig) -> None:
    results = []
    for tokens in (1, 12, 4096):
        on = trunk()
        list(train(on, config.model_copy(update={"microbatch_tokens": tokens})))
        results.append(weights(on))
    for other in results[1:]:
        for one, two in zip(results[0], other, strict=True):
            assert torch.allclose(one, two, rtol=0, atol=1e-5)


@pytest.mark.parametrize("config", [SFT, DPO], ids=["sft", "dpo"])
def test_the_seed_fixes_the_run_and_another_gives_another(config: SFTConfig | PreferenceConfig) -> None:
    results, first = [], []
    for seed in (1, 1, 2):
        on = trunk()
        # A new adapter changes nothing yet: what the first step sees depends on which rows it takes.
        first.append(steps_of(train(on, config, seed=seed))[0].chosen_logprob)
        results.append(weights(on))
    assert first[0] == first[1] != first[2]
    assert all(torch.equal(one, two) for one, two in zip(results[0], results[1], strict=True))
    assert not any(torch.equal(one, two) for one, two in zip(results[0], results[2], strict=True))


def test_a_loss_that_is_not_finite_stops_with_the_weights_of_the_last_step() -> None:
    on = trunk()
    items = train(on, SFT)
    next(item for item in items if isinstance(item, TrainStep))
    before = weights(on)
    on.model.lm_head.weight.data[5] = math.nan
    with pytest.raises(RunError, match="checkpoint is kept"):
        list(items)
    for one, two in zip(before, weights(on), strict=True):
        assert torch.equal(one, two)


@pytest.mark.parametrize("config", [SFT, DPO], ids=["sft", "dpo"])
def test_the_caller_keeps_its_gradients_between_two_records(config: SFTConfig | PreferenceConfig) -> None:
    assert all(torch.is_grad_enabled() for _ in train(trunk(), config))


def test_on_a_trunk_that_carries_an_adapter_a_second_one_trains_as_on_a_bare_trunk() -> None:
    alone, beside = trunk(), trunk()
    list(train(alone, SFT, name="second"))
    list(train(beside, DPO))
    list(train(beside, SFT, name="second"))
    both = [adapter_parameters(on, "second").values() for on in (alone, beside)]
    assert all(torch.equal(one, two) for one, two in zip(*both, strict=True))


def test_the_first_preference_step_knows_nothing_and_is_ln_2() -> None:
    first = steps_of(train(trunk(), DPO.model_copy(update={"sft_weight": 0.0})))[0]
    assert first.loss == pytest.approx(math.log(2), abs=1e-12)
    assert first.margin == pytest.approx(0.0, abs=1e-12)
    assert first.kl == pytest.approx(0.0, abs=1e-12)


def test_preference_training_starts_from_and_refers_to_the_given_adapter(tmp_path: Path) -> None:
    on = trunk()
    list(train(on, SFT))
    save_adapter(on, "policy", tmp_path / "sft")
    fresh = trunk()
    records = steps_of(train(fresh, DPO, start_from=tmp_path / "sft"))
    assert records[0].margin == pytest.approx(0.0, abs=1e-12)
    assert records[0].chosen_logprob > steps_of(train(trunk(), DPO))[0].chosen_logprob


def test_stored_references_and_activations_give_the_same_run() -> None:
    store, results = MemoryStore(), []
    for _ in range(2):
        on = trunk()
        list(train(on, DPO, store=store))
        results.append(weights(on))
    for one, two in zip(*results, strict=True):
        assert torch.equal(one, two)


@pytest.mark.parametrize(("loss", "flip"), [("dpo", 0.1), ("cdpo", 0.0)])
def test_a_flip_rate_that_the_loss_does_not_use_is_refused(loss: str, flip: float) -> None:
    with pytest.raises(InputError, match="flip_rate"):
        PreferenceConfig.parse({"loss": loss, "flip_rate": flip}, "recipe")
