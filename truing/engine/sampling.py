"""What both ways of generating share: a row's state, and how its next token is chosen.

A sampled answer depends on (seed, prompt, how often that prompt came before) and on nothing else: each row draws its
own uniform numbers and inverts its own cumulative distribution. Batch size can matter only where two choices tie to
rounding; `least_gap` tells how near an answer came to that.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor


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
class Row:
    """A prompt that is being answered."""

    number: int
    prompt: tuple[int, ...]
    random: np.random.Generator
    ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    least_gap: float = float("inf")

    def ended(self, end_id: int, max_new_tokens: int) -> bool:
        """True once the end of turn or the limit is reached."""
        return bool(self.ids) and (self.ids[-1] == end_id or len(self.ids) == max_new_tokens)

    def generated(self, end_id: int) -> Generated:
        """The answer as it stands."""
        finished = self.ids[-1] == end_id
        return Generated(tuple(self.ids[:-1] if finished else self.ids), tuple(self.logprobs), finished, self.least_gap)


def rows_of(prompts: Sequence[tuple[int, ...]], seed: int) -> Iterator[Row]:
    """A row for each prompt, with its own random numbers."""
    seen: Counter[tuple[int, ...]] = Counter()
    for number, prompt in enumerate(prompts):
        material = f"{seed}/{seen[prompt]}/{prompt}".encode()
        seen[prompt] += 1
        yield Row(number, prompt, np.random.default_rng(int.from_bytes(hashlib.sha256(material).digest()[:8])))


def choose(logits: Tensor, rows: Sequence[Row], temperature: float) -> list[int]:
    """Choose each row's next token from its logits [rows, vocabulary] (float32 or float64), and note it in the row."""
    chosen, gaps = _greedy(logits) if temperature == 0 else _sampled(logits, rows, temperature)
    logprobs = (logits.gather(1, chosen[:, None])[:, 0] - logits.logsumexp(-1)).tolist()
    tokens: list[int] = chosen.tolist()
    for row, token, logprob, gap in zip(rows, tokens, logprobs, gaps.tolist(), strict=True):
        row.ids.append(token)
        row.logprobs.append(logprob)
        row.least_gap = min(row.least_gap, gap)
    return tokens


def _greedy(logits: Tensor) -> tuple[Tensor, Tensor]:
    best = logits.topk(2, dim=-1)
    return best.indices[:, 0], best.values[:, 0] - best.values[:, 1]


def _sampled(logits: Tensor, rows: Sequence[Row], temperature: float) -> tuple[Tensor, Tensor]:
    """Invert each row's cumulative distribution at its own uniform number."""
    cumulative = (logits.double() / temperature).softmax(-1).cumsum(-1)
    uniform = torch.tensor([[row.random.random()] for row in rows], dtype=torch.float64, device=logits.device)
    drawn = uniform * cumulative[:, -1:]
    chosen = torch.searchsorted(cumulative, drawn, right=True).clamp_max(logits.shape[1] - 1)
    upper = cumulative.gather(1, chosen) - drawn
    lower = drawn - torch.where(chosen > 0, cumulative.gather(1, (chosen - 1).clamp_min(0)), 0.0)
    return chosen[:, 0], torch.minimum(upper, lower)[:, 0]
