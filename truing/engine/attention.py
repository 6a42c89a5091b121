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
from torch.autograd.function import once_differentiable
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
    """G blocks of similar size, padded to one shape: node numbers [G, Q] and [G, K], the rule [G, Q, K], and which of
    the padded queries are real (their places in the flattened [G·Q], and the nodes they belong to).

    As in `grouped_attention`, the query heads of one key head are further query rows of it: [G, H_kv, H/H_kv·Q, D].
    """

    queries: Tensor
    keys: Tensor
    mask: Tensor
    real_places: Tensor
    real_nodes: Tensor
    biases: dict[tuple[int, torch.dtype], Tensor] = field(default_factory=dict)

    def gather(self, query_n: Tensor, key_n: Tensor, value_n: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """[N, H, D] and [N, H_kv, D] twice → folded queries, keys and values [G, H_kv, K, D]."""
        picked = _gather(query_n, self.queries).reshape(len(self.queries), key_n.shape[1], -1, query_n.shape[2])
        return picked, _gather(key_n, self.keys), _gather(value_n, self.keys)

    def fold(self, nodes_n: Tensor, kv_heads: int) -> Tensor:
        """[N, H, D] → folded rows, 0 at padded queries."""
        groups, queries = self.queries.shape
        flat = nodes_n.new_zeros(groups * queries, *nodes_n.shape[1:])
        flat[self.real_places] = nodes_n[self.real_nodes]
        by_head = flat.reshape(groups, queries, *nodes_n.shape[1:]).transpose(1, 2)
        return by_head.reshape(groups, kv_heads, -1, nodes_n.shape[2])

    def unfold(self, folded: Tensor, heads: int) -> Tensor:
        """Folded rows → [real nodes, H, D], in the order of `real_nodes`."""
        groups, queries = self.queries.shape
        by_node = folded.reshape(groups, heads, queries, -1).transpose(1, 2)
        return by_node.reshape(groups * queries, heads, -1).index_select(0, self.real_places)

    def bias(self, folded: Tensor) -> Tensor:
        """0 where a folded query sees a key, −∞ elsewhere: [G, 1, rows, K]; made once and kept for all layers."""
        repeat = folded.shape[2] // self.queries.shape[1]
        key = repeat, folded.dtype
        if key not in self.biases:
            mask = self.mask.repeat(1, repeat, 1).unsqueeze(1)
            self.biases[key] = torch.zeros(mask.shape, dtype=folded.dtype).masked_fill_(~mask, -torch.inf)
        return self.biases[key]


@dataclass
class TreeAttention:
    """The plan of a forest. With `capture`, each layer's keys and values [H_kv, N, D] are kept, for a cache to start
    from."""

    buckets: list[_Bucket]
    capture: bool = False
    captured: dict[int, tuple[Tensor, Tensor]] = field(default_factory=dict)

    @classmethod
    def of(cls, forest: Forest, capture: bool = False, block_tokens: int = BLOCK_TOKENS) -> "TreeAttention":
        """Plan the attention of a forest."""
        by_size: dict[tuple[int, int], list[Block]] = defaultdict(list)
        for block in forest.blocks(block_tokens):
            by_size[-(-len(block.queries) // _KEY_STEP), -(-len(block.keys) // _KEY_STEP)].append(block)
        return cls([_bucket(forest, blocks) for blocks in by_size.values()], capture)

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scaling: float) -> Tensor:
        """[1, H, N, D] → [1, N, H, D]; every node is the query of exactly one block."""
        if self.capture:
            self.captured[layer] = (key[0].detach(), value[0].detach())
        # Node-major layouts, so that gathering a node copies one contiguous piece.
        query_n, key_n, value_n = (tensor[0].transpose(0, 1).contiguous() for tensor in (query, key, value))
        out_n: Tensor = _BlockAttention.apply(query_n, key_n, value_n, self.buckets, scaling)  # type: ignore[no-untyped-call]
        return out_n.unsqueeze(0)


class _BlockAttention(torch.autograd.Function):
    """query_n [N, H, D], key_n and value_n [N, H_kv, D] → [N, H, D], each node within its own bucket.

    Autograd would keep every bucket's gathered copies, and add up a full-size gradient for each of them. Here they are
    gathered again in the backward pass, and each bucket adds to one gradient in place.
    """

    @staticmethod
    def forward(
        ctx: Any, query_n: Tensor, key_n: Tensor, value_n: Tensor, buckets: list["_Bucket"], scaling: float
    ) -> Tensor:
        out_n = torch.empty_like(query_n)
        kept = []
        for bucket in buckets:
            query, key, value = bucket.gather(query_n, key_n, value_n)
            out, log_normaliser = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
                query, key, value, attn_mask=bucket.bias(query), scale=scaling
            )
            out_n[bucket.real_nodes] = bucket.unfold(out, query_n.shape[1])
            kept += [out, log_normaliser]
        ctx.save_for_backward(query_n, key_n, value_n, *kept)
        ctx.buckets, ctx.scaling = buckets, scaling
        return out_n

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
        query_n, key_n, value_n, *kept = ctx.saved_tensors
        to_query, to_key, to_value = torch.empty_like(query_n), torch.zeros_like(key_n), torch.zeros_like(value_n)
        for number, bucket in enumerate(ctx.buckets):
            query, key, value = bucket.gather(query_n, key_n, value_n)
            of_query, of_key, of_value = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward(
                bucket.fold(gradient, key_n.shape[1]), query, key, value, kept[2 * number], kept[2 * number + 1],
                0.0, False, attn_mask=bucket.bias(query), scale=ctx.scaling,
            )  # fmt: skip
            to_query[bucket.real_nodes] = bucket.unfold(of_query, query_n.shape[1])
            for whole, part in ((to_key, of_key), (to_value, of_value)):
                whole.index_add_(0, bucket.keys.reshape(-1), part.transpose(1, 2).reshape(-1, *whole.shape[1:]))
        return to_query, to_key, to_value, None, None


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
