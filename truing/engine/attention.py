"""Attention that obeys a token tree or a cache of slots, registered with transformers under one name.

A packed forest travels as one row [1, N]: every linear layer computes N tokens and no padding. Only attention looks at
the structure: queries and keys are gathered block by block (see `tree.Forest.blocks`), attended under the tree's rule,
and scattered back. The plan is an argument of each call (`attention_mask` carries it through the layers untouched):
nothing is global. A model set to this attention refuses a call without a plan.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from truing.engine.tree import Block, Forest

NAME = "truing"
BLOCK_TOKENS = 192
_KEY_STEP = 64


class AttentionPlan(Protocol):
    """Answers one layer's attention: query [B, H, T, D], key and value [B, H_kv, T, D] → [B, T, H, D]."""

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scaling: float) -> Tensor: ...


def attention_forward(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: AttentionPlan | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    **_unused: Any,
) -> tuple[Tensor, None]:
    """The function that transformers calls in every attention layer (its interface fixes the signature)."""
    if attention_mask is None or not hasattr(attention_mask, "attend"):
        raise RuntimeError("this model attends by an explicit plan; call it through truing.engine.trunk.Trunk")
    if dropout:
        raise RuntimeError("attention dropout must be 0 while scoring against a reference")
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    return attention_mask.attend(module.layer_idx, query, key, value, scale), None


def register() -> None:
    """Make the attention known to transformers, under `NAME`. Calling it again changes nothing."""
    from transformers import AttentionInterface

    AttentionInterface.register(NAME, attention_forward)


def grouped_attention(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, scaling: float) -> Tensor:
    """Attention with H query heads over H_kv key heads, without repeating keys or values.

    query [B, H, Q, D]; key, value [B, H_kv, K, D]; mask [B, Q, K] True where a query sees a key, or None
    → [B, H, Q, D]. The query heads of one key head become further query rows of that head.
    """
    batch, heads, queries, width = query.shape
    kv_heads = key.shape[1]
    repeat = heads // kv_heads
    folded = query.reshape(batch, kv_heads, repeat * queries, width)
    folded_mask = None if mask is None else mask.repeat(1, repeat, 1).unsqueeze(1)
    out = scaled_dot_product_attention(folded, key, value, attn_mask=folded_mask, scale=scaling)
    return out.reshape(batch, heads, queries, width)


@dataclass(frozen=True)
class _Bucket:
    """Blocks of similar size, padded to one shape: node numbers [G, Q] and [G, K], the rule [G, Q, K], and which of the
    padded queries are real (their places in the flattened [G·Q], and the nodes they belong to)."""

    queries: Tensor
    keys: Tensor
    mask: Tensor
    real_places: Tensor
    real_nodes: Tensor


@dataclass
class TreeAttention:
    """The plan of a forest. `back` [N] says where in the buckets' output each node stands. With `capture`, each layer's
    keys and values [H_kv, N, D] are kept, for a cache to start from."""

    buckets: list[_Bucket]
    back: Tensor
    capture: bool = False
    captured: dict[int, tuple[Tensor, Tensor]] = field(default_factory=dict)

    @classmethod
    def of(cls, forest: Forest, capture: bool = False, block_tokens: int = BLOCK_TOKENS) -> "TreeAttention":
        """Plan the attention of a forest."""
        by_size: dict[tuple[int, int], list[Block]] = defaultdict(list)
        for block in forest.blocks(block_tokens):
            by_size[-(-len(block.queries) // _KEY_STEP), -(-len(block.keys) // _KEY_STEP)].append(block)
        buckets = [_bucket(forest, blocks) for blocks in by_size.values()]
        return cls(buckets, torch.argsort(torch.cat([bucket.real_nodes for bucket in buckets])), capture)

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scaling: float) -> Tensor:
        """[1, H, N, D] → [1, N, H, D]; every node is the query of exactly one block."""
        if self.capture:
            self.captured[layer] = (key[0].detach(), value[0].detach())
        _, heads, _, width = query.shape
        # Node-major layouts, so that gathering a node copies one contiguous piece.
        query_n, key_n, value_n = (tensor[0].transpose(0, 1).contiguous() for tensor in (query, key, value))
        pieces = []
        for bucket in self.buckets:
            out = grouped_attention(
                _gather(query_n, bucket.queries),
                _gather(key_n, bucket.keys),
                _gather(value_n, bucket.keys),
                bucket.mask,
                scaling,
            )
            flat = out.transpose(1, 2).reshape(-1, heads, width)
            pieces.append(flat.index_select(0, bucket.real_places))
        return torch.cat(pieces).index_select(0, self.back).unsqueeze(0)


def _gather(tensor_n: Tensor, nodes: Tensor) -> Tensor:
    """[N, H, D] at [G, T] → [G, H, T, D]."""
    groups, length = nodes.shape
    picked = tensor_n.index_select(0, nodes.reshape(-1))
    return picked.reshape(groups, length, *tensor_n.shape[1:]).transpose(1, 2)


def _bucket(forest: Forest, blocks: Sequence[Block]) -> _Bucket:
    most_queries = max(len(block.queries) for block in blocks)
    most_keys = max(len(block.keys) for block in blocks)
    queries = np.zeros((len(blocks), most_queries), dtype=np.int64)
    keys = np.zeros((len(blocks), most_keys), dtype=np.int64)
    mask = np.zeros((len(blocks), most_queries, most_keys), dtype=bool)
    places, nodes = [], []
    for number, block in enumerate(blocks):
        n_queries, n_keys = len(block.queries), len(block.keys)
        queries[number, :n_queries] = block.queries
        keys[number, :n_keys] = block.keys
        mask[number, :n_queries, :n_keys] = forest.sees(block.queries, block.keys)
        mask[number, n_queries:, 0] = True  # a padded query sees something, so that its softmax is finite
        places.append(number * most_queries + np.arange(n_queries))
        nodes.append(block.queries)
    return _Bucket(
        queries=torch.from_numpy(queries),
        keys=torch.from_numpy(keys),
        mask=torch.from_numpy(mask),
        real_places=torch.from_numpy(np.concatenate(places)),
        real_nodes=torch.from_numpy(np.concatenate(nodes)),
    )
