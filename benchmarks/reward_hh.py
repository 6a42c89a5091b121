"""How much of people's preferences can a reward learn from 1,500 comparisons? Five-fold cross-validation on hh-rlhf.

    python benchmarks/reward_hh.py --pairs ../shared/data/hh-rlhf/harmless_base_1800.jsonl.gz --states FOLDER

The rows are those that `split = "content"`, `held_out = 300` leaves for training. Folds keep rows together that share
their prompt or its first turn. The 300 held out are looked at with `--held-out` only, after everything was chosen: then
all folds teach, and these are asked. Compared, on the same pairs:

    length   the longer (or the shorter) answer wins, whichever did in the other folds
    words    tf-idf of words and word pairs of both answers, a linear reward of their difference
    states   a linear reward of the frozen model's hidden states: layer, place (end of turn, mean or maximum over the
             answer) and penalty are chosen by an inner cross-validation in the other folds
    layers   the mean of such rewards of every layer and place, each with the penalty that its inner folds choose
    both     the sum of words and states, in log-odds

A linear reward w is fitted by Bradley–Terry with an L2 penalty: min Σ log(1 + exp(−w·(f_w − f_l))) + (λ/2) |w|².
Differences of accuracy have McNemar's exact p and Tango's interval. States are computed once and kept in FOLDER, as far
as `--minutes` allow; rows that have none are left out of everything, and counted.
"""

import argparse
import json
import math
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import minimize
from scipy.sparse import csr_matrix

from truing.core.records import Comparison
from truing.core.statistics import mcnemar_exact, tango, wilson
from truing.data import formats
from truing.data.groups import Groups
from truing.data.split import by_content

HELD_OUT = 300
FOLDS = 5
LAYERS = (4, 8, 12, 16, 20, 24, 28, 30)
PLACES = ("end", "mean", "max")
PENALTIES = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0)
Matrix = Any  # [pairs, features], dense or sparse


def main() -> None:
    """Read, compute what is missing, cross-validate, print one line a method."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=Path, required=True)
    parser.add_argument("--states", type=Path, help="a folder for the model's states; none: the baselines only")
    parser.add_argument("--minutes", type=float, default=600.0, help="how long to compute states at most")
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--seed", type=int, default=0, help="of the folds")
    parser.add_argument("--held-out", action="store_true", help="learn from all folds, and read the 300 held out")
    parser.add_argument("--shuffle", action="store_true", help="a control: winners by a coin, so accuracy must be .5")
    options = parser.parse_args()
    good, bad = formats.load(options.pairs)
    rows, held_out = by_content(good, HELD_OUT)
    print(f"{len(good)} good rows, {len(bad)} bad; {len(rows)} for training, of which", end=" ", flush=True)
    rows, states = with_states(rows, options.model, options.states, options.minutes)
    print(f"{len(rows)} are used")
    fold, asked = folds_of(rows, options.seed), list(range(FOLDS))
    if options.held_out:
        folder = None if options.states is None else options.states / "held_out"
        held_out, more = with_states(held_out, options.model, folder, options.minutes)
        print(f"{len(held_out)} held-out rows are read")
        states = None if states is None or more is None else np.concatenate([states, more])
        fold, asked = np.concatenate([fold, np.full(len(held_out), FOLDS)]), [FOLDS]
        rows = [*rows, *held_out]
    flips = np.random.default_rng(1).choice([1.0, -1.0], len(rows)) if options.shuffle else np.ones(len(rows))
    found = evaluate(rows, states, fold, flips, asked)
    read = np.isin(fold, asked)
    print_table({name: margins[read] for name, margins in found.items()})


def with_states(
    rows: Sequence[Comparison], model: str, folder: Path | None, minutes: float
) -> tuple[list[Comparison], Any]:
    """The rows that have their states in FOLDER, and these; without one, all rows and None."""
    if folder is None:
        return list(rows), None
    kept = np.flatnonzero(compute_states(rows, model, folder, minutes))
    return [rows[number] for number in kept], np.load(folder / "states.npy", mmap_mode="r")[kept]


def folds_of(rows: Sequence[Comparison], seed: int) -> np.ndarray:
    """[rows] the fold of each: whole groups of rows with one prompt or one first turn, to the smallest fold so far."""
    groups = Groups(len(rows))
    groups.join_equal([row.prompt for row in rows])
    groups.join_equal([row.prompt[0].content for row in rows])
    members = groups.members()
    fold, sizes = np.zeros(len(rows), dtype=int), np.zeros(FOLDS)
    for number in np.random.default_rng(seed).permutation(len(members)):
        target = int(sizes.argmin())
        fold[members[number]] = target
        sizes[target] += len(members[number])
    return fold


def evaluate(
    rows: Sequence[Comparison], states: Any, fold: np.ndarray, flips: np.ndarray, asked: Sequence[int]
) -> dict[str, np.ndarray]:
    """Each method's margins [rows], those of every fold that is asked from a reward that did not learn from it."""
    longer = np.array([[len(row.chosen.split()) - len(row.rejected.split())] for row in rows], dtype=float)
    methods: dict[str, Callable[[np.ndarray], Iterator[tuple[str, Matrix]]]] = {
        "length": lambda _train: iter([("length", longer * flips[:, None])]),
        "words": lambda train: iter([("tf-idf", words(rows, train).multiply(flips[:, None]).tocsr())]),
    }
    if states is not None:
        methods["states"] = lambda train: state_differences(states, train, flips)
    found = {}
    for name, candidates in methods.items():
        margins, everything = np.zeros(len(rows)), np.zeros(len(rows))
        for held in asked:
            train, test = np.flatnonzero(fold != held), np.flatnonzero(fold == held)
            fits = list(fit_each(candidates(train), fold, train, test))
            _, chosen, margins[test] = min(fits, key=lambda fit: fit[0])
            everything[test] = np.mean([fit[2] for fit in fits], axis=0)
            print(f"  {name}, fold {held}: {chosen}, {np.mean(margins[test] > 0):.3f}", flush=True)
        found[name] = margins
        if name == "states":
            found["layers"] = everything
    if "states" in found:
        found["both"] = found["words"] + found["states"]
    return found


