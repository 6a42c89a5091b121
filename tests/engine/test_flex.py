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


@pytest.mark.parametrize("rule", RULES)
def test_values_and_gradients_equal_those_of_the_blocks(rule: LayerRule) -> None:
    forest = build_forest(sequences())
    chance = torch.Generator().manual_seed(0)
    heads = [torch.randn(1, count, len(forest), 16, generator=chance, requires_grad=True) for count in (4, 2, 2)]
    weights = torch.randn(1, len(forest), 4, 16, generator=chance)
    results = []
    for plan in (TreeAttention.of(forest), FlexAttention.of(forest, torch.device("cpu"))):
        out = plan.attend(0, *heads, rule)
        results.append((out, *torch.autograd.grad((weights * out).sum(), heads)))
    for ours, expected in zip(*results, strict=True):
        assert torch.allclose(ours, expected, rtol=0, atol=1e-5)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU: compiled flex attention runs on CUDA only")
@pytest.mark.parametrize("kind", ["llama", "gemma2"])
def test_a_gpu_gives_the_cpus_numbers(kind: str) -> None:
    settings = {"head_dim": 16, "hidden_size": 64}
    models = [tiny(kind, **settings).float() for _ in range(2)]
    forest = build_forest(sequences())
    cpu, gpu = (Trunk.of(model.to(place), None, kind) for model, place in zip(models, ("cpu", "cuda"), strict=True))
    assert torch.allclose(score_forest(gpu, forest).value.cpu(), score_forest(cpu, forest).value, rtol=0, atol=1e-3)
