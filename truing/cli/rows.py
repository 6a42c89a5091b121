"""What the `data` verbs share: naming a source, reading it with progress, and setting its bad rows aside."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.console import Console

from truing.cli.progress import Display, counted
from truing.cli.train import relative
from truing.core.errors import InputError
from truing.core.records import Comparison
from truing.data.bad import BadFile
from truing.data.rows import Ask, BadRow, RowError

if TYPE_CHECKING:
    from truing.data.validate import Check

Source = Annotated[
    str,
    typer.Argument(
        help="A file of comparisons (JSON Lines, a JSON array, CSV, TSV or Parquet, and gzip of them), "
        "hf:OWNER/NAME[/FILE] of the Hugging Face hub, or ledger:NAME of an earlier import."
    ),
]
Format = Annotated[
    str | None,
    typer.Option(
        "--format",
        help="native, trl, hh, unpaired, scores, argilla or labelstudio; told from the first row if not given.",
    ),
]
Columns = Annotated[
    str | None,
    typer.Option(
        metavar="OURS=THEIRS,…",
        help="What the file calls the values to read: prompt=question,chosen=better,rejected=worse.",
    ),
]
Pairs = Annotated[
    Literal["best-worst", "all"],
    typer.Option(help="Of several scored answers to one prompt: the best against the worst, or all pairs."),
]
Model = Annotated[
    str | None,
    typer.Option(help="A model that is to be trained: rows that are longer than its context are bad rows, too."),
]
MaxBad = Annotated[
    str, typer.Option(metavar="N|P%", help="Go on with up to so many bad rows (or such a share), and set them aside.")
]
_EVERY = 500  # rows between two looks at the progress bar


class TooManyBadError(InputError):
    """More rows are bad than the caller allows."""


class Tally:
    """How many rows were good, bad and left over."""

    def __init__(self) -> None:
        self.good = self.bad = self.left_over = 0

    def as_json(self, kept: Path) -> dict[str, Any]:
        """What was set aside, and where it is."""
        file = str(kept) if self.bad or self.left_over else None
        return {"bad": self.bad, "left_over": self.left_over, "bad_rows": file}

    def say(self, kept: Path) -> None:
        """A line for each kind of row that was set aside."""
        where = relative(kept)
        if self.bad:
            typer.echo(f"set aside {counted(self.bad, 'bad row')}, kept whole in {where}")
        if self.left_over:
            typer.echo(f"left over {counted(self.left_over, 'row')} without a counterpart, kept whole in {where}")


def read(
    context: typer.Context,
    source: str,
    format_name: str | None,
    columns: str | None,
    pairs: Literal["best-worst", "all"],
    model: str | None,
    quiet: bool,
) -> Iterator[Comparison | BadRow]:
    """A source's rows as they are asked for, with their progress shown. Raises `InputError` for what cannot be read."""
    from truing.data import formats

    ask = Ask(columns=_columns(columns), pairs=pairs)
    fits = _fits(model) if model else None
    return _followed(formats.stream(paths_of(context, source), format_name, ask, fits), source, quiet)


def paths_of(context: typer.Context, source: str) -> list[Path]:
    """The files behind a source. Raises `InputError` if there is none."""
    if source.startswith("hf:"):
        from truing.data.hub import fetch

        return fetch(source)
    if source.startswith("ledger:"):
        from truing.ledger.ledger import Ledger
        from truing.loops.verbs.dataset import IMPORT, IMPORTED

        ledger = Ledger.open(context.obj.ledger, create=False)
        artifact = ledger.get(source.removeprefix("ledger:"))
        if artifact.kind != IMPORT:
            raise InputError(f"{source} is of the kind {artifact.kind!r}, expected the kind {IMPORT!r}")
        return [ledger.folder(artifact) / IMPORTED]
    return [Path(source)]


def _columns(text: str | None) -> dict[str, str]:
    result = {}
    for part in (text or "").split(",") if text else []:
        ours, separator, theirs = (word.strip() for word in part.partition("="))
        if not (ours and separator and theirs):
            raise InputError(f"--columns {text}: write it as prompt=question,chosen=better,rejected=worse")
        result[ours] = theirs
    return result