def fit_each(
    candidates: Iterator[tuple[str, Matrix]], fold: np.ndarray, train: np.ndarray, test: np.ndarray
) -> Iterator[tuple[float, str, np.ndarray]]:
    """Each candidate with the penalty of the least inner loss over the folds of `train`: that loss, what it is called,
    and its margins on `test`."""
    for name, x in candidates:
        losses = {}
        for penalty in PENALTIES if x.shape[1] > 1 else (1e-6,):
            parts = []
            for inner in np.unique(fold[train]):
                inside, outside = train[fold[train] != inner], train[fold[train] == inner]
                parts.append(np.logaddexp(0, -(x[outside] @ bradley_terry(x[inside], penalty))))
            losses[penalty] = float(np.concatenate(parts).mean())
        best = min(losses, key=lambda penalty: losses[penalty])
        yield losses[best], f"{name}, penalty {best:g}", x[test] @ bradley_terry(x[train], best)


def bradley_terry(x: Matrix, penalty: float) -> np.ndarray:
    """w that minimises Σ log(1 + exp(−x w)) + (penalty / 2) |w|²."""

    def loss(w: np.ndarray) -> tuple[float, np.ndarray]:
        margin = x @ w
        wrong = 1 / (1 + np.exp(np.clip(margin, -500, 500)))
        return np.logaddexp(0, -margin).sum() + penalty / 2 * w @ w, penalty * w - x.T @ wrong

    return minimize(loss, np.zeros(x.shape[1]), jac=True, method="L-BFGS-B", options={"maxiter": 300}).x


def words(rows: Sequence[Comparison], train: np.ndarray) -> Matrix:
    """[rows, terms] differences of the answers' tf-idf vectors (words and word pairs that two training answers hold,
    1 + log of their counts, unit length, times 10 so that one grid of penalties fits all)."""

    def terms(text: str) -> Counter[str]:
        found = re.findall(r"[a-z']+", text.lower())
        return Counter([*found, *(f"{one} {two}" for one, two in pairwise(found))])

    answers = [(terms(row.chosen), terms(row.rejected)) for row in rows]
    seen = Counter(term for number in train for side in answers[number] for term in side)
    vocabulary = {term: place for place, term in enumerate(sorted(term for term, n in seen.items() if n >= 2))}
    idf = {term: math.log((1 + 2 * len(train)) / (1 + seen[term])) + 1 for term in vocabulary}

    def vector(counts: Counter[str]) -> dict[int, float]:
        values = {term: (1 + math.log(n)) * idf[term] for term, n in counts.items() if term in vocabulary}
        norm = math.sqrt(sum(value**2 for value in values.values())) or 1.0
        return {vocabulary[term]: 10 * value / norm for term, value in values.items()}

    data, row_of, column = [], [], []
    for number, sides in enumerate(answers):
        for sign, side in zip((1, -1), sides, strict=True):
            for place, value in vector(side).items():
                data.append(sign * value)
                row_of.append(number)
                column.append(place)
    return csr_matrix((data, (row_of, column)), shape=(len(rows), len(vocabulary)))


