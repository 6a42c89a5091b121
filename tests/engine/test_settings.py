"""How a model is loaded: dtypes, devices, templates, and what of it enters a step's key."""

from pathlib import Path

import pytest
import torch

from tests.engine.families import exactly, sequences, tiny
from tests.loops.tiny import save_tiny_chat_model
from truing.core.errors import InputError
from truing.core.records import Decoding
from truing.engine.adapters import AdapterConfig, adapter_parameters, add_adapter
from truing.engine.generate import generate
from truing.engine.score import lower_states, score_forest
from truing.engine.settings import ModelConfig
from truing.engine.templates import CHATML
from truing.engine.tree import TokenSequence, build_forest
from truing.engine.trunk import Trunk


def test_the_default_adds_nothing_to_a_key_and_every_other_setting_does(tmp_path: Path) -> None:
    plain = ModelConfig(name="m").identity("0")
    assert plain == {"model": "m", "model_sha256": "0"}
    (tmp_path / "a.jinja").write_text(CHATML, encoding="utf-8")
    changes = [
        {"dtype": "bfloat16"},
        {"device": "cuda"},
        {"template": "plain"},
        {"template": str(tmp_path / "a.jinja")},
    ]
    keys = [str(ModelConfig(name="m", **change).identity("0")) for change in changes]
    assert len({*keys, str(plain)}) == 5
    (tmp_path / "a.jinja").write_text(CHATML + " ", encoding="utf-8")
    assert str(ModelConfig(name="m", **changes[3]).identity("0")) != keys[3]


def test_a_dtype_or_device_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="dtype"):
        ModelConfig.parse({"dtype": "int4"}, "recipe: [model]")
    with pytest.raises(InputError, match="device 'tpu9' cannot be used"):
        Trunk.load(str(save_tiny_chat_model(tmp_path)), device="tpu9")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_cuda_without_a_gpu_is_refused_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="device 'cuda' cannot be used"):
        Trunk.load(str(save_tiny_chat_model(tmp_path)), device="cuda")


def test_a_template_takes_the_place_of_the_tokenizers_own(tmp_path: Path) -> None:
    folder = str(save_tiny_chat_model(tmp_path))
    assert Trunk.load(folder, template="plain").tokenizer.chat_template != Trunk.load(folder).tokenizer.chat_template


@pytest.mark.parametrize("kind", ["llama", "gemma2", "gpt2", "mamba"])
def test_bfloat16_is_near_float64_and_trains(kind: str) -> None:
    forest = build_forest(sequences())
    with exactly(), torch.no_grad():
        exact = score_forest(Trunk.of(tiny(kind, initializer_range=0.1), None, kind), forest).value
    half = Trunk.of(tiny(kind, initializer_range=0.1).bfloat16(), None, kind)
    add_adapter(half, "probe", AdapterConfig(rank=2, upper_layers=1), seed=0)
    value = score_forest(half, forest).value
    assert value.dtype == torch.float32
    assert (value.detach() - exact).abs().max() < 0.1
    assert (value.detach() - exact).abs().max() > 1e-6  # it is another precision
    for parameter in adapter_parameters(half, "probe").values():
        parameter.requires_grad_(True)
    score_forest(half, forest).value.sum().backward()
    assert all(parameter.grad is not None for parameter in adapter_parameters(half, "probe").values())
    answers = dict(generate(half, [(1, 2, 3), (4, 5)], Decoding(max_new_tokens=4), end_id=0))
    assert sorted(answers) == [0, 1]


def test_bfloat16_states_are_kept_exactly() -> None:
    from truing.core.protocols import MemoryStore

    half, store = Trunk.of(tiny("llama").bfloat16(), None, "half", sha256="0"), MemoryStore()
    forest = build_forest([TokenSequence((1, 2, 3), 1), TokenSequence((1, 2, 4), 1)])
    fresh, kept = (list(lower_states(half, forest, 2, store))[-1] for _ in range(2))
    assert isinstance(fresh, torch.Tensor)
    assert isinstance(kept, torch.Tensor)
    assert fresh.dtype == kept.dtype == torch.bfloat16
    assert torch.equal(fresh, kept)
