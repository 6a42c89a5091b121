"""Attention that obeys a token tree or a cache of slots, registered with transformers under one name.

A packed forest travels as one row [1, N]: every linear layer computes N tokens and no padding. Only attention looks at
the structure: queries and keys are gathered block by block (see `tree.Forest.blocks`), attended under the tree's rule,
and scattered back. The plan is an argument of each call (`attention_mask` carries it through the layers untouched):
nothing is global. A model set to this attention refuses a call without a plan.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
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
# What layers pass on and the plan already knows, or what only concerns a cache of transformers' own.
_HARMLESS = {"position_ids", "position_embeddings", "use_cache", "is_causal"}


class AttentionPlan(Protocol):
    """Answers one layer's attention: query [B, H, T, D], key and value [B, H_kv, T, D] → [B, T, H, D]."""

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, rule: "LayerRule") -> Tensor: ...


@dataclass(frozen=True)
class LayerRule:
    """What a layer asks of attention: scores are query · key × `scaling`, through `softcap` · tanh(x / softcap) if
    given; with a `window`, a token sees itself and the `window` − 1 tokens above it (depth counts, not place)."""

    scaling: float
    window: int | None = None
    softcap: float | None = None


def attention_forward(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: AttentionPlan | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    softcap: float | None = None,
    **others: Any,
) -> tuple[Tensor, None]:
    """The function that transformers calls in every attention layer (its interface fixes the signature)."""
    if attention_mask is None or not hasattr(attention_mask, "attend"):
        raise RuntimeError("this model attends by an explicit plan; call it through truing.engine.trunk.Trunk")
    if dropout:
        raise RuntimeError("attention dropout must be 0 while scoring against a reference")
    if unknown := [name for name, value in others.items() if value is not None and name not in _HARMLESS]:
        raise RuntimeError(f"this attention does not know what to do with {', '.join(unknown)}")
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    rule = LayerRule(scale, sliding_window, softcap)
    return attention_mask.attend(module.layer_idx, query, key, value, rule), None


def register() -> None:
    """Make the attention known to transformers, under `NAME`. Calling it again changes nothing."""
    from transformers import AttentionInterface

    AttentionInterface.register(NAME, attention_forward)


def grouped_attention(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, rule: LayerRule) -> Tensor:
    """Attention with H query heads over H_kv key heads, without repeating keys or values.

    query [B, H, Q, D]; key, value [B, H_kv, K, D]; mask [B, Q, K] True where a query sees a key, or None
    → [B, H, Q, D]. The query heads of one key head become further query rows of that head. The mask holds the rule's
    window already.
    """
    batch, heads, queries, width = query.shape
    kv_heads = key.shape[1]
    repeat = heads // kv_heads
    folded = query.reshape(batch, kv_heads, repeat * queries, width)
    folded_mask = None if mask is None else mask.repeat(1, repeat, 1).unsqueeze(1)
    if rule.softcap is None:
        out = scaled_dot_product_attention(folded, key, value, attn_mask=folded_mask, scale=rule.scaling)
    else:
        scores = rule.softcap * torch.tanh(folded @ key.transpose(-1, -2) * (rule.scaling / rule.softcap))
        if folded_mask is not None:
            scores = scores.masked_fill(~folded_mask, -torch.inf)
        out = scores.softmax(-1) @ value
    return out.reshape(batch, heads, queries, value.shape[-1])


@dataclass(frozen=True)
class _Bucket:
    """G blocks of similar size, padded to one shape: node numbers [G, Q] and [G, K], the rule [G, Q, K], the depths
    of queries and keys, and which of the padded queries are real (their places in the flattened [G·Q], and the nodes
    they belong to).

    As in `grouped_attention`, the query heads of one key head are further query rows of it: [G, H_kv, H/H_kv·Q, D].
    """

    queries: Tensor
    keys: Tensor
    mask: Tensor
    query_depth: Tensor
    key_depth: Tensor
    real_places: Tensor
    real_nodes: Tensor
    biases: dict[tuple[int, torch.dtype, int | None], Tensor] = field(default_factory=dict, init=False)
    places: dict[tuple[int, int], "_Places"] = field(default_factory=dict, init=False)

    def rows(self, nodes: int, heads: int, kv_heads: int) -> "_Places":
        """Where folded rows stand in [nodes · heads, D] tensors; made once for all layers."""
        if (heads, kv_heads) not in self.places:
            self.places[heads, kv_heads] = _Places.of(self, nodes, heads, kv_heads)
        return self.places[heads, kv_heads]

    def within(self, window: int | None) -> Tensor:
        """The mask of a layer that sees only so many tokens back, or all of them."""
        if window is None:
            return self.mask
        return self.mask & (self.query_depth[:, :, None] - self.key_depth[:, None, :] < window)

    def bias(self, folded: Tensor, window: int | None) -> Tensor:
        """0 where a folded query sees a key, −∞ elsewhere: [G, 1, rows, K]; made once for all layers of one window."""
        repeat = folded.shape[2] // self.queries.shape[1]
        key = repeat, folded.dtype, window
        if key not in self.biases:
            mask = self.within(window).repeat(1, repeat, 1).unsqueeze(1)
            self.biases[key] = torch.zeros(mask.shape, dtype=folded.dtype).masked_fill_(~mask, -torch.inf)
        return self.biases[key]