def state_differences(states: Any, train: np.ndarray, flips: np.ndarray) -> Iterator[tuple[str, Matrix]]:
    """states [rows, 2, layers, places, width] → for each layer and place, differences scaled to a deviation of 1 over
    all features together."""
    for layer, place in ((layer, place) for layer in range(states.shape[2]) for place in range(states.shape[3])):
        both = np.asarray(states[:, :, layer, place], dtype=np.float64)
        deviation = both[train].reshape(-1, both.shape[-1]).std(0) + 1e-6
        difference = (both[:, 0] - both[:, 1]) / deviation / math.sqrt(both.shape[-1])
        yield f"layer {LAYERS[layer]}, {PLACES[place]}", difference * flips[:, None] * 10


def compute_states(rows: Sequence[Comparison], model: str, folder: Path, minutes: float) -> np.ndarray:
    """[rows] which have their states in FOLDER/states.npy; goes on where it stopped, in an order fixed by a seed."""
    import torch

    from truing.engine.chat import Chat
    from truing.engine.score import batches
    from truing.engine.tree import build_forest
    from truing.engine.trunk import Trunk

    trunk = Trunk.load(model)
    width, identity = trunk.head.shape[1], {"trunk": trunk.sha256, "rows": [row.sha256 for row in rows]}
    shape = (len(rows), 2, len(LAYERS), len(PLACES), width)
    folder.mkdir(parents=True, exist_ok=True)
    told = folder / "identity.json"
    if told.exists() and json.loads(told.read_text()) != identity:
        raise SystemExit(f"{folder} holds the states of other rows or of another model; name another folder")
    fresh = not told.exists()
    states, done = (
        np.lib.format.open_memmap(folder / f"{name}.npy", "w+", kind, size)
        if fresh
        else np.load(folder / f"{name}.npy", mmap_mode="r+")
        for name, kind, size in (("states", np.float32, shape), ("done", np.bool_, (len(rows),)))
    )
    told.write_text(json.dumps(identity))
    chat = Chat(trunk.tokenizer, trunk.context)
    forest = build_forest([chat.sequence(row.prompt, answer) for row in rows for answer in (row.chosen, row.rejected)])
    order = [number for number in np.random.default_rng(0).permutation(len(rows)).tolist() if not done[number]]
    end = time.monotonic() + 60 * minutes
    for part in batches(forest, order, 1024, group=2):
        if time.monotonic() > end:
            break
        piece = forest.select([2 * number + side for number in part for side in (0, 1)])
        positions, plan = trunk.tensor(piece.depth), trunk.plan(piece)
        with torch.no_grad():
            hidden, before = trunk.embed(trunk.tensor(piece.ids), positions)[None], 0
            for place, layer in enumerate(LAYERS):
                hidden = trunk.run(hidden, positions[None], plan, before, layer)
                here = (trunk.norm(hidden[0]) if layer == LAYERS[-1] else hidden[0]).float().numpy()
                for number, (path, start) in enumerate(zip(piece.paths, piece.scored_from, strict=True)):
                    answer = here[path[start:]]
                    states[part[number // 2], number % 2, place] = [answer[-1], answer.mean(0), answer.max(0)]
                before = layer
        done[part] = True
    return np.asarray(done)


def print_table(found: dict[str, np.ndarray]) -> None:
    """Accuracy of each method, and the best of ours against each baseline."""
    right = {name: margins > 0 for name, margins in found.items()}
    for name, hits in right.items():
        low, high = wilson(hits.sum(), len(hits))
        print(f"{name:<8} {hits.mean():.3f} [{low:.3f}, {high:.3f}] of {len(hits)}")
    for ours in ("states", "layers", "both"):
        for baseline in ("length", "words") if ours in right else ():
            only_baseline, only_ours = (
                int((right[one] & ~right[other]).sum()) for one, other in ((baseline, ours), (ours, baseline))
            )
            low, high = tango(only_baseline, only_ours, len(right[ours]))
            gain = right[ours].mean() - right[baseline].mean()
            p = mcnemar_exact(only_baseline, only_ours)
            print(f"{ours} − {baseline}: {gain:+.3f} [{low:+.3f}, {high:+.3f}], p = {p:.3g}")


if __name__ == "__main__":
    main()
