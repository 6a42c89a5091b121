"""Write docs/cli.md from the command line's own help, so that the reference cannot say anything else.

    python scripts/cli_reference.py            writes docs/cli.md
    python scripts/cli_reference.py --check    exits with 1 if docs/cli.md is not what it would write

The tree of commands is walked and its help emitted as Markdown, so terminal, width and environment do not matter. A
verb without a line `Example: truing VERB …` in its help fails either way.
"""

import argparse
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import typer

from truing.cli.app import app

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "cli.md"
WIDTH = 100
NAME = "truing"
INTRODUCTION = """\
# The command line

This page is made from the commands' own help by `python scripts/cli_reference.py`; do not edit it by hand.
`truing VERB --help` shows the same on a terminal.
"""
EXIT_CODES = """\
## Exit codes

| code | meaning |
|---|---|
| 0 | done; for `truing gate`: every rule holds |
| 1 | `truing gate`: a rule is broken |
| 2 | the input, the configuration or the command line is wrong; nothing was changed |
| 3 | the run failed, or `truing verify` found damage; what was finished is kept |
| 4 | `truing gate`: not enough evidence |
| 130, 143 | stopped by Ctrl-C, or by SIGTERM; the same command goes on from there |

An error is one sentence on standard error that says what is wrong and what to do; a command line that cannot be read is
answered with the usage. Every verb has `--help`.
"""


class MissingExampleError(Exception):
    """The help of one or more verbs has no example."""


def walk(command: Any, name: str, parent: Any = None) -> Iterator[tuple[Any, Any]]:
    """A command and all below it, each with its context, in the order of `--help`. (Typer's classes are not public.)"""
    context = command.context_class(command, info_name=name, parent=parent, terminal_width=WIDTH)
    yield command, context
    for below in command.list_commands(context) if hasattr(command, "list_commands") else ():
        yield from walk(command.get_command(context, below), below, context)


def reference(application: typer.Typer = app) -> str:
    """The whole page. Raises `MissingExampleError` naming every verb whose help has no example."""
    found = list(walk(typer.main.get_command(application), NAME))
    verbs = [(command, context) for command, context in found if not hasattr(command, "list_commands")]
    without = [context.command_path for command, context in verbs if not example(command, context.command_path)]
    if without:
        what = f"no line 'Example: {without[0]} …' in its help: add one to its docstring"
        raise MissingExampleError(f"{', '.join(without)}: {what}")
    contents = ["| verb | what it does |", "|---|---|"]
    for command, context in verbs:
        anchor = context.command_path.replace(" ", "-")
        contents.append(f"| [`{context.command_path}`](#{anchor}) | {cell(paragraphs(command)[0])} |")
    sections = [section(command, context) for command, context in found]
    return "\n".join([INTRODUCTION, "\n".join(contents), "", EXIT_CODES, *sections]).rstrip() + "\n"


def paragraphs(command: Any) -> list[str]:
    """A command's help, its lines joined within paragraphs."""
    return [" ".join(part.split()) for part in re.split(r"\n\s*\n", (command.help or "").strip())]


def example(command: Any, path: str) -> str | None:
    """The command line of a verb's example, if its help has one that calls this verb."""
    for part in paragraphs(command):
        if part.startswith(f"Example: {path}"):
            return part.removeprefix("Example: ")
    return None


def section(command: Any, context: Any) -> str:
    """One command: description, usage, example, and a table each of its arguments and options."""
    path = context.command_path
    usage = command.get_usage(context).removeprefix("Usage: ")
    described = [part for part in paragraphs(command) if not part.startswith("Example:")]
    lines = ["#" * (2 + path.count(" ") // 2) + f" {path}", "", *described, "", "```text", usage, "```", ""]
    shown = example(command, path)
    if shown:
        lines += [f"Example: `{shown}`", ""]
    for kind in ("argument", "option"):
        parameters = [item for item in command.get_params(context) if item.param_type_name == kind]
        rows = [row(item, context) for item in parameters if item.name != "help" and not item.hidden]
        if rows:
            lines += [f"| {kind} | meaning | notes |", "|---|---|---|", *rows, ""]
    return "\n".join(lines)


def row(parameter: Any, context: Any) -> str:
    """A table's row: name and type, meaning, and what the help prints in brackets (default, variable, limits)."""
    name, text = parameter.get_help_record(context)
    meaning, _, notes = text.partition("  [")
    return f"| `{name}` | {cell(meaning)} | {cell(notes.removesuffix(']'))} |"


def cell(text: str) -> str:
    """Text that cannot break out of a Markdown table's cell."""
    return text.replace("|", "\\|").replace("<", "&lt;")


def main(arguments: Sequence[str] | None = None) -> int:
    """Write or check the page; the exit code is 1 where it is out of date or a verb has no example."""
    parser = argparse.ArgumentParser(description="Write docs/cli.md from the command line's help.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 if the page is out of date")
    checked = parser.parse_args(arguments).check
    try:
        text = reference()
    except MissingExampleError as error:
        print(error, file=sys.stderr)
        return 1
    if not checked:
        PAGE.parent.mkdir(exist_ok=True)
        PAGE.write_text(text, encoding="utf-8")
    elif not PAGE.is_file() or PAGE.read_text(encoding="utf-8") != text:
        where = PAGE.relative_to(ROOT) if PAGE.is_relative_to(ROOT) else PAGE
        print(f"{where} is not what --help says; run `python scripts/cli_reference.py`", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
