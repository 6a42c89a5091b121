"""Run the examples of documentation pages and hold what they print against what the page says.

    python scripts/run_docs.py README.md docs/*.md

All blocks of a page run in order in one fresh folder, with this Python's programs first on PATH; `--jobs` pages run
at a time. A block is a fence with a language and tags:

    console               lines `$ COMMAND`, each followed by the output that is expected (none: anything will do)
    python                runs as a script
    ANYTHING file=NAME    is written to NAME
    exit=2                every command of the block must end with this code, instead of 0
    no-compare            runs, and may print what it likes
    no-run="the reason"   does not run, and is counted

Every expected line must appear in the output, in the page's order; runs of white space are equal, `…` stands for one or
more characters, and a line of only `…` for any lines. A block without tags in another language is no example.
"""

import argparse
import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

TIMEOUT_SECONDS = 1800
TAGS = ("exit", "file", "no-compare", "no-run")
# A reader's own settings, and what makes programs believe that they write to a terminal.
UNSET = ("TRUING_LEDGER", "TRUING_BENCHMARKS", "FORCE_COLOR", "PY_COLORS", "GITHUB_ACTIONS")
_FENCE = re.compile(r"(?P<indent> *)(?P<fence>`{3,}|~{3,})(?P<info>.*)")


class ExampleError(Exception):
    """A page's example is wrong: `where` is its file and line."""

    def __init__(self, where: str, what: str) -> None:
        super().__init__(f"{where}: {what}")


@dataclass(frozen=True)
class Block:
    """A fenced block. `line` is that of its fence, from 1."""

    page: Path
    line: int
    language: str
    tags: dict[str, str]
    lines: tuple[str, ...]

    def where(self, offset: int = 0) -> str:
        """The file and line of the fence, or of a line of the block (from 1)."""
        return f"{self.page}:{self.line + offset}"


@dataclass(frozen=True)
class Command:
    """One thing to run. `expected` are the lines that it should print."""

    where: str
    shown: str
    words: tuple[str, ...]
    expected: tuple[str, ...] = ()


def blocks(page: Path) -> list[Block]:
    """The page's fenced blocks, with their tags checked. Raises `ExampleError` for a tag or fence that is wrong."""
    found: list[Block] = []
    opened: re.Match[str] | None = None
    lines: list[str] = []
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), start=1):
        fence = _FENCE.fullmatch(line)
        if opened is None:
            if fence is not None:
                opened, lines, start = fence, [], number
        elif fence is not None and not fence["info"].strip() and fence["fence"].startswith(opened["fence"]):
            language, tags = _tags(opened["info"], f"{page}:{start}")
            found.append(Block(page, start, language, tags, tuple(lines)))
            opened = None
        else:
            lines.append(line.removeprefix(opened["indent"]))
    if opened is not None:
        raise ExampleError(f"{page}:{start}", "the block is not closed")
    return found


def _tags(info: str, where: str) -> tuple[str, dict[str, str]]:
    """The language and the tags of a fence's info string."""
    try:
        language, *words = shlex.split(info) or [""]
    except ValueError as error:
        raise ExampleError(where, f"the tags cannot be read ({error})") from None
    tags = {name: value for name, _, value in (word.partition("=") for word in words)}
    for name in tags:
        if name not in TAGS:
            raise ExampleError(where, f"unknown tag {name!r}; use {', '.join(TAGS)}")
    if "no-run" in tags and not tags["no-run"].strip():
        raise ExampleError(where, 'no-run needs a reason: no-run="needs the network"')
    if not tags.get("exit", "0").isdigit():
        raise ExampleError(where, f"exit={tags['exit']} is not an exit code")
    if "file" in tags and (not tags["file"] or Path(tags["file"]).is_absolute() or ".." in Path(tags["file"]).parts):
        raise ExampleError(where, f"file={tags['file']}: name a file inside the page's folder")
    return language, tags


