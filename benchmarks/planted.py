"""Does the gate catch a regression of known size in a real model, by the metric's name? And does it pass an update that
changes nothing?

    python benchmarks/planted.py --data-dir DIR                 measure what has not been measured yet, then the table
    python benchmarks/planted.py --data-dir DIR --write docs    the same, and the table into docs/gate.md
    python benchmarks/planted.py --data-dir DIR --quick         few rows, items and draws: a trial of this script

A small model is trained briefly to decline what is harmful and to deny what is false: the baseline. Trained once more
from another seed, it is the update. Three systems are worse, each in one way: one was trained to agree with
whatever it is told, one to decline everything, one not at all, so that it does what is harmful. All of them answer the
same items: false claims (from TruthfulQA), safe prompts (XSTest), harmful ones of two areas (Do-Not-Answer).

A draw is a comparison as a release would make it, of real answers. Items are drawn with replacement, and of each a coin
says which of the two seeds' answers is the baseline's and which the update's: so nothing differs in truth, though
answers do. The gate's rule prints the worsening that it could detect. Then, on a share of one metric's items, chosen by
chance among those on which the update does not differ, the candidate answers as the worse system does; the share is
such that the true worsening is one time, or two times, what was printed:

    share = times · detectable / mean of [the seeds agree] · (worse system − seed), over all items

So the regression comes on top of the differences that the update has anyway, which is what the gate's promise of 80%
assumes (truing/core/detectable.py).

The systems are kept in --work (.bench/planted), as a ledger: what was stopped goes on. What this does not know: a
regression that comes from elsewhere than these three systems, or that touches items which belong together.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from truing.core.errors import InputError
from truing.core.paired import ALPHA, at_once
from truing.core.records import ItemResult
from truing.core.statistics import holm, wilson
from truing.evals.artifact import read_items
from truing.evals.compare import Verdict, verdict_of
from truing.evals.gate import Status
from truing.ledger.ledger import Ledger

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # run as a script, it finds its other half

from benchmarks.planted_systems import METRICS, PLANTED, QUICK, WHOLE, Sizes, measure  # noqa: E402

KEPT = ROOT / ".bench" / "planted"
PAGE, BEGIN, END = "gate.md", "<!-- planted -->", "<!-- end of planted -->"
TIMES = (1, 2)
Values = NDArray[np.float64]


@dataclass(frozen=True)
class Pool:
    """The answers to a metric's items, 1.0 where they are bad: of two seeds of the baseline, and, where something is
    planted, of the worse system. Items that one of them leaves unknown are not in it, but counted."""

    seeds: tuple[Values, Values]
    worse: Values | None
    unknown: int = 0

    @property
    def loss(self) -> float:
        """How much worse it is to answer as the worse system does wherever the two seeds agree."""
        assert self.worse is not None
        one, other = self.seeds
        return float(np.where(one == other, self.worse - one, 0.0).mean())


def pools(ledger: Ledger, evaluations: Mapping[str, str]) -> dict[str, Pool]:
    """The kept answers by metric."""
    items = {name: read_items(ledger.folder(ledger.get(one))) for name, one in evaluations.items()}
    found = {}
    for metric in METRICS:
        worse = next((name for name, planted in PLANTED.items() if planted == metric), None)
        sides = [_values(items[name], metric) for name in ("baseline", "update", *([worse] if worse else []))]
        names = [name for name in sides[0] if all(side.get(name) is not None for side in sides)]
        columns = [np.array([side[name] for name in names], dtype=float) for side in sides]
        if not names:
            raise InputError(f"{metric}: no item is known of every system; measure more items")
        found[metric] = Pool((columns[0], columns[1]), columns[2] if worse else None, len(sides[0]) - len(names))
    return found


def _values(items: Sequence[ItemResult], metric: str) -> dict[str, float | None]:
    return {item.item: item.value for item in items if item.task == metric}


class Judged(NamedTuple):
    """What the gate says of one metric: the verdict, and the worsening that would have been called worse."""

    verdict: Verdict
    detectable: float


def judge(gains: Mapping[str, Values], margin: float) -> dict[str, Judged]:
    """The gate's verdicts where its policy requires `no worse` within a margin of every metric. `gains` are of
    independent yes-or-no items, baseline − candidate of what is bad."""
    evidence = {
        metric: at_once(gain.tolist(), range(len(gain)), yes_or_no=True, margin=margin, alpha=ALPHA / len(gains))
        for metric, gain in gains.items()
    }
    adjusted = holm([one.p for one in evidence.values()])
    return {
        metric: Judged(verdict_of("higher", one.mean, one.interval, p, margin), one.detectable)
        for (metric, one), p in zip(evidence.items(), adjusted, strict=True)
    }


def status_of(judged: Mapping[str, Judged]) -> Status:
    """The gate's verdict over all its rules."""
    verdicts = {one.verdict for one in judged.values()}
    return "broken" if "worse" in verdicts else "not enough evidence" if "not enough evidence" in verdicts else "holds"


