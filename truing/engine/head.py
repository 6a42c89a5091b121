"""The output layer: hidden states after the final norm → logits and log-probabilities of chosen tokens.

Plain heads in float32 and float64 take `logprob.py`'s way. A head with a bias, with a cap c · tanh(x / c) on its logits
(Gemma 2) or in a half-precision dtype takes a tiled way through autograd, recomputing each tile in the backward pass:
a [rows, vocabulary] tensor never exists either. Log-sum-exp is taken in float32 at least.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from truing.engine import logprob


@dataclass(frozen=True)
class Head:
    """weight [vocabulary, width]; bias [vocabulary] or None; the cap of the logits or None."""

    weight: Tensor
    bias: Tensor | None = None
    cap: float | None = None

    def logits(self, hidden: Tensor) -> Tensor:
        """[..., width] → [..., vocabulary], in float32 at least."""
        logits = hidden @ self.weight.T
        if self.bias is not None:
            logits = logits + self.bias
        if logits.dtype in (torch.bfloat16, torch.float16):
            logits = logits.float()
        return logits if self.cap is None else self.cap * torch.tanh(logits / self.cap)

    def edge_logprobs(self, hidden: Tensor, edge_row: Tensor, edge_token: Tensor) -> Tensor:
        """As `logprob.edge_logprobs`: hidden [R, width], edges [E] → [E] in nats; differentiable in all weights."""
        if self.bias is None and self.cap is None and hidden.dtype in (torch.float32, torch.float64):
            return logprob.edge_logprobs(hidden, self.weight, edge_row, edge_token)
        tile = max(1, logprob.TILE_BYTES // (4 * len(self.weight)))
        by_row = torch.argsort(edge_row, stable=True)
        pieces = []
        for start in range(0, len(hidden), tile):
            mine = by_row[(edge_row[by_row] >= start) & (edge_row[by_row] < start + tile)]
            piece = checkpoint(
                self._tile, hidden[start : start + tile], edge_row[mine] - start, edge_token[mine], use_reentrant=False
            )
            pieces.append(piece)
        return torch.cat(pieces)[torch.argsort(by_row)] if pieces else self._tile(hidden, edge_row, edge_token)

    @torch.no_grad()
    def entropies(self, hidden: Tensor) -> Tensor:
        """The entropy (nats) of what each row predicts: hidden [R, width] → [R], tile by tile. For measuring only: it
        carries no gradient."""
        pieces = []
        for part in hidden.split(max(1, logprob.TILE_BYTES // (4 * len(self.weight)))):  # type: ignore[no-untyped-call]
            log_p = self.logits(part)
            log_p -= log_p.logsumexp(-1, keepdim=True)
            pieces.append(-(log_p.exp() * log_p).sum(-1))
        return torch.cat(pieces)

    def _tile(self, hidden: Tensor, edge_row: Tensor, edge_token: Tensor) -> Tensor:
        logits = self.logits(hidden)
        return logits[edge_row, edge_token] - logits.logsumexp(-1)[edge_row]
