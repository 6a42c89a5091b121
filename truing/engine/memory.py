"""How much memory a process may still take, and how much a forest's pass takes: counted from shapes, before it runs.

The count follows what autograd keeps for the backward pass of one decoder layer with low-rank adapters on its seven
linear maps (the frozen weights themselves keep nothing): two residual states, queries, keys, values, the output of
attention and its normalisers, gate and up. What a layer needs for a moment only is counted once, not for each layer:
what attention gathers for its blocks, and the rule as numbers, as large as queries × keys. How far the count is from
what was measured: docs/performance.md.

It does not know other kinds of layers. Nor does it know the allocator: glibc leaves holes between blocks that are kept
and those that are freed, and a run holds about twice what it uses. `SLACK`, measured, stands for that.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from truing.engine.attention import BLOCK_TOKENS
from truing.engine.logprob import TILE_BYTES
from truing.engine.tree import Forest

SLACK = 2.5
_STEP = 64  # attention pads a block's queries and keys to about a multiple of this
_CGROUP, _CGROUPS = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")


def available_bytes(cgroup: Path = _CGROUP, root: Path = _CGROUPS) -> int:
    """What this process may still take: the system's available memory, or less where a control group (a container, a
    job) limits it, version 1 or 2. Swap does not count. The arguments are for tests."""
    return min([int(psutil.virtual_memory().available), *_left_in_groups(cgroup, root)])


def _left_in_groups(cgroup: Path, root: Path) -> Iterator[int]:
    """Limit − use + what could be dropped of it (file pages not lately used), for each group above this process."""
    try:
        lines = cgroup.read_text(encoding="utf-8").splitlines()
    except OSError:
        return  # no Linux, so no control groups
    for line in lines:
        number, controllers, path = line.split(":", 2)
        if number == "0" and not controllers:
            base, names = root, ("memory.max", "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):
            base, names = root / "memory", ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        else:
            continue
        # Inside a container the path may be the host's and not exist here: the group's own files then lie at the base.
        group = base / path.lstrip("/")
        for folder in (group, *group.parents):
            left = _left(folder, *names)
            if left is not None:
                yield left
            if folder == base:
                break


def _left(folder: Path, limit: str, use: str, droppable: str) -> int | None:
    """None where the group sets no limit, or cannot be read."""
    try:
        limited, used = (folder / limit).read_text().strip(), int((folder / use).read_text())
        statistics = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
    except (OSError, ValueError):
        return None
    return None if limited == "max" else max(0, int(limited) - used + int(statistics.get(droppable, 0)))


@dataclass(frozen=True)
class Shape:
    """The sizes that memory depends on. `itemsize` is that of a number, in bytes."""

    width: int
    inner: int
    heads: int
    kv_heads: int
    head_width: int
    vocabulary: int
    itemsize: int

    @classmethod
    def of(cls, config: Any, itemsize: int) -> "Shape":
        """From a model's configuration."""
        head_width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        return cls(
            config.hidden_size,
            getattr(config, "intermediate_size", None) or 4 * config.hidden_size,  # GPT-2 leaves it out
            config.num_attention_heads,
            getattr(config, "num_key_value_heads", None) or config.num_attention_heads,
            head_width,
            config.vocab_size,
            itemsize,
        )

    def states(self, nodes: int) -> int:
        """Bytes of hidden states of so many nodes."""
        return nodes * self.width * self.itemsize

    def kept(self, forest: Forest) -> int:
        """Bytes that one adapted layer keeps of a forest until its backward pass."""
        attention = (2 * self.heads + 2 * self.kv_heads) * self.head_width
        per_node = 2 * self.width + attention + 2 * self.inner
        queries = sum(_padded(len(block.queries)) for block in forest.blocks(BLOCK_TOKENS))
        return (len(forest) * per_node + queries * self.heads) * self.itemsize

    def passing(self, forest: Forest) -> int:
        """Bytes that a layer holds at once while it runs forward, nothing kept: its states and gate, up and product, or
        its attention."""
        return (
            len(forest) * 4 * self.width + max(len(forest) * 3 * self.inner, self._attention(forest))
        ) * self.itemsize

    def scoring(self, rows: int) -> int:
        """Bytes of log-probabilities of so many rows: two tiles of logits at once."""
        return 2 * min(TILE_BYTES, rows * self.vocabulary * self.itemsize)

    def _attention(self, forest: Forest) -> int:
        """Numbers that attention gathers for a forest: queries, output and normalisers; keys and values; the rule."""
        queries = keys = rule = 0
        for block in forest.blocks(BLOCK_TOKENS):
            here, seen = _padded(len(block.queries)), _padded(len(block.keys))
            queries, keys, rule = queries + here, keys + seen, rule + here * seen
        per_query = self.heads * (2 * self.head_width + 1)
        return queries * per_query + keys * 2 * self.kv_heads * self.head_width + rule * self.heads // self.kv_heads


def _padded(tokens: int) -> int:
    return -(-tokens // _STEP) * _STEP
