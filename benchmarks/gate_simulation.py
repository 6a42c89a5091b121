"""Is the gate right? Simulated comparisons whose truth is known: false verdicts, and power at the printed effect.

    python benchmarks/gate_simulation.py --write docs/gate.md

Each scenario is a kind of items. Of each, so many comparisons are drawn: with no difference, where "worse" is false;
exactly at the margin, where "no worse" is; and at the worsening that the gate prints as detectable. The last is drawn
in two stages, as in life: a first comparison without a difference prints its detectable worsening, then comparisons at
that worsening are judged. The verdicts are those of `core/paired.py`, computed for all comparisons at once; a test
holds the two against each other. `--write` puts the tables between the page's two marks.
"""

import argparse
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtr

from truing.core.paired import ALPHA, detectable_at_once, detectable_one_by_one, expanded_confidence, stops
from truing.core.sequential import Units
from truing.core.statistics import tango_statistic

RUNS, PILOTS = 2_000, 200
RESAMPLES = 10_000
BEGIN, END = "<!-- simulation -->", "<!-- end of simulation -->"
Gains = NDArray[np.float64]  # [comparisons, clusters, items of a cluster]


@dataclass(frozen=True)
class YesNo:
    """Yes-or-no items. Both systems have the same `rate`, and their answers to an item this `correlation`; `together`
    is that of the gains within a cluster. A worsening adds items that only the baseline gets right."""

    clusters: int
    size: int
    rate: float
    correlation: float
    margin: float
    together: float = 0.0
    yes_or_no = True

    def draw(self, random: np.random.Generator, comparisons: int, worsening: float) -> Gains:
        """Gains of −1, 0 and 1."""
        each_way = self.rate * (1 - self.rate) * (1 - self.correlation)
        shares = np.array([min(1.0, each_way + worsening), each_way])
        if self.together:
            weight = (1 - self.together) / self.together
            whole = np.append(shares, max(0.0, 1 - shares.sum())) * weight
            shares = random.dirichlet(whole, size=(comparisons, self.clusters, 1))[..., :2]
        drawn = random.random((comparisons, self.clusters, self.size))
        return (drawn < shares.sum(axis=-1)).astype(float) - 2.0 * (drawn < shares[..., 0])

    def __str__(self) -> str:
        return f"yes or no, rate {self.rate:g}, correlation {self.correlation:g}" + (
            f", {self.together:g} within a cluster" if self.together else ""
        )


@dataclass(frozen=True)
class Graded:
    """Gains of any size: `even` (differences of two scores between 0 and 1), `skewed` (few items that lose much), or
    `normal` with half of the variance between clusters."""

    clusters: int
    size: int
    shape: str
    margin: float
    yes_or_no = False

    def draw(self, random: np.random.Generator, comparisons: int, worsening: float) -> Gains:
        """Gains of mean −worsening."""
        form = (comparisons, self.clusters, self.size)
        if self.shape == "even":
            gains = 0.7 * (random.beta(3, 2, form) - random.beta(3, 2, form))
        elif self.shape == "skewed":
            gains = 0.2 * (1 - random.exponential(size=form))
        else:
            gains = 0.15 * (random.normal(size=(comparisons, self.clusters, 1)) + random.normal(size=form))
        return gains - worsening

    def __str__(self) -> str:
        return f"graded, {self.shape}"


Scenario = YesNo | Graded

AT_ONCE: tuple[Scenario, ...] = (
    YesNo(200, 1, 0.02, 0.0, 0.03),
    YesNo(200, 1, 0.1, 0.5, 0.05),
    YesNo(100, 1, 0.5, 0.8, 0.1),
    YesNo(400, 1, 0.5, 0.3, 0.1),
    YesNo(400, 1, 0.8, 0.6, 0.05),
    YesNo(1000, 1, 0.95, 0.5, 0.02),
    YesNo(60, 1, 0.9, 0.5, 0.1),
    YesNo(60, 5, 0.8, 0.5, 0.05, together=0.3),
    YesNo(30, 8, 0.5, 0.5, 0.1, together=0.3),
    Graded(150, 1, "even", 0.05),
    Graded(100, 1, "skewed", 0.05),
    Graded(40, 5, "normal", 0.1),
)
ONE_BY_ONE: tuple[Scenario, ...] = (
    YesNo(400, 1, 0.02, 0.0, 0.05),
    YesNo(400, 1, 0.8, 0.6, 0.1),
    YesNo(1000, 1, 0.5, 0.3, 0.1),
    YesNo(100, 5, 0.8, 0.5, 0.1, together=0.3),
    Graded(400, 1, "even", 0.1),
)


class Verdicts(NamedTuple):
    """Which comparisons were called what."""

    worse: NDArray[np.bool_]
    no_worse: NDArray[np.bool_]


