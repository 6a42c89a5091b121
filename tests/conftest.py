"""Fixtures: a tiny random Llama in float64, the embedded model, and the benchmark data if at hand."""

from pathlib import Path
from typing import Any

import pytest

from truing.engine.trunk import Trunk

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real benchmark files beside the repository; tests that need them skip where they are absent."""
    folder = REPOSITORY.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the benchmark files are not at hand: put them into ../shared/data to run this test")
    return folder


def tiny_model(seed: int = 0, vocabulary: int = 61, **changes: Any) -> Any:
    """A Llama of 3 layers with 4 heads over 2 key heads, in float64, with weights so large that attention matters."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    settings = {
        "vocab_size": vocabulary,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 256,
        "initializer_range": 0.3,
    }
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = LlamaForCausalLM(LlamaConfig(**{**settings, **changes})).double().eval()
    # transformers' norm rounds to float32 whatever the model's dtype; torch's keeps float64, for exact parity.
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if type(child).__name__ == "LlamaRMSNorm":
                setattr(module, name, torch.nn.RMSNorm(32, eps=1e-6, dtype=torch.float64))
    return model


@pytest.fixture
def tiny_trunk() -> Trunk:
    return Trunk.of(tiny_model(), tokenizer=None, name="tiny")


@pytest.fixture(scope="session")
def real_trunk() -> Trunk:
    """The embedded 135M chat model. Shared by the whole session: a test that adds an adapter removes it again."""
    return Trunk.load("smollm2-135m")
