"""What truing's workers share: rows as tokens, an adapter that is not zero, and what a pass must at least compute."""

import time
from pathlib import Path
from statistics import median
from typing import Any

import torch

from truing.core.records import Message
from truing.engine.adapters import AdapterConfig, adapter_parameters, add_adapter, remove_adapter, save_adapter
from truing.engine.chat import Chat
from truing.engine.tree import Forest
from truing.engine.trunk import Trunk
from truing.train.preference import Pair


def tokens_of(chat: Chat, row: dict[str, Any]) -> Pair:
    """A pair's two sequences."""
    prompt = tuple(Message(**message) for message in row["prompt"])
    chosen, rejected = (chat.sequence(prompt, row[side][0]["content"]) for side in ("chosen", "rejected"))
    return chosen, rejected


def make_adapter(trunk: Trunk, config: AdapterConfig, folder: Path, seed: int = 0) -> None:
    """Save an adapter whose B is not zero."""
    add_adapter(trunk, "made", config, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in adapter_parameters(trunk, "made").items():
            if ".lora_B." in name:
                value.copy_(0.01 * torch.randn(value.shape, generator=generator))
    save_adapter(trunk, "made", folder)
    remove_adapter(trunk, "made")


class Operations:
    """Multiplications and additions that passes over a tree need, with an adapter on all layers.

    Frozen weights take one product forward and one backward (no gradient of their own); the thin adapter products take
    one forward and two backward; attention counts visible pairs only, two products forward and four backward. The head
    runs over the rows that predict scored tokens: one product for log-probabilities, and one more where their gradient
    is wanted (the expected embedding), none backward.
    """

    def __init__(self, trunk: Trunk, forest: Forest) -> None:
        config, layers, nodes = trunk.model.config, trunk.layers, len(forest)
        matrices = [p for name, p in layers.named_parameters() if p.dim() == 2 and ".lora_" not in name]
        weights = sum(p.numel() for p in matrices) * nodes
        thin = 16 * sum(sum(p.shape) for p in matrices) * nodes
        visible = 4 * float((forest.depth + 1).sum()) * config.num_attention_heads * config.head_dim * len(layers)
        self.forward = 2 * weights + visible
        self.forward_and_backward = 4 * weights + 6 * thin + 3 * visible
        self.head = 2 * len({int(node) for node in forest.parent[forest.edges[0]]}) * trunk.head.numel()


def matrix_rate() -> float:
    """The machine's matrix rate in operations a second: the median of nine float32 products of 2048³."""
    a, b = torch.randn(2048, 2048), torch.randn(2048, 2048)
    seconds = []
    for _ in range(10):
        started = time.perf_counter()
        a @ b
        seconds.append(time.perf_counter() - started)
    return 2 * 2048**3 / median(seconds[1:])