@dataclass(frozen=True)
class _Places:
    """Where a bucket's folded rows stand, so that gathering or scattering goes over the numbers once.

    Its queries [G · H · Q] are rows of [N · H, D] tensors, its keys [G · H_kv · K] rows of [N · H_kv, D] tensors. A
    padded query reads node 0 (`read`) and writes to a row behind the last (`write`); `padded` says which these are.
    """

    shape: tuple[int, int, int]
    read: Tensor
    write: Tensor
    padded: Tensor
    keys: Tensor
    key_shape: tuple[int, int, int]

    @classmethod
    def of(cls, bucket: _Bucket, nodes: int, heads: int, kv_heads: int) -> "_Places":
        """For a forest of so many nodes."""
        groups, queries = bucket.queries.shape
        head, kv_head = torch.arange(heads)[None, :, None], torch.arange(kv_heads)[None, :, None]
        real = torch.zeros(groups * queries, dtype=torch.bool)
        real[bucket.real_places] = True
        real = real.view(groups, 1, queries).expand(-1, heads, -1).reshape(-1)
        read = (bucket.queries[:, None, :] * heads + head).reshape(-1)
        return cls(
            shape=(groups, kv_heads, heads // kv_heads * queries),
            read=read,
            write=torch.where(real, read, nodes * heads),
            padded=torch.nonzero(~real)[:, 0],
            keys=(bucket.keys[:, None, :] * kv_heads + kv_head).reshape(-1),
            key_shape=(groups, kv_heads, bucket.keys.shape[1]),
        )

    def queries_of(self, rows: Tensor) -> Tensor:
        """[N · H, D] → folded queries [G, H_kv, H/H_kv · Q, D]."""
        return rows.index_select(0, self.read).view(*self.shape, rows.shape[1])

    def keys_of(self, rows: Tensor) -> Tensor:
        """[N · H_kv, D] → [G, H_kv, K, D]."""
        return rows.index_select(0, self.keys).view(*self.key_shape, rows.shape[1])

    def real_of(self, rows: Tensor) -> Tensor:
        """As `queries_of`, 0 at padded queries."""
        picked = rows.index_select(0, self.read).index_fill_(0, self.padded, 0)
        return picked.view(*self.shape, rows.shape[1])


@dataclass
class TreeAttention:
    """The plan of a forest whose deepest node is at `deepest`. With `capture`, each layer's keys and values
    [H_kv, N, D] are kept, for a cache to start from."""

    buckets: list[_Bucket]
    deepest: int
    capture: bool = False
    captured: dict[int, tuple[Tensor, Tensor]] = field(default_factory=dict)

    @classmethod
    def of(
        cls, forest: Forest, capture: bool = False, block_tokens: int = BLOCK_TOKENS, before: int = 0
    ) -> "TreeAttention":
        """Plan the attention of a forest. Its queries also see `before` keys that stand ahead of its own, as a chain
        above its roots (`prefix.py`)."""
        by_size: dict[tuple[int, int], list[Block]] = defaultdict(list)
        for block in forest.blocks(block_tokens):
            by_size[-(-len(block.queries) // _KEY_STEP), -(-len(block.keys) // _KEY_STEP)].append(block)
        buckets = [_bucket(forest, blocks, before) for blocks in by_size.values()]
        return cls(buckets, before + int(forest.depth.max()), capture)

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, rule: LayerRule) -> Tensor:
        """[1, H, N, D] → [1, N, H, D]; every node is the query of exactly one block."""
        if self.capture:
            self.captured[layer] = (key[0].detach(), value[0].detach())
        if rule.window is not None and rule.window > self.deepest:
            rule = replace(rule, window=None)
        # Node-major layouts, so that gathering a node copies one contiguous piece.
        query_n, key_n, value_n = (tensor[0].transpose(0, 1).contiguous() for tensor in (query, key, value))
        if rule.softcap is None and query.shape[-1] == value.shape[-1]:
            out_n: Tensor = _BlockAttention.apply(query_n, key_n, value_n, self.buckets, rule)  # type: ignore[no-untyped-call]
            return out_n.unsqueeze(0)
        pieces = []
        for bucket in self.buckets:
            out = grouped_attention(
                _gather(query_n, bucket.queries),
                _gather(key_n, bucket.keys),
                _gather(value_n, bucket.keys),
                bucket.within(rule.window),
                rule,
            )
            pieces.append(out.transpose(1, 2).flatten(0, 1).index_select(0, bucket.real_places))
        order = torch.argsort(torch.cat([bucket.real_nodes for bucket in self.buckets]))
        return torch.cat(pieces).index_select(0, order).unsqueeze(0)


class _BlockAttention(torch.autograd.Function):
    """query_n [N, H, D], key_n and value_n [N, H_kv, D] → [N, H, D], each node within its own bucket.

    Autograd would keep every bucket's gathered copies, and add up a full-size gradient for each of them. Here they are
    gathered again in the backward pass, and each bucket adds to one gradient in place.
    """

    @staticmethod
    def forward(
        ctx: Any, query_n: Tensor, key_n: Tensor, value_n: Tensor, buckets: list[_Bucket], rule: LayerRule
    ) -> Tensor:
        nodes, heads, width = query_n.shape
        query_r, key_r, value_r = (tensor.view(-1, width) for tensor in (query_n, key_n, value_n))
        out_r = query_r.new_empty(nodes * heads + 1, width)
        normalisers = []
        for bucket in buckets:
            at = bucket.rows(nodes, heads, key_n.shape[1])
            query = at.queries_of(query_r)
            out, log_normaliser = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
                query, at.keys_of(key_r), at.keys_of(value_r),
                attn_mask=bucket.bias(query, rule.window), scale=rule.scaling,
            )  # fmt: skip
            out_r.index_copy_(0, at.write, out.reshape(-1, width))
            normalisers.append(log_normaliser)
        out_n = out_r[:-1].view(nodes, heads, width)
        ctx.save_for_backward(query_n, key_n, value_n, out_n, *normalisers)
        ctx.buckets, ctx.rule = buckets, rule
        return out_n

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
        query_n, key_n, value_n, out_n, *normalisers = ctx.saved_tensors
        nodes, heads, width = query_n.shape
        query_r, key_r, value_r, out_r = (tensor.view(-1, width) for tensor in (query_n, key_n, value_n, out_n))
        gradient_r = gradient.reshape(-1, width)
        to_query = query_r.new_empty(nodes * heads + 1, width)
        to_key, to_value = torch.zeros_like(key_r), torch.zeros_like(value_r)
        for bucket, log_normaliser in zip(ctx.buckets, normalisers, strict=True):
            at = bucket.rows(nodes, heads, key_n.shape[1])
            query = at.queries_of(query_r)
            of_query, of_key, of_value = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward(
                at.real_of(gradient_r), query, at.keys_of(key_r), at.keys_of(value_r), at.real_of(out_r),
                log_normaliser, 0.0, False, attn_mask=bucket.bias(query, ctx.rule.window), scale=ctx.rule.scaling,
            )  # fmt: skip
            to_query.index_copy_(0, at.write, of_query.reshape(-1, width))
            to_key.index_add_(0, at.keys, of_key.reshape(-1, width))
            to_value.index_add_(0, at.keys, of_value.reshape(-1, width))
        return to_query[:-1].view_as(query_n), to_key.view_as(key_n), to_value.view_as(value_n), None, None


def _gather(tensor_n: Tensor, nodes: Tensor) -> Tensor:
    """[N, H, D] at [G, T] → [G, H, T, D]."""
    groups, length = nodes.shape
    picked = tensor_n.index_select(0, nodes.reshape(-1))
    return picked.reshape(groups, length, *tensor_n.shape[1:]).transpose(1, 2)


def _bucket(forest: Forest, blocks: Sequence[Block], before: int) -> _Bucket:
    most_queries = max(len(block.queries) for block in blocks)
    most_keys = before + max(len(block.keys) for block in blocks)
    queries = np.zeros((len(blocks), most_queries), dtype=np.int64)
    keys = np.zeros((len(blocks), most_keys), dtype=np.int64)
    mask = np.zeros((len(blocks), most_queries, most_keys), dtype=bool)
    places, nodes = [], []
    for number, block in enumerate(blocks):
        n_queries, n_keys = len(block.queries), before + len(block.keys)
        queries[number, :n_queries] = block.queries
        keys[number, :before] = np.arange(before)
        keys[number, before:n_keys] = before + block.keys
        mask[number, :n_queries, :before] = True
        mask[number, :n_queries, before:n_keys] = forest.sees(block.queries, block.keys)
        mask[number, n_queries:, 0] = True  # a padded query sees something, so that its softmax is finite
        places.append(number * most_queries + np.arange(n_queries))
        nodes.append(block.queries)
    depth = np.concatenate([np.arange(before), before + forest.depth])
    at = (depth[before + queries], depth[keys])
    arrays = (queries, keys, mask, *at, np.concatenate(places), np.concatenate(nodes))
    return _Bucket(*(torch.from_numpy(array) for array in arrays))
