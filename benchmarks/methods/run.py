"""SFT, DPO, IPO, KTO, RLOO and PPO on the same comparisons, over seeds: recipe.toml, run and set into a table.

    python benchmarks/methods/run.py                  what has not been run yet, then the table (about an hour)
    python benchmarks/methods/run.py --small          few rows and rounds: a trial of this script, no measurement
    python benchmarks/methods/run.py --write docs     the table of what was run into docs/methods.md

Every training step runs in a process of its own, so that the memory it is said to take is its own. A run that was
stopped goes on. Only seconds and memory depend on what else the machine does meanwhile: leave it idle.
"""

import argparse
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from truing.cli.compare import bounds, number
from truing.cli.methods import print_methods
from truing.cli.run import execute, prepare
from truing.core.config import apply_overrides, read_toml
from truing.evals.methods import MethodResult, compare_methods
from truing.ledger.ledger import Ledger
from truing.loops.methods import method_runs

HERE = Path(__file__).resolve().parent
KEPT = HERE.parent.parent / ".bench" / "methods"
PAGE, BEGIN, END = "methods.md", "<!-- methods: begin -->\n", "<!-- methods: end -->\n"
METHODS, BASELINE = ("base", "sft", "dpo", "ipo", "kto", "rloo", "ppo"), "sft"
SHOWN = (
    ("win_rate", "wins against the bare model, by gold"),
    ("preference_accuracy", "prefers the better answer"),
    ("refusal", "refuses harmful requests"),
    ("over_refusal", "refuses their benign twins"),
    ("kl", "KL, nats an answer"),
    ("length", "tokens"),
    ("ended", "ended"),
    ("seconds", "s"),
    ("seconds_in_all", "s in all"),
    ("peak_mb", "MB"),
)
ADAPTED = ("gold", "sft", "proxy", "dpo", "ipo", "kto", "rloo", "ppo")
SMALL = (
    "comparisons.limit=24", "comparisons.probe_limit=8", "others.limit=24", "rloo.iterations=2", "ppo.iterations=2",
    *(f"{name}.rollout.{key}" for name in ("rloo", "ppo") for key in ("prompts=2", "samples=2", "max_new_tokens=12",
                                                                     "may_all_be_cut=true")),
    *(f"{name}.adapter={{rank=4, upper_layers=2}}" for name in ADAPTED),
    *(f"{name}.max_new_tokens=8" for name in ("base", *(f"{method}_measured" for method in METHODS[1:]))),
)  # fmt: skip


def recipe(seed: int, small: bool, until: str | None = None) -> dict[str, Any]:
    """The recipe's tables, up to a step."""
    values = apply_overrides(read_toml(HERE / "recipe.toml"), [*(SMALL if small else ()), f"seed={seed}"])
    names = [name for name, table in values.items() if isinstance(table, dict)]
    left_out = names[names.index(until) + 1 :] if until else []
    return {name: value for name, value in values.items() if name not in left_out}


def run(ledger: Path, seed: int, small: bool, until: str | None) -> None:
    """Run the steps up to one, in this process."""
    parsed, context = prepare(recipe(seed, small, until), "recipe.toml", ledger)
    execute(parsed, context, Console(), quiet=False)


def run_all(ledger: Path, seeds: Sequence[int], small: bool) -> None:
    """Every training step in a process of its own, then the rest of each seed in one."""
    started = time.monotonic()
    for seed in seeds:
        tables = {name: table for name, table in recipe(seed, small).items() if isinstance(table, dict)}
        trained = [name for name, table in tables.items() if table["verb"] not in ("dataset", "evaluate")]
        for until in (*trained, list(tables)[-1]):
            words = [sys.executable, __file__, "--ledger", str(ledger), "--seeds", str(seed), "--until", until]
            subprocess.run([*words, *(["--small"] if small else [])], check=True)
            print(
                f"seed {seed}, up to {until}: {(time.monotonic() - started) / 60:.1f} min since the start", flush=True
            )


def table(results: Sequence[MethodResult], ledger: Ledger) -> str:
    """What was measured, as Markdown: means, then differences from the baseline."""
    of = {(one.method, one.measure): one for one in results}
    shown = [(measure, title) for measure, title in SHOWN if (BASELINE, measure) in of]
    lines = [f"| method | {' | '.join(title for _, title in shown)} |", "|---" * (len(shown) + 1) + "|"]
    for method in METHODS:
        cells = (of[method, measure] for measure, _ in shown)
        lines.append(f"| {method} | {' | '.join(cell(one.mean, one.low, one.high, one.unit) for one in cells)} |")
    judged = [(measure, title) for measure, title in shown if of["dpo", measure].verdict is not None]
    lines += ["", f"| against {BASELINE} | {' | '.join(title for _, title in judged)} |"]
    lines.append("|---" * (len(judged) + 1) + "|")
    for method in METHODS:
        if method != BASELINE:
            lines.append(f"| {method} | {' | '.join(difference(of[method, measure]) for measure, _ in judged)} |")
    one = of[BASELINE, "win_rate"]
    lines += ["", f"{len(one.seeds)} seeds, {one.items} probes; 95% intervals. {rewards(ledger)}"]
    return "\n".join(lines) + "\n"


def cell(mean: float | None, low: float, high: float, unit: str, signed: bool = False) -> str:
    return f"{number(mean, unit, signed)} {bounds(low, high, unit, signed)}".strip()


def difference(one: MethodResult) -> str:
    return f"{cell(one.difference, one.difference_low, one.difference_high, one.unit, True)} {one.verdict}"


def rewards(ledger: Ledger) -> str:
    """How good the rewards are, on pairs that they did not learn from."""
    told = []
    for name in ("gold", "proxy"):
        metrics = next(one.metrics for one in ledger.list("reward") if one.name == name)
        accuracy, low, high, pairs = (metrics[key] for key in ("accuracy", "accuracy_low", "accuracy_high", "held_out"))
        if isinstance(accuracy, float) and isinstance(low, float) and isinstance(high, float):
            told.append(f"{name} {accuracy:.1%} [{100 * low:.1f},{100 * high:.1f}] of {pairs:.0f} pairs")
    return f"Held-out accuracy of the rewards (proxy: of the last seed): {', '.join(told)}."


def main() -> None:
    """Run, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--small", action="store_true", help="few rows and rounds: a trial of this script")
    parser.add_argument("--ledger", type=Path, help="where everything is kept (.bench/methods)")
    parser.add_argument("--write", type=Path, metavar="DOCS", help="write the table into methods.md in this folder")
    parser.add_argument("--until", help=argparse.SUPPRESS)  # a step: run up to it, here, for one seed
    options = parser.parse_args()
    folder = options.ledger or KEPT / ("small" if options.small else "ledger")
    if options.until is not None:
        run(folder, options.seeds[0], options.small, options.until)
        return
    if options.write is None:
        folder.parent.mkdir(parents=True, exist_ok=True)
        run_all(folder, options.seeds, options.small)
    ledger = Ledger.open(folder, create=False)
    runs, notices = method_runs(ledger, METHODS)
    results = compare_methods(runs, BASELINE)
    print_methods(results, Console(), BASELINE)
    print("\n".join(notices))
    text = table(results, ledger)
    if options.write is None:
        print(text)
        return
    page = options.write / PAGE
    before, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    page.write_text(before + BEGIN + text + END + rest.partition(END)[2], encoding="utf-8")


if __name__ == "__main__":
    main()