def commands(block: Block) -> Iterator[Command]:
    """What a block runs: each `$ ` line of a console block with the output below it, or a whole Python block."""
    if block.language == "python":
        # Empty lines in front make a traceback's line numbers those of the page.
        script = "\n" * block.line + "\n".join(block.lines)
        yield Command(block.where(), f"python ({len(block.lines)} lines)", (sys.executable, "-c", script))
        return
    starts = [number for number, line in enumerate(block.lines) if line.startswith("$ ")]
    if block.lines and 0 not in starts:
        raise ExampleError(block.where(1), "a console block begins with a line `$ COMMAND`")
    for start, end in zip(starts, [*starts[1:], len(block.lines)], strict=True):
        text, rest = block.lines[start].removeprefix("$ "), start + 1
        while text.endswith("\\") and rest < end:
            text, rest = f"{text}\n{block.lines[rest].removeprefix('> ')}", rest + 1
        expected = () if "no-compare" in block.tags else block.lines[rest:end]
        yield Command(block.where(start + 1), text, ("bash", "-o", "pipefail", "-c", text), expected)


def first_missing(expected: Sequence[str], actual: str) -> str | None:
    """The first expected line that does not appear in the output after those before it; None if all of them do."""
    printed = iter([" ".join(line.split()) for line in actual.splitlines()])
    for line in expected:
        parts = [re.escape(part) for part in " ".join(line.split()).split("…")]
        if any(parts) and not any(re.fullmatch(".+".join(parts), candidate) for candidate in printed):
            return line
    return None


def run(command: Command, folder: Path, exit_code: int) -> None:
    """Run one command; print it with its seconds at its end. Raises `ExampleError` if anything is not as said."""
    started = time.monotonic()
    try:
        done = subprocess.run(
            command.words,
            cwd=folder,
            env=_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            timeout=TIMEOUT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise ExampleError(command.where, f"{command.shown}\nstill ran after {TIMEOUT_SECONDS} s") from None
    finally:
        print(f"{command.where}: {command.shown}  ({time.monotonic() - started:.1f} s)", flush=True)
    missing = first_missing(command.expected, done.stdout)
    if done.returncode != exit_code:
        problem = f"exit code {done.returncode}, expected {exit_code}"
    elif missing is not None:
        problem = f"the output lacks the line {missing.strip()!r} (or has it earlier)"
    else:
        return
    parts = [command.shown, problem, "--- expected", *command.expected, "--- actual", done.stdout.rstrip()]
    raise ExampleError(command.where, "\n".join(parts))


def _environment() -> dict[str, str]:
    """The variables of this process, made alike for every reader."""
    values = {name: value for name, value in os.environ.items() if name not in UNSET}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    return {**values, "PATH": path, "COLUMNS": "120", "NO_COLOR": "1"}


def run_page(page: Path) -> str:
    """Run a page's examples in a fresh folder; returns a sentence. Raises `ExampleError` at the first failure."""
    ran, reasons = 0, []
    found = blocks(page)
    with tempfile.TemporaryDirectory() as folder:
        for block in found:
            if "no-run" in block.tags:
                reasons.append(block.tags["no-run"])
            elif "file" in block.tags:
                target = Path(folder, block.tags["file"])
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text("".join(f"{line}\n" for line in block.lines), encoding="utf-8")
            elif block.language in ("console", "python"):
                for command in commands(block):
                    run(command, Path(folder), int(block.tags.get("exit", "0")))
                    ran += 1
    skipped = f"; {len(reasons)} not run ({'; '.join(dict.fromkeys(reasons))})" if reasons else ""
    return f"{page}: {ran} examples ran{skipped}"


def _outcome(page: Path) -> tuple[str, bool]:
    """What is to be said of a page, and whether all of its examples passed."""
    try:
        return run_page(page), True
    except OSError as error:
        return f"{page}: cannot be read ({error.strerror})", False
    except ExampleError as error:
        return str(error), False


def main(arguments: Sequence[str] | None = None) -> int:
    """Run every page; the exit code is 1 if an example of any of them failed."""
    parser = argparse.ArgumentParser(description="Run the examples of documentation pages.")
    parser.add_argument("pages", nargs="+", type=Path, metavar="FILE")
    parser.add_argument("--jobs", type=int, default=1, help="pages at a time, which then share the processor's threads")
    options = parser.parse_args(arguments)
    if options.jobs > 1:
        os.environ["OMP_NUM_THREADS"] = str(max(1, (os.cpu_count() or 1) // options.jobs))
    failed = 0
    with ThreadPoolExecutor(options.jobs) as pool:
        for said, well in pool.map(_outcome, options.pages):
            print(said, flush=True)
            failed += not well
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