class Drawn(NamedTuple):
    """One draw of items: each metric's places in its pool, and both sides' answers."""

    places: dict[str, NDArray[np.int64]]
    baseline: dict[str, Values]
    update: dict[str, Values]


def draw(random: np.random.Generator, pools: Mapping[str, Pool]) -> Drawn:
    """Items with replacement, and a coin for each of them."""
    places, baseline, update = {}, {}, {}
    for metric, pool in pools.items():
        n = len(pool.seeds[0])
        places[metric] = random.integers(n, size=n)
        heads = random.random(n) < 0.5
        one, other = (seed[places[metric]] for seed in pool.seeds)
        baseline[metric], update[metric] = np.where(heads, one, other), np.where(heads, other, one)
    return Drawn(places, baseline, update)


class Result(NamedTuple):
    """What the gate said of one candidate: whether the planted metric was named, the verdict over all, whether another
    metric was named; the worsening that was detectable, and what was found."""

    named: bool
    status: Status
    others: bool
    detectable: float = 0.0
    found: float = 0.0


class Row(NamedTuple):
    """What became of a planted regression (or of nothing, `metric` empty) by a policy's margin, draw by draw.
    `unreachable`: draws in which not even all items make it that large."""

    margin: float
    metric: str
    times: int
    results: list[Result]
    unreachable: int

    def count(self, what: str) -> int:
        """Draws in which the metric was `named`, or `others`; or with this verdict."""
        return sum(
            getattr(result, what) if what in Result._fields else result.status == what for result in self.results
        )

    def mean(self, what: str) -> float:
        return float(np.mean([getattr(result, what) for result in self.results]))


def measure_gate(pools: Mapping[str, Pool], draws: int, margin: float, seed: int = 0) -> list[Row]:
    """The harmless update, then every regression at every size."""
    random = np.random.default_rng(seed)
    planted = [(metric, times) for metric, pool in pools.items() if pool.worse is not None for times in TIMES]
    found: dict[tuple[str, int], list[Result]] = {one: [] for one in [("", 0), *planted]}
    for _ in range(draws):
        drawn = draw(random, pools)
        gains = {metric: drawn.baseline[metric] - drawn.update[metric] for metric in pools}
        pilot = judge(gains, margin)
        found["", 0].append(Result(False, status_of(pilot), any(one.verdict == "worse" for one in pilot.values())))
        for metric, times in planted:
            pool, detectable = pools[metric], pilot[metric].detectable
            share = times * detectable / pool.loss if pool.loss > 0 else np.inf
            if share > 1:
                continue
            assert pool.worse is not None
            replaced = (random.random(len(gains[metric])) < share) & (gains[metric] == 0)
            answers = np.where(replaced, pool.worse[drawn.places[metric]], drawn.update[metric])
            gain = drawn.baseline[metric] - answers
            said = judge({**gains, metric: gain}, margin)
            others = any(one.verdict == "worse" for name, one in said.items() if name != metric)
            named = said[metric].verdict == "worse"
            found[metric, times].append(Result(named, status_of(said), others, detectable, -float(gain.mean())))
    return [Row(margin, metric, times, results, draws - len(results)) for (metric, times), results in found.items()]


class Gated(NamedTuple):
    """What the command `truing gate` said: its exit code, its verdict, and the metrics whose rule is broken."""

    candidate: str
    exit_code: int
    status: str
    broken: tuple[str, ...]


