"""Output layers with a bias, a cap or half precision, against torch's own log-softmax."""

from typing import Any

import pytest
import torch

from truing.engine import logprob
from truing.engine.head import Head

ROWS = torch.tensor([4, 0, 0, 3, 4, 10, 7])  # not in order; some rows predict several tokens, some none
TOKENS = torch.tensor([5, 5, 36, 0, 1, 2, 9])


def weights(dtype: torch.dtype = torch.float64) -> dict[str, torch.Tensor]:
    chance = torch.Generator().manual_seed(0)
    shapes = {"hidden": (11, 8), "weight": (37, 8), "bias": (37,)}
    drawn = {key: torch.randn(shape, generator=chance, dtype=torch.float64) for key, shape in shapes.items()}
    return {key: value.to(dtype).requires_grad_() for key, value in drawn.items()}


@pytest.mark.parametrize("tile_bytes", [1, 3 * 37 * 4, 1 << 30])
@pytest.mark.parametrize("cap", [None, 1.5])
def test_values_and_gradients_equal_log_softmax(tile_bytes: int, cap: float | None, monkeypatch: Any) -> None:
    monkeypatch.setattr(logprob, "TILE_BYTES", tile_bytes)
    given = weights()
    ours = Head(given["weight"], given["bias"], cap).edge_logprobs(given["hidden"], ROWS, TOKENS)
    logits = given["hidden"] @ given["weight"].T + given["bias"]
    logits = logits if cap is None else cap * torch.tanh(logits / cap)
    expected = logits.log_softmax(-1)[ROWS, TOKENS]
    assert torch.allclose(ours, expected, rtol=0, atol=1e-12)
    weighting = torch.linspace(-1.0, 2.0, len(ROWS), dtype=torch.float64)
    for one, other in zip(
        torch.autograd.grad((weighting * ours).sum(), list(given.values())),
        torch.autograd.grad((weighting * expected).sum(), list(given.values())),
        strict=True,
    ):
        assert torch.allclose(one, other, rtol=0, atol=1e-12)


def test_half_precision_is_summed_in_float32_and_no_probability_exceeds_one() -> None:
    given = weights(torch.bfloat16)
    ours = Head(given["weight"]).edge_logprobs(given["hidden"], ROWS, TOKENS)
    expected = (given["hidden"] @ given["weight"].T).float().log_softmax(-1)[ROWS, TOKENS]
    assert ours.dtype == torch.float32
    assert torch.allclose(ours, expected, rtol=0, atol=1e-6)
    assert (ours <= 0).all()


def test_nothing_scored_is_an_empty_result() -> None:
    given = weights()
    none = torch.zeros(0, dtype=torch.int64)
    assert Head(given["weight"], given["bias"]).edge_logprobs(given["hidden"], none, none).shape == (0,)
    assert Head(given["weight"], given["bias"]).edge_logprobs(given["hidden"][:0], none, none).shape == (0,)
