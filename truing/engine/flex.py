"""Tree attention on a GPU: torch's flex attention, with a block mask made from the tree.

Node q sees node k where k ≤ q < last[k] (`tree.py`), and within a window where depth[q] − depth[k] is less. Blocks of
128 × 128 in which nobody sees anybody are skipped, so the work grows with the tree and not with its square. Compiled on
CUDA; uncompiled it runs anywhere, densely, which is how its numbers are tested without a GPU.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, create_block_mask, flex_attention

from truing.engine.attention import LayerRule
from truing.engine.tree import Forest


@cache
def _compiled() -> Any:
    return torch.compile(flex_attention, dynamic=True)


def _capped(cap: float) -> Callable[[Tensor, Tensor, Tensor, Tensor, Tensor], Tensor]:
    """The change of a score that flex attention makes for a soft cap."""

    def capped(score: Tensor, _batch: Tensor, _head: Tensor, _query: Tensor, _key: Tensor) -> Tensor:
        return cap * torch.tanh(score / cap)

    return capped


@dataclass
class FlexAttention:
    """The plan of a forest of N nodes: last and depth [N]. `capture` as in `TreeAttention`."""

    last: Tensor
    depth: Tensor
    capture: bool = False
    captured: dict[int, tuple[Tensor, Tensor]] = field(default_factory=dict)
    masks: dict[int | None, BlockMask] = field(default_factory=dict)

    @classmethod
    def of(cls, forest: Forest, device: torch.device, capture: bool = False) -> "FlexAttention":
        """Plan the attention of a forest."""
        last, depth = (torch.from_numpy(array).to(device) for array in (forest.last, forest.depth))
        return cls(last, depth, capture)

    def mask(self, window: int | None) -> BlockMask:
        """The block mask of all layers that share a window."""
        if window not in self.masks:
            last, depth = self.last, self.depth

            def sees(_batch: Tensor, _head: Tensor, query: Tensor, key: Tensor) -> Tensor:
                seen = (key <= query) & (query < last[key])
                return seen if window is None else seen & (depth[query] - depth[key] < window)

            nodes = len(last)
            self.masks[window] = create_block_mask(sees, None, None, nodes, nodes, device=last.device)
        return self.masks[window]

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, rule: LayerRule) -> Tensor:
        """[1, H, N, D] → [1, N, H, D]."""
        if self.capture:
            self.captured[layer] = (key[0].detach(), value[0].detach())
        run = _compiled() if query.is_cuda else flex_attention
        out: Tensor = run(
            query,
            key,
            value,
            score_mod=None if rule.softcap is None else _capped(rule.softcap),
            block_mask=self.mask(rule.window),
            scale=rule.scaling,
            enable_gqa=query.shape[1] != key.shape[1],
        )
        return out.transpose(1, 2)