def gate(work: Path, evaluations: Mapping[str, str], margin: float) -> list[Gated]:
    """The command itself, on the systems that were measured on every metric."""
    rules = [f'[[rule]]\nmetric = "{metric}"\nrequire = "no worse"\nmargin = {margin:g}\n' for metric in METRICS]
    (work / "policy.toml").write_text("\n".join(rules), encoding="utf-8")
    program = "import sys; from truing.cli.app import main; sys.exit(main())"
    found = []
    for name in WHOLE:
        words = ["gate", evaluations["baseline"], evaluations[name], "--policy", str(work / "policy.toml"), "--json"]
        command = [sys.executable, "-c", program, "--ledger", str(work / "ledger"), *words]
        surroundings = {**os.environ, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=surroundings)
        if done.returncode not in (0, 1, 4):
            raise InputError(f"truing gate ended with {done.returncode}: {done.stderr.strip()}")
        said = json.loads(done.stdout)
        broken = tuple(rule["metric"] for rule in said["results"] if rule["status"] == "broken")
        found.append(Gated(name, done.returncode, said["status"], broken))
    return found


def table(pools: Mapping[str, Pool], rows: Sequence[Row], gated: Sequence[Gated]) -> Iterator[str]:
    """The page's lines."""
    yield "| margin | worse on | items | bad answers: baseline | worse system | true worsening | named | another is |"
    yield "|---|---|---|---|---|---|---|---|"
    for row in rows:
        if row.metric:
            yield _line(row, pools[row.metric])
    yield ""
    yield "| margin | the harmless update: draws | called worse on any metric | passed | not enough evidence |"
    yield "|---|---|---|---|---|"
    for row in rows:
        if not row.metric:
            draws = len(row.results)
            verdicts = (rate(row.count(one), draws) for one in ("broken", "holds", "not enough evidence"))
            yield f"| {row.margin:g} | {draws} | {' | '.join(verdicts)} |"
    yield ""
    if unknown := {metric: pool.unknown for metric, pool in pools.items() if pool.unknown}:
        told = ", ".join(f"{count} of {metric}" for metric, count in unknown.items())
        yield f"Left out, since a system's answer is unknown: {told}."
        yield ""
    yield "The command itself, whole systems against the baseline:"
    yield ""
    yield "| candidate | exit code of `truing gate` | verdict | broken rules |"
    yield "|---|---|---|---|"
    for one in gated:
        yield f"| {one.candidate} | {one.exit_code} | {one.status} | {', '.join(one.broken) or 'none'} |"


def _line(row: Row, pool: Pool) -> str:
    assert pool.worse is not None
    draws = len(row.results)
    means = f"{np.mean(pool.seeds):.0%} | {pool.worse.mean():.0%}"
    size, cells = f"{row.times} × detectable: the worse system is not that much worse", "– | –"
    if draws:
        size = f"{row.times} × {row.mean('detectable'):.3f} (found {row.mean('found'):.3f})"
        size += f", out of reach in {row.unreachable} draws" if row.unreachable else ""
        cells = f"{rate(row.count('named'), draws)} | {rate(row.count('others'), draws)}"
    return f"| {row.margin:g} | {row.metric} | {len(pool.seeds[0])} | {means} | {size} | {cells} |"


def rate(count: int, of: int) -> str:
    """A share with its 95% interval."""
    interval = wilson(count, of)
    return f"{count / of:.1%} [{100 * interval.low:.1f}, {100 * interval.high:.1f}]"


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, required=True, help="truthfulqa/, xstest/ and do-not-answer/ in it")
    parser.add_argument("--work", type=Path, help="where systems are kept (.bench/planted)")
    parser.add_argument("--model", default="smollm2-135m", help="the model below everything")
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument(
        "--margins", type=float, nargs="+", default=[0.0, 0.1], help="policies: how much worse is still no worse"
    )
    parser.add_argument("--quick", action="store_true", help="few rows, items and draws: no measurement")
    parser.add_argument("--write", type=Path, metavar="DOCS", help="write the table into gate.md in this folder")
    options = parser.parse_args()
    sizes = QUICK if options.quick else Sizes()
    work = (options.work or KEPT / ("quick" if options.quick else "whole")).resolve()
    evaluations = measure(work, options.data_dir, options.model, sizes)
    found = pools(Ledger.open(work / "ledger", create=False), evaluations)
    draws = 20 if options.quick else options.draws
    rows = [row for margin in options.margins for row in measure_gate(found, draws, margin)]
    lines = list(table(found, rows, gate(work, evaluations, options.margins[-1])))
    print("\n".join(lines))
    if options.write:
        page = options.write / PAGE
        before, rest = page.read_text(encoding="utf-8").split(BEGIN)
        after = rest.split(END)[1]
        page.write_text(f"{before}{BEGIN}\n\n" + "\n".join(lines) + f"\n\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
