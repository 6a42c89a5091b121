"""`truing compare … --over-seeds`: training methods by several measures, as one table, and against a baseline."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from truing.cli.compare import STYLE, bounds, number
from truing.cli.progress import counted

if TYPE_CHECKING:
    from truing.evals.methods import Claim, MethodResult


def print_methods(
    results: "Sequence[MethodResult]",
    console: Console,
    baseline: str,
    claim: "Claim" = "methods",
    called: str = "method",
) -> None:
    """Means with 95% intervals below them, methods (or what they are `called`) down and measures across, as many side
    by side as fit; then every difference from the baseline with its interval and, where one side is better, the
    verdict."""
    for group in _fitting(results, console.width, called):
        console.print(_means(group, called))
    console.print(_against(results, baseline, called))
    print_claim(results[0].seeds, sum(one.p is not None for one in results), claim, console)
    unknown = [f"{one.title} ({one.items - one.n} of {one.method})" for one in results if one.n < one.items]
    if unknown:
        console.print(f"unknown with some seed: {', '.join(unknown)}", highlight=False, markup=False, soft_wrap=True)


def print_claim(seeds: Sequence[int], tests: int, claim: "Claim", console: Console) -> None:
    """Of what the verdicts speak, and for how many of them they are corrected."""
    from truing.evals.methods import LEAST_SEEDS

    seeds = list(dict.fromkeys(seeds))
    drawn = "seeds and items drawn by chance" if len(seeds) > 1 else "with one seed, nothing is known about a method"
    if claim == "runs":
        drawn = "items drawn by chance, and no seeds"
    told = [f"{counted(len(seeds), 'seed')} ({', '.join(map(str, seeds))}); 95% intervals, {drawn}"]
    if claim == "runs":
        told.append("these figures speak of these runs only, and not of the choice:")
        told.append(f"another seed trains another model; a claim needs {LEAST_SEEDS} seeds (--seeds 0,1,2)")
    elif len(seeds) < LEAST_SEEDS:
        told.append(f"a claim about methods needs {LEAST_SEEDS} seeds or more: there is none here")
    if tests > 1:
        told.append(f"better and worse are corrected for all {tests} verdicts of the table (Holm)")
    for line in told:
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def _fitting(results: "Sequence[MethodResult]", width: int, called: str) -> "list[list[list[MethodResult]]]":
    """The measures, each its results, cut into tables no wider than the console; one that is wider stands alone."""
    measures: dict[str, list[MethodResult]] = {}
    for result in results:
        measures.setdefault(result.measure, []).append(result)
    names = max(len(called), *(len(result.method) for result in results))
    groups: list[list[list[MethodResult]]] = []
    left = 0
    for measure in measures.values():
        needed = 2 + max(len(line) for one in measure for line in (*one.title.split(), *_cell(one).split("\n")))
        if not groups or needed > left:
            groups.append([])
            left = width - names - 2
        groups[-1].append(measure)
        left -= needed
    return groups


def _means(measures: "Sequence[Sequence[MethodResult]]", called: str) -> Table:
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column(called, no_wrap=True)
    for measure in measures:
        longest = max(len(line) for one in measure for line in (*one.title.split(), *_cell(one).split("\n")))
        table.add_column(Text(measure[0].title), justify="right", width=longest)
    for place, first in enumerate(measures[0]):
        table.add_row(Text(first.method), *(Text(_cell(measure[place])) for measure in measures))
    return table


def _cell(result: "MethodResult") -> str:
    return f"{number(result.mean, result.unit)}\n{bounds(result.low, result.high, result.unit)}"


def _against(results: "Sequence[MethodResult]", baseline: str, called: str) -> Table:
    """Every difference from the baseline with its interval, below the measure's name."""
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    for name in (called, f"difference from {baseline}", "verdict"):
        table.add_column(Text(name))
    before = ""
    for result in results:
        if result.method == baseline:
            continue
        if result.title != before:
            table.add_row(Text(result.title, "bold"))
            before = result.title
        interval = bounds(result.difference_low, result.difference_high, result.unit, True)
        difference = f"{number(result.difference, result.unit, True)} {interval}".strip()
        verdict = Text(result.verdict, STYLE[result.verdict]) if result.verdict else Text("")
        table.add_row(Text(f"  {result.method}"), Text(difference), verdict)
    return table
