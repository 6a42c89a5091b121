"""`truing latency`: how fast a system answers, on this machine and now."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from truing.cli.deployed import Remote, asked_how
from truing.cli.evaluate import system_of
from truing.cli.progress import counted
from truing.cli.run import Json, as_plain, execute, prepare

if TYPE_CHECKING:
    from truing.evals.latency import Quantile


def latency(
    context: typer.Context,
    prompts: Annotated[Path, typer.Option(help="A file of prompts, probes or comparisons.")],
    system: Annotated[
        str | None,
        typer.Argument(metavar="MODEL", help="A model, local or deployed, or an adapter in the ledger, as for eval."),
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="The model below an adapter (default: smollm2-135m).", show_default=False)
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="So many prompts, evenly spaced.")] = None,
    max_new_tokens: Annotated[int, typer.Option(min=2, help="The longest answer.")] = 40,
    remote: Remote = None,
    as_json: Json = False,
) -> None:
    """Time a system's answers, one prompt at a time: seconds to the first token, tokens a second, p50 and p95 with
    intervals over prompts. Kept with its time and machine, and never reused.

    Example: truing latency smollm2-135m --prompts probes.jsonl --limit 20
    """
    from truing.loops.verbs.latency import read_latency

    base, adapter = system_of(system, model)
    step: dict[str, Any] = {"verb": "latency", "prompts": str(prompts), "max_new_tokens": max_new_tokens}
    step |= {} if adapter is None else {"adapter": f"ledger:{adapter}"}
    step |= {} if limit is None else {"limit": limit}
    values = {"name": "latency", "model": {"name": base}, "latency": step}
    recipe, prepared = prepare(values, "latency", context.obj.ledger, None, asked_how(base, remote, None, False))
    finished = execute(recipe, prepared, Console(stderr=as_json), quiet=as_json)
    found = read_latency(prepared.ledger.folder(finished["latency"].artifact))
    if as_json:
        typer.echo(json.dumps({**as_plain(finished), **found.model_dump(mode="json")}))
        return
    table = Table("", "p50", "95% interval", "p95", "95% interval", box=SIMPLE_HEAD, pad_edge=False)
    for title, quantiles, decimals in (
        ("first token, seconds", found.first_token_seconds, 3),
        ("tokens a second", found.tokens_per_second, 1),
        ("whole answer, seconds", found.answer_seconds, 3),
    ):
        table.add_row(title, *(cell for name in ("p50", "p95") for cell in _cells(quantiles[name], decimals)))
    Console().print(table)
    where = found.machine
    threads = "" if where.threads is None else f", {counted(where.threads, 'thread')}"
    lines = [
        f"{found.model}: {counted(found.prompts, 'prompt')}, one at a time, at most {found.max_new_tokens} tokens; "
        f"{found.unknown} unknown, {found.no_pace} without a pace",
        f"from {found.began:%Y-%m-%d %H:%M:%S} to {found.ended:%H:%M:%S} UTC, {where.device} of {where.system}, "
        f"{counted(where.cores, 'core')}{threads}: an observation of that time and machine",
    ]
    for line in lines:
        typer.echo(line)


def _cells(one: "Quantile", decimals: int) -> tuple[str, str]:
    """A value and its interval; a bound that too few prompts give is shown as a question mark."""
    if one.value is None:
        return "unknown", ""
    low, high = ("?" if bound is None else f"{bound:.{decimals}f}" for bound in (one.low, one.high))
    return f"{one.value:.{decimals}f}", f"[{low}, {high}]"
