"""Logistic regression with a quadratic penalty, and verdicts on rows that a fit never saw: neither their prompt nor the
model that wrote them.

min over w, b of Σ log(1 + exp(−y (x·w + b))) + (λ/2) |w|², y = ±1; convex, so that there is one answer.
"""

import math
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
# [rows, features] of all rows, made with the knowledge of some: those that a fit learns from.
Features = Callable[[Ints], Any]
_INNER_FOLDS = 3


@dataclass(frozen=True)
class Fit:
    """Weights [features] and bias of one candidate of features under one penalty."""

    candidate: str
    penalty: float
    weight: Floats
    bias: float

    def __call__(self, x: Any) -> Floats:
        """[rows, features] → [rows] log-odds of yes."""
        return np.asarray(x @ self.weight, dtype=np.float64) + self.bias


def logistic(x: Any, labels: NDArray[np.bool_], penalty: float) -> tuple[Floats, float]:
    """Weights [features] and bias, which is not penalised. x [rows, features] may be sparse."""
    from scipy.optimize import minimize

    sign = np.where(labels, 1.0, -1.0)

    def loss(parameters: Floats) -> tuple[float, Floats]:
        weight, bias = parameters[:-1], parameters[-1]
        margin = sign * (x @ weight + bias)
        pull = -sign / (1 + np.exp(np.clip(margin, -500, 500)))
        gradient = np.append(x.T @ pull + penalty * weight, pull.sum())
        return float(np.logaddexp(0, -margin).sum() + penalty / 2 * weight @ weight), gradient

    found = minimize(loss, np.zeros(x.shape[1] + 1), jac=True, method="L-BFGS-B", options={"maxiter": 500}).x
    return found[:-1], float(found[-1])


def fit_best(
    candidates: Sequence[tuple[str, Features]],
    labels: NDArray[np.bool_],
    clusters: Sequence[Hashable],
    train: Ints,
    penalties: Sequence[float],
    seed: int,
) -> tuple[Fit, Any]:
    """The candidate and penalty with the least log-loss on folds of `train` (whole clusters apart), fitted to all of
    `train`; and that candidate's features of all rows."""
    fold = folds([clusters[number] for number in train], _INNER_FOLDS, seed)
    best: tuple[float, str, float, Features] | None = None
    for name, features in candidates:
        x = features(train)
        for penalty in penalties:
            losses = []
            for held in range(_INNER_FOLDS):
                inside, outside = train[fold != held], train[fold == held]
                weight, bias = logistic(x[inside], labels[inside], penalty)
                losses.append(np.logaddexp(0, -np.where(labels[outside], 1.0, -1.0) * (x[outside] @ weight + bias)))
            loss = float(np.concatenate(losses).mean())
            if best is None or loss < best[0]:
                best = (loss, name, penalty, features)
    assert best is not None
    _, name, penalty, features = best
    x = features(train)
    weight, bias = logistic(x[train], labels[train], penalty)
    return Fit(name, penalty, weight, bias), x


def held_out_logits(
    candidates: Sequence[tuple[str, Features]],
    labels: NDArray[np.bool_],
    clusters: Sequence[Hashable],
    penalties: Sequence[float],
    cells: Sequence[tuple[Ints, Ints]],
    seed: int,
) -> Iterator[tuple[Ints, Floats]]:
    """For each cell of `crossed`, (rows, their log-odds) by a fit that saw none of their clusters or sources; features
    and penalty are chosen inside it, too."""
    for train, test in cells:
        fit, x = fit_best(candidates, labels, clusters, train, penalties, seed)
        yield test, fit(x[test])


def crossed(
    clusters: Sequence[Hashable], sources: Sequence[Hashable], cluster_folds: int, source_folds: int, seed: int
) -> list[tuple[Ints, Ints]]:
    """(rows to learn from, rows to judge) so that every row is judged once, and the two share neither a cluster nor a
    source. Rows that share one of them with a cell's are left out of its fit."""
    of_cluster, of_source = folds(clusters, cluster_folds, seed), folds(sources, source_folds, seed)
    cells = []
    for one in range(cluster_folds):
        for other in range(source_folds):
            test = np.flatnonzero((of_cluster == one) & (of_source == other))
            if len(test):
                cells.append((np.flatnonzero((of_cluster != one) & (of_source != other)), test))
    return cells


def folds(marks: Sequence[Hashable], count: int, seed: int) -> Ints:
    """[rows] the fold of each: whole groups of equal marks, in random order, each to the smallest fold so far."""
    numbers: dict[Hashable, int] = {}
    group = np.array([numbers.setdefault(mark, len(numbers)) for mark in marks], dtype=np.int64)
    size = np.bincount(group, minlength=len(numbers))
    fold, sizes = np.zeros(len(numbers), dtype=np.int64), np.zeros(count)
    for number in np.random.default_rng(seed).permutation(len(numbers)):
        fold[number] = sizes.argmin()
        sizes[fold[number]] += size[number]
    return fold[group]


def words_of(texts: Sequence[str]) -> Features:
    """The baseline: tf-idf of words and pairs of words that two of the texts to learn from hold (1 + log of their
    counts, unit length, times 10 so that one grid of penalties fits all)."""
    import re
    from collections import Counter
    from itertools import pairwise

    from scipy.sparse import csr_matrix

    def terms(text: str) -> Counter[str]:
        found = re.findall(r"[a-z']+", text.lower())
        return Counter([*found, *(f"{one} {two}" for one, two in pairwise(found))])

    counted = [terms(text) for text in texts]

    def features(train: Ints) -> Any:
        seen = Counter(term for number in train for term in counted[number])
        places = {term: place for place, term in enumerate(sorted(term for term, n in seen.items() if n >= 2))}
        rarity = {term: math.log((1 + len(train)) / (1 + seen[term])) + 1 for term in places}
        data: list[float] = []
        row: list[int] = []
        column: list[int] = []
        for number, counts in enumerate(counted):
            values = {term: (1 + math.log(n)) * rarity[term] for term, n in counts.items() if term in places}
            norm = math.sqrt(sum(value**2 for value in values.values())) or 1.0
            data += [10 * value / norm for value in values.values()]
            column += [places[term] for term in values]
            row += [number] * len(values)
        return csr_matrix((data, (row, column)), shape=(len(counted), len(places)))

    return features
