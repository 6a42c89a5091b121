"""`truing eval`: measure a system on the probes, with every rate's interval."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from truing.cli.compare import interval, number
from truing.cli.run import Benchmarks, Json, Set, as_plain, execute, prepare
from truing.core.config import apply_overrides


def evaluate(
    context: typer.Context,
    adapter: Annotated[
        str | None, typer.Argument(help="An adapter in the ledger (name or id); none: the bare model.")
    ] = None,
    model: Annotated[str, typer.Option(help="smollm2-135m, hf:OWNER/NAME, a folder, or a GGUF file.")] = "smollm2-135m",
    probes: Annotated[str, typer.Option(help="A JSON Lines file of probes, or `starter`.")] = "starter",
    benchmarks: Benchmarks = None,
    changes: Set = None,
    as_json: Json = False,
) -> None:
    """Measure a model, or one of its adapters, on held-out probes.

    Example: truing eval dpo --set eval.max_new_tokens=64
    """
    values: dict[str, Any] = {
        "name": "eval",
        "model": {"name": model},
        "probes": {"verb": "dataset", "source": "starter", "probes": probes},
        "eval": {"verb": "evaluate", "data": "probes", **({} if adapter is None else {"adapter": f"ledger:{adapter}"})},
    }
    recipe, prepared = prepare(apply_overrides(values, changes or []), "eval", context.obj.ledger, benchmarks)
    finished = execute(recipe, prepared, Console(stderr=as_json), quiet=as_json)
    if as_json:
        typer.echo(json.dumps(as_plain(finished)))
        return
    _print(prepared.ledger.folder(finished["eval"].artifact))


def _print(folder: Path) -> None:
    from truing.evals.compare import side
    from truing.evals.run import METRICS
    from truing.loops.verbs.evaluation import read_items

    items = read_items(folder)
    table = Table("metric", "mean", "95% interval", "n", "unknown", "cut", box=SIMPLE_HEAD, pad_edge=False)
    for metric in METRICS:
        mine = [item for item in items if item.task == metric.task]
        if mine:
            result = side(mine, metric)
            counts = (str(len(mine)), str(result.unknown), str(result.cut))
            table.add_row(metric.title, number(result.mean, metric.unit), interval(result, metric.unit), *counts)
    Console().print(table)
