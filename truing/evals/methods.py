"""Training methods over several seeds: what each one reaches, and how it stands against a baseline method.

A run is one method with one seed, measured on the same items as all others. Seeds and items are both drawn by chance
(`core.statistics.over_seeds`), and a method is held against the baseline run by run and item by item: same seed,
same item. An item that is unknown in one of the runs compared is left out of the comparison, and counted.

What it does not know: whether other data, other settings, or another gold reward would order the methods so. A claim
needs at least `LEAST_SEEDS` seeds; with fewer, every verdict is "not enough evidence". Of fewer, too, it may be asked
whether these very runs differ (`claim` is "runs"): then items alone are drawn by chance.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from truing.core.errors import InputError
from truing.core.paired import at_once
from truing.core.records import ItemResult, Record
from truing.core.statistics import Interval, holm, over_seeds, tango, wilson
from truing.evals.compare import Verdict, by_task, check_same_items, verdict_of
from truing.evals.metric import Metric, mean_interval, wider
from truing.evals.run import METRICS
from truing.evals.tasks import duel

LEAST_SEEDS = 3
Better = Literal["higher", "lower", "neither"]
Unit = Literal["share", "nats", "score", "tokens", "s", "MB"]
Claim = Literal["methods", "runs"]


class MethodRun(Record):
    """One method with one seed: its measured items, the metrics among them that truing does not know by itself (a
    suite's), and what its training took. `seconds` and `peak_mb` are those of its own step, `seconds_in_all` those of
    all training that it stands on as well; None where that is not known."""

    method: str
    seed: int
    items: tuple[ItemResult, ...]
    metrics: tuple[Metric, ...] = ()
    seconds: float | None = None
    seconds_in_all: float | None = None
    peak_mb: float | None = None


@dataclass(frozen=True)
class Measure:
    """A number of each item of a task, or, without a task, of each run. `better` is neither where more of it is no
    merit in itself: then nothing is claimed, and no test is counted."""

    name: str
    title: str
    of: Callable[[Any], float | None]
    task: str | None = None
    unit: Unit = "share"
    better: Better = "neither"


def _ended(item: ItemResult) -> float | None:
    return None if item.finished is None else float(item.finished)


def claim_of(seeds: Iterable[int]) -> Claim:
    """Of what runs with these seeds may speak."""
    return "methods" if len(set(seeds)) >= LEAST_SEEDS else "runs"


def measures_of_items(metrics: Sequence[Metric]) -> tuple[Measure, ...]:
    """These metrics, and what else is known of drawn answers."""
    return (*map(_mean_of, metrics), *_OF_DRAWN)


def _mean_of(metric: Metric) -> Measure:
    return Measure(metric.task, metric.title, lambda item: item.value, metric.task, metric.unit, metric.better)


_OF_DRAWN = (
    Measure("kl", "KL from the bare model, nats", lambda item: item.detail.get("kl"), duel.TASK, "nats"),
    Measure("length", "length, tokens", lambda item: item.detail.get("tokens"), duel.TASK, "tokens"),
    Measure("ended", "answers that end", _ended, duel.TASK),
)
MEASURES = (
    *measures_of_items(METRICS),
    Measure("seconds", "training, s", lambda run: run.seconds, unit="s"),
    Measure("seconds_in_all", "with all training before it, s", lambda run: run.seconds_in_all, unit="s"),
    Measure("peak_mb", "most memory, MB", lambda run: run.peak_mb, unit="MB"),
)


class MethodResult(Record):
    """One method by one measure. `by_seed` are its means in the order of `seeds`, `mean` that of all with its 95%
    interval, over the `n` of `items` items that are known with every seed (both 0 where a run has one number).

    `difference` is method − baseline over the items known on both sides with every seed; None for the baseline itself.
    `seed_error` and `item_error` are its standard errors from either.
    `adjusted_p` is Holm's over all verdicts of the table. Where no side is better, there is no p and no verdict.
    """

    method: str
    measure: str
    title: str
    better: Better
    unit: Unit
    seeds: tuple[int, ...]
    by_seed: tuple[float | None, ...]
    items: int
    n: int
    mean: float | None
    low: float
    high: float
    difference: float | None = None
    difference_low: float = -math.inf
    difference_high: float = math.inf
    seed_error: float | None = None
    item_error: float | None = None
    p: float | None = None
    adjusted_p: float | None = None
    verdict: Verdict | None = None


def compare_methods(
    runs: Sequence[MethodRun], baseline: str, measures: Sequence[Measure] = MEASURES, claim: Claim = "methods"
) -> list[MethodResult]:
    """Every method by every measure that was taken, the runs' own metrics first; measure by measure, methods in the
    order in which they come.

    `claim`: whether intervals and verdicts speak of methods, whose seeds were drawn by chance as well as the items, or
    of these runs alone.

    Raises `InputError` where there is one method only, or no such baseline, where a method lacks a seed that another
    has, or where the items are not the same everywhere.
    """
    methods = _checked(runs, baseline)
    known = {measure.name for measure in measures}
    own = [
        metric for metric in {one.task: one for run in runs for one in run.metrics}.values() if metric.task not in known
    ]
    every = (*map(_mean_of, own), *measures)
    results = [result for measure in every for result in _measured(methods, baseline, measure, claim)]
    adjusted = iter(holm([result.p for result in results if result.p is not None]))
    return [result if result.p is None else _judged(result, next(adjusted), claim) for result in results]


def _checked(runs: Sequence[MethodRun], baseline: str) -> dict[str, list[MethodRun]]:
    """The runs by method, each method's in the order of their seeds."""
    methods: dict[str, dict[int, MethodRun]] = {}
    for run in runs:
        if run.seed in methods.setdefault(run.method, {}):
            raise InputError(f"{run.method}: there are two runs with seed {run.seed}; give one")
        methods[run.method][run.seed] = run
    if baseline not in methods:
        raise InputError(f"the baseline {baseline!r} is none of the methods: {', '.join(methods)}")
    if len(methods) < 2:
        raise InputError(f"{baseline} is the only method; name at least one more")
    seeds = {run.seed for run in runs}
    for method, of_method in methods.items():
        if missing := sorted(seeds - of_method.keys()):
            raise InputError(
                f"{method}: there is no run with seed {', '.join(map(str, missing))}, which other methods have; run "
                f"the recipe with --set seed={missing[0]}, or leave the method out"
            )
    first = by_task(runs[0].items)
    for run in runs[1:]:
        items = by_task(run.items)
        for task in {**first, **items}:
            try:
                check_same_items(task, first.get(task, {}), items.get(task, {}))
            except InputError as error:
                sides = f"{runs[0].method} with seed {runs[0].seed} and {run.method} with seed {run.seed}"
                raise InputError(f"{sides}: {error}") from None
    return {method: [of_method[seed] for seed in sorted(seeds)] for method, of_method in methods.items()}


def _measured(
    methods: Mapping[str, list[MethodRun]], baseline: str, measure: Measure, claim: Claim
) -> Iterator[MethodResult]:
    """Each method by one measure; nothing where its task was not measured."""
    clusters: list[str] | None = None
    if measure.task is not None:
        order = by_task(methods[baseline][0].items).get(measure.task, {})
        clusters = [item.cluster for item in order.values()]
        values = {method: [of_items(run, measure, list(order)) for run in runs] for method, runs in methods.items()}
    else:
        values = {method: [[measure.of(run)] for run in runs] for method, runs in methods.items()}
    if clusters == []:
        return
    for method, runs in methods.items():
        table, known = known_of(values[method], clusters)
        mean, interval = _mean(table, known, measure.unit, claim)
        result = MethodResult(
            method=method,
            measure=measure.name,
            title=measure.title,
            better=measure.better,
            unit=measure.unit,
            seeds=tuple(run.seed for run in runs),
            by_seed=tuple(sum(row) / len(row) if row else None for row in table),
            items=len(clusters or ()),
            n=len(known or ()),
            mean=mean,
            low=interval.low,
            high=interval.high,
        )
        if method == baseline:
            yield result
        else:
            yield result.model_copy(update=_difference(values[method], values[baseline], clusters, measure, claim))


def of_items(run: MethodRun, measure: Measure, order: Sequence[str]) -> list[float | None]:
    """The measure of each item, in a common order."""
    found = by_task([item for item in run.items if item.task == measure.task]).get(measure.task or "", {})
    return [measure.of(found[name]) for name in order]


Known = tuple[list[list[float]], list[str] | None]


def known_of(rows: Sequence[Sequence[float | None]], clusters: Sequence[str] | None) -> Known:
    """What is known in every row [items], and the clusters of that."""
    places = [place for place in range(len(rows[0])) if all(row[place] is not None for row in rows)]
    table = [[value for place in places if (value := row[place]) is not None] for row in rows]
    return table, None if clusters is None else [clusters[place] for place in places]


def _mean(
    table: list[list[float]], clusters: list[str] | None, unit: Unit, claim: Claim
) -> tuple[float | None, Interval]:
    """The mean over seeds and items with its interval; of a share at least Wilson's, as if seeds brought no items."""
    if not table[0]:
        return None, Interval(-math.inf, math.inf)
    if claim == "runs" and clusters is not None:
        means = _over_runs(table)
        return sum(means) / len(means), mean_interval(list(zip(means, clusters, strict=True)), unit)
    found = over_seeds(table, clusters)
    interval, n = Interval(found.low, found.high), len(table[0])
    if unit == "share":
        interval = wider(wilson(min(1.0, max(0.0, found.mean)) * n, n), interval, least=0.0)
    return found.mean, interval


class Evidence(NamedTuple):
    """A mean with its 95% interval, p-value, and standard errors from seeds and from items (where both are drawn)."""

    mean: float
    interval: Interval
    p: float
    seed_error: float | None = None
    item_error: float | None = None


def evidence(table: list[list[float]], clusters: list[str] | None, yes_or_no: bool, claim: Claim) -> Evidence:
    """What paired differences [seeds, items ≥ 1] say. `yes_or_no`: each is of two values that are 0 or 1; of such the
    interval is Tango's at least, as if seeds brought no items: where no item differs, it still has a width. Of runs
    alone, each item counts by its mean over them."""
    if claim == "runs" and clusters is not None:
        found = at_once(_over_runs(table), clusters, yes_or_no=yes_or_no and len(table) == 1)
        return Evidence(found.mean or 0.0, found.interval, found.p)
    drawn = over_seeds(table, clusters)
    interval = Interval(drawn.low, drawn.high)
    if yes_or_no:
        flat = [value for row in table for value in row]
        fewer, more = (sum(sign * value > 0 for value in flat) / len(table) for sign in (-1, 1))
        interval = wider(tango(fewer, more, len(table[0])), interval, least=-1.0)
    return Evidence(drawn.mean, interval, drawn.p, drawn.seed_error, drawn.item_error)


def _over_runs(table: list[list[float]]) -> list[float]:
    """Each item's mean over the runs."""
    return [sum(column) / len(column) for column in zip(*table, strict=True)]


def _difference(
    own: list[list[float | None]],
    theirs: list[list[float | None]],
    clusters: list[str] | None,
    measure: Measure,
    claim: Claim,
) -> dict[str, float | None]:
    """Method − baseline, paired."""
    p = None if measure.better == "neither" else 1.0
    both, known = known_of([*own, *theirs], clusters)
    if not both[0]:
        return {"p": p}
    pairs = list(zip(both[: len(own)], both[len(own) :], strict=True))
    table = [[a - b for a, b in zip(mine, other, strict=True)] for mine, other in pairs]
    found = evidence(table, known, are_yes_or_no(measure, both), claim)
    return {
        "difference": found.mean,
        "difference_low": found.interval.low,
        "difference_high": found.interval.high,
        "seed_error": found.seed_error,
        "item_error": found.item_error,
        "p": None if p is None else found.p,
    }


def are_yes_or_no(measure: Measure, rows: Sequence[Sequence[float]]) -> bool:
    """Whether a measure's items are a yes or a no."""
    return measure.unit == "share" and all(value in (0.0, 1.0) for row in rows for value in row)


def _judged(result: MethodResult, p: float, claim: Claim) -> MethodResult:
    """With Holm's p, and the verdict: of methods none from fewer seeds than such a claim needs."""
    verdict: Verdict = "not enough evidence"
    if result.better != "neither" and (claim == "runs" or len(result.seeds) >= LEAST_SEEDS):
        interval = Interval(result.difference_low, result.difference_high)
        verdict = verdict_of(result.better, result.difference, interval, p)
    return result.model_copy(update={"adjusted_p": p, "verdict": verdict})
