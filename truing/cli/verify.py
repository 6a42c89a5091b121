"""`truing verify`: is everything in the ledger what it claims to be?"""

import json

import typer

from truing.cli.progress import counted
from truing.cli.run import Json


def verify(context: typer.Context, as_json: Json = False) -> None:
    """Hash every file of the ledger again and check the index. Exit code 3 if something is wrong.

    Example: truing verify
    """
    from truing.ledger.integrity import verify as check
    from truing.ledger.ledger import Ledger

    ledger = Ledger.open(context.obj.ledger, create=False)
    problems = check(ledger)
    if as_json:
        typer.echo(json.dumps([problem.model_dump() for problem in problems]))
    else:
        for problem in problems:
            typer.echo(f"{problem.artifact[:12] or 'ledger'}: {problem.what}")
        found = counted(len(problems), "problem") if problems else "all well"
        typer.echo(f"{counted(len(ledger.list()), 'artifact')} checked, {found}")
    if problems:
        raise typer.Exit(3)
