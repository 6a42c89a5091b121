"""Full fine-tuning beside the trunk: one step against plain torch, what is saved, and that the trunk stays bare."""

import json
from pathlib import Path

import pytest
import torch

from tests.engine.families import END, exactly, plain_logprobs, tiny
from truing.core.errors import InputError
from truing.core.records import Decoding
from truing.engine.adapters import (
    AdapterConfig,
    adapter_files,
    adapter_parameters,
    add_adapter,
    load_adapter,
    remove_adapter,
    save_adapter,
    use_adapter,
)
from truing.engine.generate import generate
from truing.engine.score import score_forest
from truing.engine.tree import TokenSequence, build_forest
from truing.engine.trunk import Trunk
from truing.losses.dpo import dpo_loss
from truing.train.optimise import OptimiserConfig
from truing.train.preference import PreferenceConfig, train_preference
from truing.train.records import TrainStep
from truing.train.sft import SFTConfig, train_sft

ALL = AdapterConfig(method="full", upper_layers=None)
UPPER = AdapterConfig(method="full", upper_layers=1)
RATE = OptimiserConfig(learning_rate=1e-2, warmup=0.0, clip_norm=1e9)
STEM = (1, 2, 3, 4)
PAIRS = [
    (TokenSequence((*STEM, 10 + row, 20, 21), 5), TokenSequence((*STEM, 10 + row, 30, 31, 32), 5)) for row in range(4)
]
ROWS = [chosen for chosen, _ in PAIRS]


def trunk(kind: str = "qwen3") -> Trunk:
    return Trunk.of(tiny(kind), None, "tiny", sha256="0" * 64)


def trained(on: Trunk, config: AdapterConfig) -> Trunk:
    with exactly():
        list(train_sft(on, ROWS, SFTConfig(epochs=2, batch_rows=4, adapter=config, optimiser=RATE)))
    return on


def sums(on: Trunk) -> torch.Tensor:
    with exactly(), torch.no_grad():
        return score_forest(on, build_forest(ROWS)).sums()


# A tied embedding is one tensor in two places; on the padded path the model runs whole.
@pytest.mark.parametrize("kind", ["qwen3", "gemma2", "gpt2", "mamba"])
@pytest.mark.parametrize("config", [ALL, UPPER], ids=["all", "upper"])
@pytest.mark.parametrize("paired", [False, True], ids=["sft", "dpo"])
def test_a_step_is_the_step_of_plain_torch(kind: str, config: AdapterConfig, paired: bool) -> None:
    plain, on = tiny(kind), trunk(kind)
    before = {name: value.detach().clone() for name, value in plain.named_parameters()}
    with exactly():
        if paired:
            steps = train_preference(
                on, PAIRS, PreferenceConfig(batch_rows=4, sft_weight=0.0, adapter=config, optimiser=RATE)
            )
        else:
            steps = train_sft(on, ROWS, SFTConfig(epochs=1, batch_rows=4, adapter=config, optimiser=RATE))
        list(steps)
        ours = adapter_parameters(on, "policy")
        mine = {name: value.requires_grad_(name in ours) for name, value in plain.named_parameters()}
        chosen = torch.stack([plain_logprobs(plain, one).sum() for one, _ in PAIRS])
        rejected = torch.stack([plain_logprobs(plain, other).sum() for _, other in PAIRS])
        margin = chosen - chosen.detach() - rejected + rejected.detach()
        (dpo_loss(margin, 0.1).mean() if paired else -chosen.sum() / 8).backward()
        torch.optim.AdamW([mine[name] for name in ours], lr=1e-2, weight_decay=0.0).step()
    for name, parameter in mine.items():
        # AdamW's first step is rate × sign(gradient): where a gradient is 0 but for rounding, its sign says nothing.
        clear = torch.ones_like(parameter, dtype=torch.bool) if parameter.grad is None else parameter.grad.abs() > 1e-6
        result = ours[name] if name in ours else dict(on.model.named_parameters())[name]
        assert torch.allclose(result[clear], parameter[clear], rtol=0, atol=1e-7), name
    assert any(not torch.equal(mine[name], before[name]) for name in ours)


