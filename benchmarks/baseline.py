"""The embedded model, bare and with the demo's adapter, on every task whose files are at hand.

    truing demo
    python benchmarks/baseline.py --data-dir DIR                 measure what has not been measured yet, then the table
    python benchmarks/baseline.py --data-dir DIR --write docs    the same, and the table into docs/evaluation.md

A step for each task and system in the demo's ledger, so that what was stopped goes on. Both answer the same rows:
`--limit` of each set, evenly spaced. `perplexity` reads texts of one's own and is left out.
"""

import argparse
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from truing.cli.compare import bounds, number
from truing.evals.artifact import TaskReport, read_reports
from truing.evals.metric import Figure
from truing.evals.task import folder_of, missing_files
from truing.evals.tasks.table import TASKS
from truing.ledger.ledger import Ledger
from truing.loops.api import run_recipe
from truing.loops.events import StepDone

PAGE, BEGIN, END = "evaluation.md", "<!-- baseline -->", "<!-- end of baseline -->"
SYSTEMS = ("bare", "adapter")
OWN_TEXTS = "perplexity"


def here(data: Path) -> tuple[list[str], list[str]]:
    """The tasks whose files are there, and those whose are not."""
    found: tuple[list[str], list[str]] = ([], [])
    for name, task in TASKS.items():
        if name != OWN_TEXTS:
            folder = folder_of(task, data)
            found[folder is None or bool(missing_files(task, folder))].append(name)
    return found


def recipe(tasks: list[str], adapter: str, limit: int) -> dict[str, Any]:
    """A step TASK_SYSTEM for each task of both systems."""
    values: dict[str, Any] = {"name": "baseline", "seed": 0}
    for task in tasks:
        for system in SYSTEMS:
            measured = {"adapter": f"ledger:{adapter}"} if system == "adapter" else {}
            values[f"{task}_{system}"] = {"verb": "benchmark", "tasks": [task], "limit": limit, **measured}
    return values


def table(reports: Mapping[tuple[str, str], TaskReport], missing: list[str]) -> Iterator[str]:
    """The page's lines: a row for each figure."""
    yield "| task | rows | figure | bare | demo's adapter |"
    yield "|---|---|---|---|---|"
    for task in dict.fromkeys(task for task, _ in reports):
        bare, adapted = (reports[task, system] for system in SYSTEMS)
        rows = f"{bare.measured} of {bare.rows}" if bare.measured < bare.rows else str(bare.rows)
        others = {figure.name: figure for figure in adapted.figures}
        for place, figure in enumerate(bare.figures):
            what = f"`{task}` | {rows}" if place == 0 else " | "
            yield f"| {what} | {figure.title} | {cell(figure)} | {cell(others[figure.name])} |"
    yield ""
    judges = dict.fromkeys(report.judge for report in reports.values() if report.judge)
    yield f"Judges: {', '.join(judges)}. Not measured, since their files were not at hand: {', '.join(missing)}."


def cell(figure: Figure) -> str:
    """A figure with its interval, and of how many items it does not know; or that nothing is known."""
    if figure.value is None:
        return "unknown"
    signed = figure.unit == "score"
    shown = number(figure.value, figure.unit, signed)
    if figure.low is not None and figure.high is not None:
        shown += f" {bounds(figure.low, figure.high, figure.unit, signed)}"
    return f"{shown}, {figure.unknown} unknown" if figure.unknown else shown


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, required=True, help="public sets, a folder each")
    parser.add_argument("--ledger", type=Path, default=Path(".truing"), help="where the demo ran (.truing)")
    parser.add_argument("--adapter", default="dpo", help="the adapter beside the bare model (dpo)")
    parser.add_argument("--limit", type=int, default=300, help="rows of each set (300)")
    parser.add_argument("--write", type=Path, metavar="DOCS", help="write the table into evaluation.md in this folder")
    options = parser.parse_args()
    tasks, missing = here(options.data_dir)
    ledger = Ledger.open(options.ledger, create=False)
    reports = {}
    for record in run_recipe(
        recipe(tasks, options.adapter, options.limit), options.ledger, benchmarks=options.data_dir
    ):
        if isinstance(record, StepDone):
            task, _, system = record.step.rpartition("_")
            how = "reused" if record.reused else f"{record.seconds:.0f} s"
            print(f"{record.step}: {how}", file=sys.stderr, flush=True)
            (reports[task, system],) = read_reports(ledger.folder(record.artifact))
    lines = list(table(reports, missing))
    print("\n".join(lines))
    if options.write:
        page = options.write / PAGE
        before, rest = page.read_text(encoding="utf-8").split(BEGIN)
        after = rest.split(END)[1]
        page.write_text(f"{before}{BEGIN}\n\n" + "\n".join(lines) + f"\n\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
