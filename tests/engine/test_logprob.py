"""Tiled log-probabilities against torch's cross-entropy, forward and backward, in hidden states and in the head."""

import pytest
import torch
from torch.nn.functional import cross_entropy

from truing.engine import logprob
from truing.engine.logprob import edge_logprobs


@pytest.mark.parametrize("tile_bytes", [1, 3 * 37 * 8, 1 << 30])
def test_values_and_gradients_equal_cross_entropy(tile_bytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logprob, "TILE_BYTES", tile_bytes)
    torch.manual_seed(0)
    hidden = torch.randn(11, 8, dtype=torch.float64, requires_grad=True)
    head = torch.randn(37, 8, dtype=torch.float64, requires_grad=True)
    rows = torch.tensor([0, 0, 0, 3, 4, 4, 10, 7])  # several tokens predicted by one row, rows that predict none
    tokens = torch.tensor([5, 5, 36, 0, 1, 2, 9, 9])
    weights = torch.linspace(-1.0, 2.0, len(rows), dtype=torch.float64)
    ours = edge_logprobs(hidden, head, rows, tokens)
    expected = -cross_entropy((hidden @ head.T)[rows], tokens, reduction="none")
    assert torch.allclose(ours, expected, rtol=0, atol=1e-12)
    ours_gradients = torch.autograd.grad((weights * ours).sum(), (hidden, head))
    gradients = torch.autograd.grad((weights * expected).sum(), (hidden, head))
    for one, other in zip(ours_gradients, gradients, strict=True):
        assert torch.allclose(one, other, rtol=0, atol=1e-12)


def test_the_gradient_passes_torch_gradcheck() -> None:
    torch.manual_seed(1)
    hidden = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    head = torch.randn(6, 4, dtype=torch.float64, requires_grad=True)
    rows, tokens = torch.tensor([0, 0, 2]), torch.tensor([1, 4, 5])
    assert torch.autograd.gradcheck(lambda h, w: edge_logprobs(h, w, rows, tokens), (hidden, head))


def test_no_tensor_is_as_large_as_rows_times_vocabulary(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every tensor that appears in forward and backward is watched; the largest must be a tile's, not the whole's."""
    from torch.utils._python_dispatch import TorchDispatchMode

    largest = 0

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, arguments=(), keywords=None):  # type: ignore[no-untyped-def]
            nonlocal largest
            out = function(*arguments, **(keywords or {}))
            if isinstance(out, torch.Tensor):
                largest = max(largest, out.numel())
            return out

    rows, vocabulary = 512, 4096
    monkeypatch.setattr(logprob, "TILE_BYTES", 16 * vocabulary * 4)
    hidden = torch.randn(rows, 8, requires_grad=True)
    head = torch.randn(vocabulary, 8)
    with Watch():
        edge_logprobs(hidden, head, torch.arange(rows), torch.arange(rows)).sum().backward()
    assert largest <= max(16 * vocabulary, head.numel())
    assert largest * 8 < rows * vocabulary
