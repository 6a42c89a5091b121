"""`truing judge pairwise A B`: which of two systems' answers is better, asked of a model in both orders."""

import json
from typing import Annotated, Any

import typer
from rich.console import Console

from truing.cli.compare import bounds, number
from truing.cli.deployed import Remote, Resume, Since, asked_how
from truing.cli.run import Json, as_plain, execute, prepare

_SIDE = "An evaluation of the ledger (name, id, or its first digits)."


def pairwise(
    context: typer.Context,
    a: Annotated[str, typer.Argument(metavar="A", help=_SIDE)],
    b: Annotated[str, typer.Argument(metavar="B", help=_SIDE)],
    by: Annotated[
        str, typer.Option("--judge", metavar="FILE", help="A rubric's TOML file: its criterion says which is better.")
    ],
    model: Annotated[str, typer.Option(help="Who is asked: a local model or a deployed one.")] = "smollm2-135m",
    remote: Remote = None,
    task: Annotated[
        str | None, typer.Option(help="Which metric's answers, such as xstest_safe; needed where there are several.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="So many pairs, evenly spaced.")] = None,
    since: Since = None,
    resume: Resume = False,
    as_json: Json = False,
) -> None:
    """Compare two evaluations' answers to the same prompts, each pair in both orders: A's win rate with its interval,
    ties and unknowns, and how far the judge goes by place.

    Example: truing judge pairwise base candidate --judge clearer.toml --task xstest_safe
    """
    from truing.loops.verbs.pairwise import read_pairwise

    judging = asked_how(model, remote, since, resume)
    chosen: dict[str, Any] = {"task": task, "limit": limit}
    step = {
        "verb": "pairwise",
        "a": f"ledger:{a}",
        "b": f"ledger:{b}",
        "by": by,
        "judge_model": {"name": model},
        **{key: value for key, value in chosen.items() if value is not None},
    }
    recipe, prepared = prepare(
        {"name": "pairwise", "pairwise": step}, "pairwise", context.obj.ledger, None, None, judging
    )
    finished = execute(recipe, prepared, Console(stderr=as_json), quiet=as_json)
    told = read_pairwise(prepared.ledger.folder(finished["pairwise"].artifact))
    if as_json:
        typer.echo(json.dumps({**as_plain(finished), **told.model_dump(mode="json")}))
        return
    found = told.result
    share = number(found.rate, "share")
    interval = "" if found.low is None or found.high is None else " " + bounds(found.low, found.high, "share")
    place = found.bias.first_both + found.bias.second_both
    lines = (
        f"{told.task}: {a} wins {share}{interval} against {b}, ties half (p {found.p:.2g})",
        f"  {found.wins_a} won by {a}, {found.wins_b} by {b}, {found.ties} ties, {found.unknown} unknown, "
        f"of {told.pairs} pairs",
        f"  by place: {place} of {found.bias.pairs} were decided by it, {found.bias.first_both} for the first and "
        f"{found.bias.second_both} for the second (p {found.bias.p:.2g} of liking neither)",
        f"  judge {told.judge}: how often people agree is not measured",
    )
    for line in lines:
        typer.echo(line)