def test_upper_layers_leave_everything_below_them_alone() -> None:
    names = adapter_parameters(trained(trunk(), UPPER), "policy")
    assert {name.split(".")[2] for name in names if ".layers." in name} == {"2"}
    assert {name for name in names if ".layers." not in name} == {"model.norm.weight"}
    everything = adapter_parameters(trained(trunk(), ALL), "policy")
    assert set(everything) == {name for name, _ in tiny("qwen3").named_parameters()}


@pytest.mark.parametrize("config", [ALL, UPPER], ids=["all", "upper"])
def test_the_bare_trunk_is_still_there_as_the_reference(config: AdapterConfig) -> None:
    expected = sums(trunk())
    on = trained(trunk(), config)
    with use_adapter(on, None):
        assert torch.equal(sums(on), expected)
    changed = sums(on)
    assert (changed > expected).all()
    with use_adapter(on, "policy"):
        assert torch.equal(sums(on), changed)
    remove_adapter(on, "policy")
    assert torch.equal(sums(on), expected)


@pytest.mark.parametrize("config", [ALL, UPPER], ids=["all", "upper"])
def test_what_is_saved_loads_to_the_same_numbers_and_first_layer(config: AdapterConfig, tmp_path: Path) -> None:
    on = trained(trunk("gemma2"), config)
    save_adapter(on, "policy", tmp_path)
    fresh = trunk("gemma2")
    first = load_adapter(fresh, tmp_path, "measured")
    assert first == (0 if config.upper_layers is None else 2)
    with use_adapter(fresh, "measured"):
        assert torch.equal(sums(fresh), sums(on))
        answers = [dict(generate(one, [STEM], Decoding(max_new_tokens=6), END)) for one in (on, fresh)]
    assert answers[0] == answers[1]
    assert json.loads((tmp_path / "truing.json").read_text())["base_sha256"] == "0" * 64
    assert [file.name for file in adapter_files(tmp_path)] == ["full.safetensors"]


def test_full_weights_of_another_base_or_shape_are_refused(tmp_path: Path) -> None:
    save_adapter(trained(trunk(), UPPER), "policy", tmp_path)
    with pytest.raises(InputError, match="load it on its own base"):
        load_adapter(Trunk.of(tiny("qwen3"), None, "other", sha256="1" * 64), tmp_path, "measured")
    with pytest.raises(InputError, match=r"full.safetensors holds model.layers.2.*use its own base"):
        load_adapter(Trunk.of(tiny("qwen3", num_hidden_layers=2), None, "tiny", "0" * 64), tmp_path, "measured")


def test_preference_training_goes_on_from_full_weights_and_not_from_another_method(tmp_path: Path) -> None:
    save_adapter(trained(trunk(), UPPER), "policy", tmp_path)
    for method, fits in (("full", True), ("lora", False)):
        config = PreferenceConfig(batch_rows=4, adapter=AdapterConfig(method=method, upper_layers=1))
        with exactly():
            run = train_preference(trunk(), PAIRS, config, start_from=tmp_path)
            if not fits:
                with pytest.raises(InputError, match="another method"):
                    list(run)
                continue
            (step,) = (record for record in run if isinstance(record, TrainStep))
        assert step.margin == pytest.approx(0.0, abs=1e-9)
        assert step.chosen_logprob == pytest.approx(sums(trained(trunk(), UPPER)).mean().item(), abs=1e-6)


def test_half_precision_and_a_trunk_with_other_adapters_are_refused() -> None:
    half = Trunk.of(tiny("llama").bfloat16(), None, "half")
    with pytest.raises(InputError, match="full fine-tuning needs dtype float32"):
        add_adapter(half, "policy", ALL, seed=0)
    busy = trunk()
    add_adapter(busy, "low", AdapterConfig(rank=2, upper_layers=None), seed=0)
    with pytest.raises(InputError, match="without low-rank adapters"):
        add_adapter(busy, "policy", ALL, seed=0)


def test_a_low_rank_adapter_beside_full_weights_keeps_out_of_their_way() -> None:
    on = trained(trunk(), UPPER)
    full = sums(on)
    add_adapter(on, "low", AdapterConfig(rank=2, upper_layers=None), seed=0)
    with torch.no_grad():
        for parameter in adapter_parameters(on, "low").values():
            parameter.add_(0.3)
    with use_adapter(on, "policy"):
        assert torch.equal(sums(on), full)
    with use_adapter(on, "low"):
        assert not torch.allclose(sums(on), full)
    with use_adapter(on, None):
        assert torch.equal(sums(on), sums(trunk()))
