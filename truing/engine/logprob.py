"""Log-probabilities of chosen tokens, without ever holding a [rows, vocabulary] tensor.

For a row h (a hidden state after the final norm) and head W, log p(t | h) = h·W_t − log Σ_v exp(h·W_v). Rows are taken
in tiles whose logits fit a fixed budget. One log-sum-exp per row serves every token that the row predicts.

The gradient needs no second pass over the vocabulary: with upstream gradients g_e of the edges e of one row,
    ∂L/∂h = Σ_e g_e W_{t(e)} − (Σ_e g_e) m,   m = Σ_v p_v W_v,
and m, the expected output embedding under p, is computed from the tile's logits while they are at hand.
(Derived from d log p_t / d logits = onehot(t) − p.)
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

TILE_BYTES = 48 << 20


class _EdgeLogprobs(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden: Tensor, head: Tensor, edge_row: Tensor, edge_token: Tensor) -> Tensor:
        with_hidden, with_head = ctx.needs_input_grad[0], ctx.needs_input_grad[1]
        log_normaliser = torch.empty(len(hidden), dtype=hidden.dtype, device=hidden.device)
        mean = torch.empty_like(hidden) if with_hidden else None
        for rows, logits in _logits(hidden, head):
            top = logits.amax(dim=-1)
            total = logits.sub_(top[:, None]).exp_().sum(dim=-1)
            log_normaliser[rows] = top + total.log()
            if mean is not None:
                mean[rows] = (logits @ head).div_(total[:, None])
        target = (hidden[edge_row] * head[edge_token]).sum(-1)
        ctx.save_for_backward(hidden if with_head else None, head, edge_row, edge_token, mean, log_normaliser)
        return target - log_normaliser[edge_row]

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        (gradient,) = upstream
        hidden, head, edge_row, edge_token, mean, log_normaliser = ctx.saved_tensors
        rows_n = len(log_normaliser)
        row_gradient = torch.zeros(rows_n, dtype=gradient.dtype, device=gradient.device).index_add_(
            0, edge_row, gradient
        )
        to_hidden = to_head = None
        if mean is not None:
            to_hidden = (-row_gradient[:, None] * mean).index_add_(0, edge_row, gradient[:, None] * head[edge_token])
        if hidden is not None:
            to_head = torch.zeros_like(head).index_add_(0, edge_token, gradient[:, None] * hidden[edge_row])
            for rows, logits in _logits(hidden, head):
                probabilities = logits.sub_(log_normaliser[rows, None]).exp_()
                to_head -= probabilities.mul_(row_gradient[rows, None]).T @ hidden[rows]
        return to_hidden, to_head, None, None


def _logits(hidden: Tensor, head: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """(rows, their logits) tile by tile, in one buffer that each tile writes over."""
    tile = max(1, TILE_BYTES // (head.shape[0] * head.element_size()))
    buffer = hidden.new_empty(min(tile, len(hidden)), head.shape[0])
    for start in range(0, len(hidden), tile):
        rows = slice(start, min(start + tile, len(hidden)))
        yield rows, torch.mm(hidden[rows], head.T, out=buffer[: rows.stop - start])


def edge_logprobs(hidden: Tensor, head: Tensor, edge_row: Tensor, edge_token: Tensor) -> Tensor:
    """log p(edge_token[e] | hidden[edge_row[e]]) for each edge, in nats.

    hidden [R, width] after the final norm; head [vocabulary, width]; edge_row, edge_token [E] int64 → [E].
    Differentiable in hidden and head.
    """
    result: Tensor = _EdgeLogprobs.apply(hidden, head, edge_row, edge_token)  # type: ignore[no-untyped-call]
    return result
