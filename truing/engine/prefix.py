"""A prefix computed once: the keys and values of tokens that many forests follow, such as a primer of all questions.

A forest's roots then stand below the prefix's last token: their positions go on from it, and every node sees all of it.
For inference only, on a CPU and for models that obey a token tree; elsewhere the shared tokens are part of each forest.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from truing.engine.attention import LayerRule, TreeAttention
from truing.engine.tree import Forest, TokenSequence, build_forest

if TYPE_CHECKING:
    from truing.engine.trunk import Trunk


@dataclass(frozen=True)
class Prefix:
    """Of each layer the keys and the values [H_kv, P, D] of P tokens."""

    keys: tuple[Tensor, ...]
    values: tuple[Tensor, ...]

    def __len__(self) -> int:
        return self.keys[0].shape[1]

    @classmethod
    @torch.no_grad()
    def of(cls, trunk: "Trunk", ids: tuple[int, ...]) -> "Prefix":
        """Compute a prefix's tokens with what the trunk has in use."""
        forest = build_forest([TokenSequence(ids, scored_from=len(ids))])
        plan = TreeAttention.of(forest, capture=True)
        positions = trunk.tensor(forest.depth)
        trunk.run(trunk.embed(trunk.tensor(forest.ids), positions)[None], positions[None], plan)
        layers = range(len(trunk.layers))
        return cls(*(tuple(plan.captured[layer][side].contiguous() for layer in layers) for side in (0, 1)))


def usable(trunk: "Trunk") -> bool:
    """Whether a trunk can start from a prefix."""
    return trunk.family is not None and trunk.device.type == "cpu"


@dataclass
class AfterPrefix:
    """The plan of a forest whose roots follow a prefix."""

    tree: TreeAttention
    prefix: Prefix

    @classmethod
    def of(cls, forest: Forest, prefix: Prefix) -> "AfterPrefix":
        """Plan the attention of a forest after a prefix."""
        return cls(TreeAttention.of(forest, before=len(prefix)), prefix)

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, rule: LayerRule) -> Tensor:
        """[1, H, N, D] → [1, N, H, D]; the prefix's keys and values stand ahead of the forest's own."""
        keys, values = (
            torch.cat([kept[layer][None], own], dim=2)
            for kept, own in ((self.prefix.keys, key), (self.prefix.values, value))
        )
        return self.tree.attend(layer, query, keys, values, rule)
