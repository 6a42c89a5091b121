"""`truing demo`: the whole loop on the embedded model, with the starter comparisons."""

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from truing.cli.compare import print_comparison
from truing.cli.gate import print_gate
from truing.cli.progress import counted, duration
from truing.cli.run import Benchmarks, DryRun, Json, Set, as_plain, execute, peak_memory_mb, prepare, print_plan
from truing.cli.train import relative
from truing.core.config import apply_overrides, read_toml

if TYPE_CHECKING:
    from truing.ledger.ledger import Ledger
    from truing.loops.events import StepDone

QUICK = ["comparisons.limit=420", "comparisons.probe_limit=96"]


def demo(
    context: typer.Context,
    quick: Annotated[
        bool, typer.Option("--quick", help="A smaller honest run: fewer rows and probes, wider intervals.")
    ] = False,
    benchmarks: Benchmarks = None,
    changes: Set = None,
    as_json: Json = False,
    dry_run: DryRun = False,
) -> None:
    """Align the embedded 135M chat model with the starter comparisons, measure the change, and show where it came from.

    Example: truing demo --quick
    """
    from truing.starter import DEMO

    values = apply_overrides(read_toml(DEMO), [*(QUICK if quick else []), *(changes or [])])
    recipe, prepared = prepare(values, "demo", context.obj.ledger, benchmarks)
    if dry_run:
        print_plan(recipe, as_json)
        return
    console = Console(stderr=as_json)
    started = time.monotonic()
    finished = execute(recipe, prepared, console, quiet=as_json)
    if as_json:
        typer.echo(json.dumps({**as_plain(finished), "seconds": round(time.monotonic() - started, 1)}))
        return
    _summary(finished, prepared.ledger, console, "truing demo --quick" if quick else "truing demo")
    took = duration(time.monotonic() - started)
    console.print(f"took {took}, and {peak_memory_mb():,} MB of memory at most", highlight=False)


def _summary(finished: "dict[str, StepDone]", ledger: "Ledger", console: Console, command: str) -> None:
    """What came out, and what to try next. `command` is this run: changed, it reuses the most."""
    from truing.evals.artifact import read_items
    from truing.loops.verbs.gating import read_gate
    from truing.loops.verbs.reporting import EXAMPLE_TASKS
    from truing.report.page import pick_examples

    folders = {name: ledger.folder(done.artifact) for name, done in finished.items()}
    results, verdict = read_gate(folders["gate"])
    _print_data(folders["comparisons"], console)
    print_comparison(results, console)
    print_gate(verdict, console)
    examples = pick_examples(read_items(folders["base"]), read_items(folders["candidate"]), EXAMPLE_TASKS[:3], 1)
    for example in examples:
        table = Table.grid(padding=(0, 2), expand=True)
        table.add_column(ratio=1)
        table.add_column(ratio=1)
        table.add_row("[dim]base[/]", "[dim]candidate[/]")
        table.add_row(Text(example.before), Text(example.after))  # a bracket in an answer is no markup
        console.print(Panel(table, title=Text(example.prompt), title_align="left"))
    console.print(f"report: {relative(folders['report'] / 'report.html')}", highlight=False, soft_wrap=True)
    console.print("next:")
    for words, what in (
        ("truing chat dpo", "talk to base and candidate side by side"),
        ("truing trace candidate --rows", "see every row behind the result"),
        (f"{command} --set dpo.beta=0.3", "change one assumption; only what depends on it runs again"),
    ):
        console.print(f"  {words:<38} {what}", highlight=False)


def _print_data(folder: Path, console: Console) -> None:
    """The held-out check, as measured."""
    from truing.data.overlap import Overlap
    from truing.data.statistics import DataStatistics

    statistics = DataStatistics.model_validate_json((folder / "statistics.json").read_text("utf-8"))
    overlap = Overlap.model_validate_json((folder / "overlap.json").read_text("utf-8"))
    console.print(
        f"{overlap.probes} probes against {overlap.training} training prompts: "
        f"{counted(len(overlap.shared_topics), 'shared topic')}, "
        f"{counted(len(overlap.shared_frames), 'shared sentence frame')}; "
        f"nearest pair: trigram overlap {overlap.trigram.similarity:.2f}, "
        f"embedding cosine {overlap.cosine.similarity:.2f}. "
        f"Chosen answers are longer in {statistics.chosen_longer:.0%} of rows.",
        highlight=False,
    )
