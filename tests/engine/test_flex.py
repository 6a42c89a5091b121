"""Flex attention plans: the same numbers as the blocks. Uncompiled on any machine, compiled where there is a GPU."""

import pytest
import torch

from tests.engine.families import sequences, tiny
from truing.engine.attention import LayerRule, TreeAttention
from truing.engine.flex import FlexAttention
from truing.engine.score import score_forest
from truing.engine.tree import build_forest
from truing.engine.trunk import Trunk

RULES = [LayerRule(0.3), LayerRule(0.3, window=5), LayerRule(0.3, window=5, softcap=2.0)]


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
@pytest.mark.parametrize("rule", RULES)
def test_values_equal_those_of_the_blocks(rule: LayerRule) -> None:
    """(On a CPU torch gives flex attention no backward pass.)"""
    forest = build_forest(sequences())
    chance = torch.Generator().manual_seed(0)
    heads = [torch.randn(1, count, len(forest), 16, generator=chance) for count in (4, 2, 2)]
    blocks = TreeAttention.of(forest).attend(0, *heads, rule)
    flex = FlexAttention.of(forest, torch.device("cpu")).attend(0, *heads, rule)
    assert torch.allclose(flex, blocks, rtol=0, atol=1e-5)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU: compiled flex attention runs on CUDA only")
@pytest.mark.parametrize("kind", ["llama", "gemma2"])
def test_a_gpu_gives_the_cpus_scores_and_gradients(kind: str) -> None:
    settings = {"head_dim": 16, "hidden_size": 64}
    models = [tiny(kind, **settings).float() for _ in range(2)]
    forest, results = build_forest(sequences()), []
    for place, model in zip(("cpu", "cuda"), models, strict=True):
        trunk = Trunk.of(model.to(place), None, kind)
        trunk.model.requires_grad_(True)
        values = score_forest(trunk, forest).value
        values.sum().backward()
        gradients = [parameter.grad.cpu() for parameter in trunk.model.parameters()]
        results.append([values.detach().cpu(), *(gradient / gradient.norm() for gradient in gradients)])
    for ours, expected in zip(*results, strict=True):
        assert torch.allclose(ours, expected, rtol=0, atol=1e-3)
