"""Generation with continuous batching: a finished row is replaced at once, and shared prompt tokens are computed once.

Waiting prompts are prefilled together as a token tree, so that a system prompt or n samples of one prompt cost one
pass. Their keys and values then wait, compactly, for a slot. Every decoding step runs one token of each occupied slot.

A sampled answer depends on (seed, prompt, how often that prompt came before) and on nothing else: each row draws its
own uniform numbers and inverts its own cumulative distribution. Batch size can matter only where two choices tie to
rounding; `least_gap` tells how near an answer came to that.
"""

import hashlib
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from truing.core.errors import InputError
from truing.core.records import Decoding
from truing.engine.attention import TreeAttention, grouped_attention
from truing.engine.tree import TokenSequence, build_forest
from truing.engine.trunk import Trunk

SLOTS = 48
_PREFILL_PROMPTS = 32


@dataclass(frozen=True)
class Generated:
    """One answer's tokens (end of turn left out), log-probabilities (end included, nats, at temperature 1), whether it
    ended by itself, and how near another choice was: the least difference of the best two logits (greedy), or of the
    drawn number to the edge of the chosen token's interval (sampling)."""

    ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    finished: bool
    least_gap: float


@dataclass
class _Row:
    number: int
    prompt: tuple[int, ...]
    random: np.random.Generator
    ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    least_gap: float = float("inf")


@dataclass
class _Prefilled:
    """A row whose prompt (but its last token) is computed: keys and values per layer, [H_kv, tokens, D] each."""

    row: _Row
    keys: list[Tensor]
    values: list[Tensor]


class _Slots:
    """The key-value cache: [slots, H_kv, length, D] per layer. Occupied slots are always the first `len(rows)`."""

    def __init__(self, trunk: Trunk, slots: int, length: int) -> None:
        config = trunk.model.config
        width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        shape = (slots, config.num_key_value_heads, length, width)
        self.keys = [torch.zeros(shape, dtype=trunk.dtype) for _ in trunk.layers]
        self.values = [torch.zeros(shape, dtype=trunk.dtype) for _ in trunk.layers]
        self.rows: list[_Row] = []
        self.lengths: list[int] = []

    def put(self, slot: int, prefilled: _Prefilled) -> None:
        length = prefilled.keys[0].shape[1]
        for layer, (key, value) in enumerate(zip(prefilled.keys, prefilled.values, strict=True)):
            self.keys[layer][slot, :, :length] = key
            self.values[layer][slot, :, :length] = value
        if slot == len(self.rows):
            self.rows.append(prefilled.row)
            self.lengths.append(length)
        else:
            self.rows[slot], self.lengths[slot] = prefilled.row, length

    def drop(self, slot: int) -> None:
        """Free a slot by moving the last occupied one into it."""
        last = len(self.rows) - 1
        if slot != last:
            length = self.lengths[last]
            for cache in (*self.keys, *self.values):
                cache[slot, :, :length] = cache[last, :, :length]
            self.rows[slot], self.lengths[slot] = self.rows[last], length
        self.rows.pop()
        self.lengths.pop()


class _DecodePlan:
    """One decoding step: each occupied slot's new key and value join its cache, and its one query sees them all."""

    def __init__(self, slots: _Slots) -> None:
        self.slots = slots
        self.active = torch.arange(len(slots.rows))
        self.lengths = torch.tensor(slots.lengths)
        self.longest = max(slots.lengths) + 1
        self.mask = (torch.arange(self.longest)[None, :] <= self.lengths[:, None]).unsqueeze(1)

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scaling: float) -> Tensor:
        keys, values = self.slots.keys[layer], self.slots.values[layer]
        keys[self.active, :, self.lengths] = key[:, :, 0]
        values[self.active, :, self.lengths] = value[:, :, 0]
        rows = len(self.active)
        out = grouped_attention(
            query, keys[:rows, :, : self.longest], values[:rows, :, : self.longest], self.mask, scaling
        )
        return out.transpose(1, 2)


