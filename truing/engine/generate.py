"""Generation with continuous batching: a finished row is replaced at once, and shared prompt tokens are computed once.

Waiting prompts are prefilled together as a token tree, so that a system prompt or n samples of one prompt cost one
pass. Their keys and values then wait, compactly, for a slot. Every decoding step runs one token of each occupied slot.
A trunk on the padded path generates by the model's own code instead. How tokens are chosen: `sampling.py`.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from truing.core.errors import InputError
from truing.core.records import Decoding
from truing.engine import padded
from truing.engine.attention import LayerRule, grouped_attention
from truing.engine.sampling import Generated, Row, choose, rows_of
from truing.engine.tree import TokenSequence, build_forest
from truing.engine.trunk import Trunk

__all__ = ["SLOTS", "Generated", "generate"]

SLOTS = 48
_PREFILL_PROMPTS = 32


@dataclass
class _Prefilled:
    """A row whose prompt (but its last token) is computed: keys and values per layer, [H_kv, tokens, D] each."""

    row: Row
    keys: list[Tensor]
    values: list[Tensor]


class _Slots:
    """The key-value cache: [slots, H_kv, length, D] per layer, shaped as the first row's. Occupied slots are always
    the first `len(rows)`."""

    def __init__(self, slots: int, length: int) -> None:
        self.count = slots
        self.length = length
        self.keys: list[Tensor] = []
        self.values: list[Tensor] = []
        self.rows: list[Row] = []
        self.lengths: list[int] = []

    def put(self, slot: int, prefilled: _Prefilled) -> None:
        if not self.keys:
            self.keys, self.values = (
                [part.new_zeros(self.count, part.shape[0], self.length, part.shape[2]) for part in parts]
                for parts in (prefilled.keys, prefilled.values)
            )
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
        device = slots.keys[0].device
        self.active = torch.arange(len(slots.rows), device=device)
        self.lengths = torch.tensor(slots.lengths, device=device)
        self.longest = max(slots.lengths) + 1
        self.above = self.lengths[:, None] - torch.arange(self.longest, device=device)[None, :]

    def mask(self, window: int | None) -> Tensor:
        """[rows, 1, longest] True where a row's new token sees."""
        seen = self.above >= 0 if window is None else (self.above >= 0) & (self.above < window)
        return seen.unsqueeze(1)

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, rule: LayerRule) -> Tensor:
        keys, values = self.slots.keys[layer], self.slots.values[layer]
        keys[self.active, :, self.lengths] = key[:, :, 0]
        values[self.active, :, self.lengths] = value[:, :, 0]
        rows = len(self.active)
        seen = self.mask(rule.window)
        out = grouped_attention(query, keys[:rows, :, : self.longest], values[:rows, :, : self.longest], seen, rule)
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
    if trunk.padded:
        yield from padded.generate(trunk, list(rows_of(prompts, decoding.seed)), decoding, end_id, slots)
        return
    waiting = deque(rows_of(prompts, decoding.seed))
    ready: deque[_Prefilled] = deque()
    cache = _Slots(min(slots, len(prompts)), longest + decoding.max_new_tokens)
    while waiting or ready or cache.rows:
        while len(cache.rows) < cache.count and (ready or waiting):
            if not ready:
                group = [waiting.popleft() for _ in range(min(_PREFILL_PROMPTS, len(waiting)))]
                ready.extend(_prefill(trunk, group))
            cache.put(len(cache.rows), ready.popleft())
        _step(trunk, cache, decoding)
        for slot in reversed(range(len(cache.rows))):
            row = cache.rows[slot]
            if row.ended(end_id, decoding.max_new_tokens):
                yield row.number, row.generated(end_id)
                cache.drop(slot)


def _prefill(trunk: Trunk, rows: list[Row]) -> Iterator[_Prefilled]:
    """Compute the rows' prompts but for their last tokens (those are the first decoding step's input), as one tree."""
    bodies = [TokenSequence(row.prompt[:-1], scored_from=len(row.prompt) - 1) for row in rows]
    forest = build_forest(bodies)
    plan = trunk.plan(forest, capture=True)
    ids, positions = trunk.tensor(forest.ids), trunk.tensor(forest.depth)
    trunk.run(trunk.embed(ids, positions)[None], positions[None], plan)
    for row, path in zip(rows, forest.paths, strict=True):
        nodes = trunk.tensor(path)
        keys = [plan.captured[layer][0].index_select(1, nodes) for layer in range(len(trunk.layers))]
        values = [plan.captured[layer][1].index_select(1, nodes) for layer in range(len(trunk.layers))]
        yield _Prefilled(row, keys, values)


def _step(trunk: Trunk, cache: _Slots, decoding: Decoding) -> None:
    """Decode one token for every occupied slot."""
    plan = _DecodePlan(cache)
    ids = torch.tensor([row.ids[-1] if row.ids else row.prompt[-1] for row in cache.rows], device=trunk.device)
    positions = plan.lengths[:, None]
    hidden = trunk.run(trunk.embed(ids[:, None], positions), positions, plan)
    choose(trunk.output.logits(trunk.norm(hidden[:, 0])), cache.rows, decoding.temperature)
    cache.lengths = [length + 1 for length in cache.lengths]