def verdicts(gains: Gains, yes_or_no: bool, margin: float, tests: int = 1) -> Verdicts:
    """What `at_once` comes to, for all comparisons; "worse" as if this were the smallest p of so many `tests`."""
    n, z = gains.shape[1] * gains.shape[2], NormalDist().inv_cdf(1 - ALPHA / 2)
    fewer, more = ((sign * gains > 0).sum(axis=(1, 2)).astype(float) for sign in (-1, 1))
    score = tango_statistic(fewer, more, n, -margin)
    if yes_or_no and gains.shape[2] == 1:
        if margin:
            p = 2 * np.vectorize(NormalDist().cdf)(-np.abs(score))
        else:
            p = np.minimum(1.0, 2 * bdtr(np.minimum(fewer, more), (fewer + more).astype(np.int64), 0.5))
        return Verdicts((score < -z) & (tests * p < ALPHA), score >= z)
    low, high, p = clustered(gains.sum(axis=2), gains.shape[2], margin)
    worse, within = (high < -margin) & (tests * p < ALPHA), low >= -margin
    return Verdicts(worse & (score < -z), within & (score >= z)) if yes_or_no else Verdicts(worse, within)


@lru_cache
def _resamples(clusters: int) -> tuple[Gains, Gains]:
    """The counts and signs that `cluster_bootstrap` and `sign_flip_test` draw with seed 0: [resamples, clusters]."""
    drawn = np.random.default_rng(0).integers(0, clusters, size=(RESAMPLES, clusters))
    counts = np.stack([np.bincount(row, minlength=clusters) for row in drawn]).astype(float)
    return counts, np.random.default_rng(0).choice((-1.0, 1.0), size=(RESAMPLES, clusters))


