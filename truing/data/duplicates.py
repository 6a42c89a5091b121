"""Rows that say the same again, and training rows that give held-out ones away: exact and near duplicates.

Two texts are as alike as the Jaccard similarity of their sets of word trigrams. Candidates come from MinHash signatures
in bands (Broder 1997; Leskovec, Rajaraman and Ullman, Mining of Massive Datasets, ch. 3); the similarity of each
candidate is then computed exactly, so nothing is reported that is not so. With 32 bands of 4, a pair at the default
limit of 0.8 is missed once in 10⁷, at 0.7 once in 6,000, at 0.5 once in 8. Paraphrases are not found: for probes,
`overlap.py` compares embeddings. All rows' trigrams are held: under 1 kB a row and 4 bytes a word.
"""

import zlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from truing.core.digest import digest
from truing.core.records import Comparison, Probe, Record
from truing.data.groups import Groups
from truing.data.overlap import words

LIMIT = 0.8
_BANDS, _ROWS = 32, 4
By = Literal["row", "prompt"]


class Duplicates(Record):
    """Rows that are alike, in their order. `similarity` is the least that joined one of them to the rest; `turned`
    marks rows of which one prefers what another rejects."""

    kind: Literal["exact", "near"]
    rows: tuple[str, ...]
    similarity: float
    turned: bool
    text: str


class Leak(Record):
    """A held-out item and the training row that is most like it."""

    held_out: str
    training: str
    similarity: float
    text: str


def find_duplicates(rows: Iterable[Comparison], by: By = "row", limit: float = LIMIT) -> list[Duplicates]:
    """Groups of rows whose texts (prompt and answers, or the prompt alone) are alike by `limit` or more."""
    sketch = _Sketch(by)
    for row in rows:
        sketch.add(row)
    groups = Groups(len(sketch.ids))
    similarity: dict[int, float] = {}
    groups.join_equal(sketch.exact)
    exact = {members[0]: members for members in groups.members()}
    firsts = list(exact)
    for one, other in _candidates(sketch.bands(firsts)):
        first, second = firsts[one], firsts[other]
        if groups.of(first) != groups.of(second):
            alike = _jaccard(sketch.grams[first], sketch.grams[second])
            if alike >= limit:
                groups.join(first, second)
                similarity[second] = min(alike, similarity.get(second, 1.0))
    return [
        Duplicates(
            kind="exact" if members == exact[members[0]] else "near",
            rows=tuple(sketch.ids[row] for row in members),
            similarity=round(min([1.0, *(similarity[row] for row in members if row in similarity)]), 4),
            turned=len({(sketch.exact[row], sketch.order[row]) for row in members})
            > len({sketch.exact[row] for row in members}),
            text=sketch.texts[members[0]],
        )
        for members in groups.members()
        if len(members) > 1
    ]


def find_leaks(
    training: Iterable[Comparison], held_out: Iterable[Comparison | Probe], by: By = "prompt", limit: float = LIMIT
) -> list[Leak]:
    """For each held-out item that is like a training row by `limit` or more: the nearest such row."""
    sketch = _Sketch(by)
    for comparison in training:
        sketch.add(comparison)
    trained = len(sketch.ids)
    for item in held_out:
        sketch.add(item)
    nearest: dict[int, tuple[float, int]] = {}
    first_of: dict[str, int] = {}
    for place, key in enumerate(sketch.exact):
        if place < trained:
            first_of.setdefault(key, place)
        elif key in first_of:
            nearest[place] = (1.0, first_of[key])
    firsts = [*first_of.values(), *(place for place in range(trained, len(sketch.ids)) if place not in nearest)]
    for one, other in _candidates(sketch.bands(firsts)):
        first, second = firsts[one], firsts[other]
        if first < trained <= second:
            alike = _jaccard(sketch.grams[first], sketch.grams[second])
            best, row = nearest.get(second, (limit, first))
            if alike > best or (alike == best and first <= row):
                nearest[second] = (alike, first)
    return [
        Leak(held_out=sketch.ids[item], training=sketch.ids[row], similarity=round(alike, 4), text=sketch.texts[item])
        for item, (alike, row) in sorted(nearest.items())
    ]


class _Sketch:
    """What is kept of each row: id, exact digest, trigrams, signature, and the beginning of its last user turn."""

    def __init__(self, by: By) -> None:
        self._by = by
        self.ids: list[str] = []
        self.exact: list[str] = []
        self.order: list[bool] = []
        self.texts: list[str] = []
        self.grams: list[NDArray[np.uint32]] = []
        self._bands: list[NDArray[np.uint64]] = []
        draw = np.random.default_rng(0)
        size = _BANDS * _ROWS
        # Multiply-add-shift, universal for 32-bit keys (Dietzfelbinger 1996).
        self._a, self._b = (draw.integers(0, 2**64, size, dtype=np.uint64) for _ in range(2))

    def add(self, row: Comparison | Probe) -> None:
        texts = [turn.content for turn in row.prompt]
        answers = [row.chosen or "", row.rejected or ""] if self._by == "row" else []
        self.ids.append(row.id)
        self.exact.append(digest([list(row.prompt), sorted(answers)]))
        self.order.append(answers == sorted(answers))
        self.texts.append(row.prompt[-1].content[:80])
        grams = np.array(sorted({gram for text in (*texts, *answers) for gram in _grams(text)}), dtype=np.uint32)
        self.grams.append(grams)
        hashes = (grams.astype(np.uint64)[:, None] * self._a + self._b) >> np.uint64(32)
        least = hashes.min(axis=0).astype(np.uint32).reshape(_BANDS, _ROWS)
        # 16 bytes a band, folded into 8: two bands that differ fall together once in 2⁶⁴.
        self._bands.append(np.ascontiguousarray(least).view(np.uint64) @ np.array([1, 0x9E3779B97F4A7C15], np.uint64))

    def bands(self, rows: Sequence[int]) -> NDArray[np.uint64]:
        """[rows, bands] keys: equal ones make candidates."""
        return np.array([self._bands[row] for row in rows], dtype=np.uint64).reshape(len(rows), _BANDS)


def _grams(text: str) -> Iterator[int]:
    """Hashes of a text's word trigrams; a shorter text is one gram."""
    found = words(text)
    for start in range(max(1, len(found) - 2)):
        yield zlib.crc32(" ".join(found[start : start + 3]).encode("utf-8", "surrogatepass"))


def _candidates(bands: NDArray[np.uint64]) -> Iterator[tuple[int, int]]:
    """Pairs of rows (the first before the second) that agree in a band; a pair may come more than once."""
    for band in bands.T:
        order = np.argsort(band, kind="stable")
        ends = np.flatnonzero(np.diff(band[order])) + 1
        for run in np.split(order, ends):
            for place, one in enumerate(run.tolist()):
                for other in run[place + 1 :].tolist():
                    yield one, other


def _jaccard(one: NDArray[np.uint32], other: NDArray[np.uint32]) -> float:
    shared = len(np.intersect1d(one, other, assume_unique=True))
    return shared / (len(one) + len(other) - shared)