@torch.no_grad()
def generate(
    trunk: Trunk, prompts: Sequence[tuple[int, ...]], decoding: Decoding, end_id: int, slots: int = SLOTS
) -> Iterator[tuple[int, Generated]]:
    """Answer prompts (token ids); yields (prompt's number, answer) as answers finish.

    Raises `InputError` when a prompt and its answer could exceed the model's context.
    """
    if not prompts:
        return
    longest = max(len(prompt) for prompt in prompts)
    if longest + decoding.max_new_tokens > trunk.context:
        raise InputError(
            f"a prompt of {longest} tokens and {decoding.max_new_tokens} new ones exceed the model's context of "
            f"{trunk.context}"
        )
    waiting = deque(_rows(prompts, decoding.seed))
    ready: deque[_Prefilled] = deque()
    cache = _Slots(trunk, min(slots, len(prompts)), longest + decoding.max_new_tokens)
    while waiting or ready or cache.rows:
        while len(cache.rows) < len(cache.keys[0]) and (ready or waiting):
            if not ready:
                group = [waiting.popleft() for _ in range(min(_PREFILL_PROMPTS, len(waiting)))]
                ready.extend(_prefill(trunk, group))
            cache.put(len(cache.rows), ready.popleft())
        _step(trunk, cache, decoding)
        for slot in reversed(range(len(cache.rows))):
            row = cache.rows[slot]
            ended = row.ids[-1] == end_id
            if ended or len(row.ids) == decoding.max_new_tokens:
                ids = row.ids[:-1] if ended else row.ids
                yield row.number, Generated(tuple(ids), tuple(row.logprobs), ended, row.least_gap)
                cache.drop(slot)


def _rows(prompts: Sequence[tuple[int, ...]], seed: int) -> Iterator[_Row]:
    seen: Counter[tuple[int, ...]] = Counter()
    for number, prompt in enumerate(prompts):
        material = f"{seed}/{seen[prompt]}/{prompt}".encode()
        seen[prompt] += 1
        yield _Row(number, prompt, np.random.default_rng(int.from_bytes(hashlib.sha256(material).digest()[:8])))


def _prefill(trunk: Trunk, rows: list[_Row]) -> Iterator[_Prefilled]:
    """Compute the rows' prompts but for their last tokens (those are the first decoding step's input), as one tree."""
    bodies = [TokenSequence(row.prompt[:-1], scored_from=len(row.prompt) - 1) for row in rows]
    forest = build_forest(bodies)
    plan = TreeAttention.of(forest, capture=True)
    trunk.run(trunk.embed(torch.from_numpy(forest.ids))[None], torch.from_numpy(forest.depth)[None], plan)
    for row, path in zip(rows, forest.paths, strict=True):
        nodes = torch.from_numpy(path)
        keys = [plan.captured[layer][0].index_select(1, nodes) for layer in range(len(trunk.layers))]
        values = [plan.captured[layer][1].index_select(1, nodes) for layer in range(len(trunk.layers))]
        yield _Prefilled(row, keys, values)


def _step(trunk: Trunk, cache: _Slots, decoding: Decoding) -> None:
    """Decode one token for every occupied slot."""
    ids = torch.tensor([row.ids[-1] if row.ids else row.prompt[-1] for row in cache.rows])
    plan = _DecodePlan(cache)
    hidden = trunk.run(trunk.embed(ids)[:, None], plan.lengths[:, None], plan)
    logits = (trunk.norm(hidden[:, 0]) @ trunk.head.T).float()
    chosen, gaps = _greedy(logits) if decoding.temperature == 0 else _sampled(logits, cache.rows, decoding.temperature)
    logprobs = (logits.gather(1, chosen[:, None])[:, 0] - logits.logsumexp(-1)).tolist()
    for slot, (row, token, gap) in enumerate(zip(cache.rows, chosen.tolist(), gaps.tolist(), strict=True)):
        row.ids.append(token)
        row.logprobs.append(logprobs[slot])
        row.least_gap = min(row.least_gap, gap)
        cache.lengths[slot] += 1


def _greedy(logits: Tensor) -> tuple[Tensor, Tensor]:
    best = logits.topk(2, dim=-1)
    return best.indices[:, 0], best.values[:, 0] - best.values[:, 1]


def _sampled(logits: Tensor, rows: list[_Row], temperature: float) -> tuple[Tensor, Tensor]:
    """Invert each row's cumulative distribution at its own uniform number."""
    cumulative = (logits.double() / temperature).softmax(-1).cumsum(-1)
    drawn = torch.tensor([[row.random.random()] for row in rows], dtype=torch.float64) * cumulative[:, -1:]
    chosen = torch.searchsorted(cumulative, drawn, right=True).clamp_max(logits.shape[1] - 1)
    upper = cumulative.gather(1, chosen) - drawn
    lower = drawn - torch.where(chosen > 0, cumulative.gather(1, (chosen - 1).clamp_min(0)), 0.0)
    return chosen[:, 0], torch.minimum(upper, lower)[:, 0]