def _fits(model: str) -> "Check":
    """A check that both answers fit into the model's context behind their prompt, by its own tokenizer and template."""
    from transformers import AutoConfig, AutoTokenizer

    from truing.engine.chat import Chat
    from truing.engine.files import locate

    folder = locate(model)
    chat = Chat(AutoTokenizer.from_pretrained(folder), AutoConfig.from_pretrained(folder).max_position_embeddings)

    def check(comparison: Comparison) -> None:
        for answer in (comparison.chosen, comparison.rejected):
            try:
                chat.sequence(comparison.prompt, answer)
            except InputError as error:
                raise RowError(str(error)) from None

    return check


def _followed(items: Iterator[Comparison | BadRow], source: str, quiet: bool) -> Iterator[Comparison | BadRow]:
    with Display(Console(stderr=True), quiet) as display:
        display.stage(f"reading {source}", None)
        for number, item in enumerate(items, start=1):
            if number % _EVERY == 0:
                display.advance(number, None, "rows")
            yield item


def bad_path(source: str, folder: Path) -> Path:
    """SOURCE.bad.jsonl in a folder."""
    name = re.split(r"[/:]", source)[-1].removesuffix(".gz")
    stem = Path(name).stem if Path(name).suffix in (".jsonl", ".json", ".csv", ".tsv", ".parquet") else name
    return folder / f"{stem}.bad.jsonl"


@contextmanager
def bad_file(source: str, folder: Path) -> Iterator[BadFile]:
    """Where a source's bad rows go. It stays where they were too many, too; not where reading itself failed."""
    kept = BadFile(bad_path(source, folder))
    try:
        yield kept
    except TooManyBadError:
        kept.close()
        raise
    except BaseException:
        kept.discard()
        raise
    kept.close()


def sort_out(
    items: Iterator[Comparison | BadRow],
    source: str,
    max_bad: str,
    tally: Tally,
    done: str,
    kept: BadFile | None = None,
    listed: bool = False,
) -> Iterator[Comparison]:
    """The good rows; bad ones are counted, kept, and (if `listed`) named on standard error.

    Raises `TooManyBadError` at the end if there are more than `max_bad` allows, or no good row. `done` is what then was
    not done.
    """
    allowed = allowance(max_bad)
    first: BadRow | None = None
    for item in items:
        if isinstance(item, Comparison):
            tally.good += 1
            yield item
            continue
        tally.bad += not item.left_over
        tally.left_over += item.left_over
        first = first or item
        if kept is not None:
            kept.add(item)
        if listed:
            typer.echo(named(item), err=True)
    total = tally.good + tally.bad
    if first is not None and (not allowed(tally.bad, total) or not tally.good):
        raise TooManyBadError(_too_many(source, tally, done, first, kept, listed))


def _too_many(source: str, tally: Tally, done: str, first: BadRow, kept: BadFile | None, listed: bool) -> str:
    total = tally.good + tally.bad
    many = f"{tally.bad} of {counted(total, 'row')} {'is' if tally.bad == 1 else 'are'} bad"
    if not tally.bad:
        many = f"no comparison can be made of {counted(tally.left_over, 'row')}, as none has a counterpart"
    if not listed:
        many += f", the first in {first.unit} {first.line}: {first.reason}"
    advice = f"repair them, or set them aside with --max-bad {tally.bad}" if tally.good else "no row can be used"
    where = f"; they are kept whole in {relative(kept.path)}" if kept is not None else ""
    return f"{source}: {many}; nothing was {done}; {advice}{where}"


def allowance(text: str) -> Callable[[int, int], bool]:
    """Whether so many bad rows of a total are allowed, by `3` or `1%`. Raises `InputError` for anything else."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(%?)", text.strip())
    if found is None or (not found[2] and "." in found[1]) or (found[2] and float(found[1]) > 100):
        raise InputError(f"--max-bad {text}: write a number of rows, such as 3, or a share of them, such as 1%")
    limit = float(found[1])
    return lambda bad, total: bad * 100 <= limit * total if found[2] else bad <= limit


def named(bad: BadRow) -> str:
    """A bad row as a line for people."""
    return f"{bad.file}, {bad.unit} {bad.line}: {bad.reason}"