def clustered(sums: Gains, size: int, margin: float) -> tuple[Gains, Gains, Gains]:
    """The bootstrap's bounds, and p by the sign-flip test against −margin, of sums [comparisons, clusters]."""
    counts, signs = _resamples(sums.shape[1])
    tail = (1 - expanded_confidence(sums.shape[1])) / 2
    found = []
    for part in np.array_split(sums, max(1, len(sums) // 100)):
        low, high = np.quantile(counts @ part.T / (size * sums.shape[1]), [tail, 1 - tail], axis=0)
        shifted = (part + margin * size).T
        extreme = np.abs(signs @ shifted) >= np.abs(shifted.sum(axis=0)) * (1 - 1e-12)
        found.append((low, high, (extreme.sum(axis=0) + 1) / (RESAMPLES + 1)))
    low, high, p = (np.concatenate(one) for one in zip(*found, strict=True))
    return low, high, p


class Row(NamedTuple):
    """A scenario's figures."""

    false_worse: float
    false_no_worse: float
    detectable: float
    power: float
    beyond_margin: float
    power_beyond: float


def measure(scenario: Scenario, runs: int = RUNS, pilots: int = PILOTS, seed: int = 0) -> Row:
    """Judge items all at once."""
    random, margin, kind = np.random.default_rng(seed), scenario.margin, scenario.yes_or_no
    even = verdicts(scenario.draw(random, runs, 0.0), kind, 0.0)
    edge = verdicts(scenario.draw(random, runs, margin), kind, margin)
    clusters = np.repeat(np.arange(scenario.clusters), scenario.size).tolist()
    powers = []
    for allowed in (0.0, margin):
        printed, found = [], []
        kept: dict[object, float] = {}
        for pilot in scenario.draw(random, pilots, 0.0):
            # Of independent yes-or-no items only the number that differ counts.
            key = int(np.abs(pilot).sum()) if kind and scenario.size == 1 else len(printed)
            if key not in kept or not kind:
                kept[key] = detectable_at_once(pilot.ravel().tolist(), clusters, kind, allowed, ALPHA)
            printed.append(kept[key])
            found.append(scenario.draw(random, max(1, runs // pilots), printed[-1]))
        powers += [float(np.mean(printed)), float(verdicts(np.concatenate(found), kind, allowed).worse.mean())]
    return Row(float(even.worse.mean()), float(edge.no_worse.mean()), *powers)


class SequentialRow(NamedTuple):
    """A scenario's figures, read one by one. `read_even` and `read_worse`: the share of the items that were read."""

    false_worse: float
    false_no_worse: float
    detectable: float
    power: float
    read_even: float
    read_worse: float


def measure_sequential(scenario: Scenario, runs: int = RUNS, pilots: int = PILOTS, seed: int = 0) -> SequentialRow:
    """Read items one by one, or clusters; stop at the first certain verdict."""
    random, margin = np.random.default_rng(seed), scenario.margin
    worse, *_ = _ends(scenario, scenario.draw(random, runs, 0.0), 0.0)
    _, _, read_even = _ends(scenario, scenario.draw(random, runs, 0.0), margin)
    _, no_worse, _ = _ends(scenario, scenario.draw(random, runs, margin), margin)
    printed, found = [], []
    kept: dict[float, float] = {}
    for pilot in scenario.draw(random, pilots, 0.0):
        units = _units(pilot[None])
        key, one = round(float((units.sums**2).sum()), 1), Units(units.sums[0], units.sizes[0], units.largest)
        if key not in kept:
            kept[key] = detectable_one_by_one(one)
        printed.append(kept[key])
        found.append(scenario.draw(random, max(1, runs // pilots), kept[key]))
    caught, _, read_worse = _ends(scenario, np.concatenate(found), 0.0)
    shares = (worse, no_worse, np.mean(printed), caught, read_even, read_worse)
    return SequentialRow(*(float(np.mean(share)) for share in shares))


def _units(gains: Gains) -> Units:
    sums = gains.mean(axis=2)
    return Units(sums, np.ones_like(sums), float(gains.shape[2]))


def _ends(scenario: Scenario, gains: Gains, margin: float) -> tuple[NDArray[np.bool_], NDArray[np.bool_], Gains]:
    """Which comparisons were called worse and no worse by their end, and the share of clusters that was read."""
    parts = []
    for part in np.array_split(gains, max(1, len(gains) // 100)):
        found = stops(_units(part), margin)
        end = np.minimum(np.minimum(found.better, found.worse), found.no_worse)
        worse = (found.worse <= end) & np.isfinite(found.worse)
        no_worse = np.isfinite(found.no_worse) & (found.no_worse <= end)
        parts.append((worse, no_worse, np.minimum(end, scenario.clusters) / scenario.clusters))
    worse, no_worse, read = (np.concatenate(one) for one in zip(*parts, strict=True))
    return worse, no_worse, read


def any_false_alarm(metrics: int = 5, runs: int = RUNS, seed: int = 0) -> tuple[float, float]:
    """How often any of several metrics without a difference is called worse: with Holm's correction, and without."""
    random, scenario = np.random.default_rng(seed), YesNo(1000, 1, 0.5, 0.3, 0.1)
    found = []
    for tests in (metrics, 1):
        each = [verdicts(scenario.draw(random, runs, 0.0), True, 0.0, tests).worse for _ in range(metrics)]
        found.append(float(np.any(each, axis=0).mean()))
    return found[0], found[1]


def tables(runs: int, pilots: int) -> Iterator[str]:
    """The page's lines."""
    claims, effects = "false *worse* | false *no worse*", "detectable | power | beyond the margin | power"
    yield f"| items | clusters | margin | {claims} | {effects} |"
    yield "|---|---|---|---|---|---|---|---|---|"
    for scenario in AT_ONCE:
        row = measure(scenario, runs, pilots)
        shares = (f"{row.false_worse:.1%}", f"{row.false_no_worse:.1%}")
        seen = (f"{row.detectable:.3f}", f"{row.power:.0%}", f"{row.beyond_margin:.3f}", f"{row.power_beyond:.0%}")
        yield _line(scenario, *shares, *seen)
    yield ""
    corrected, plain = any_false_alarm(runs=runs)
    yield (
        f"Five metrics of 1000 items each without any difference: at least one false *worse* in {corrected:.1%} of "
        f"{runs} comparisons; without Holm's correction in {plain:.1%}."
    )
    yield ""
    yield "One by one (of clusters, whole ones):"
    yield ""
    yield (
        "| items | clusters | margin | false *worse* | false *no worse* | detectable | power | read, no difference | "
        "read, at the detectable |"
    )
    yield "|---|---|---|---|---|---|---|---|---|"
    for scenario in ONE_BY_ONE:
        found = measure_sequential(scenario, runs, pilots)
        shares = (f"{found.false_worse:.1%}", f"{found.false_no_worse:.1%}")
        read = (f"{found.read_even:.0%}", f"{found.read_worse:.0%}")
        yield _line(scenario, *shares, f"{found.detectable:.3f}", f"{found.power:.0%}", *read)


def _line(scenario: Scenario, *cells: str) -> str:
    items = f"{scenario.clusters * scenario.size} {scenario}"
    clusters = f"{scenario.clusters}" if scenario.size > 1 else ""
    return f"| {' | '.join((items, clusters, f'{scenario.margin:g}', *cells))} |"


def main() -> None:
    """Print the tables, and write them into a page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=RUNS, help="comparisons of each kind")
    parser.add_argument(
        "--pilots", type=int, default=PILOTS, help="first comparisons that print a detectable worsening"
    )
    parser.add_argument("--write", type=Path, help="the page to write into")
    options = parser.parse_args()
    started = time.process_time()
    lines = []
    for line in tables(options.runs, options.pilots):
        print(line, flush=True)
        lines.append(line)
    print(f"{time.process_time() - started:.0f} s of processor time", file=sys.stderr)
    if options.write:
        before, rest = options.write.read_text(encoding="utf-8").split(BEGIN)
        after = rest.split(END)[1]
        options.write.write_text(f"{before}{BEGIN}\n\n" + "\n".join(lines) + f"\n\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
