"""Showing what a recipe yields: progress bars on a terminal, a line a stage elsewhere, nothing but the end with --json."""

import time
from collections.abc import Iterator
from types import TracebackType
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from truing.core.records import ItemResult, Record

if TYPE_CHECKING:
    from truing.loops.events import StepDone

_LINE_EVERY_SECONDS = 15.0


class Display:
    """Draws one bar for the running stage. Off a terminal it prints a line when a stage begins, now and then, and at its end."""

    def __init__(self, console: Console, quiet: bool = False) -> None:
        self.console = console
        self.quiet = quiet
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=28),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=quiet or not console.is_terminal,
        )
        self._bar: TaskID | None = None
        self._stage = ""
        self._done = 0
        self._last_line = 0.0

    def __enter__(self) -> "Display":
        self._bars.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._bars.stop()

    def line(self, text: str) -> None:
        """A line that stays."""
        if not self.quiet:
            self.console.print(text, highlight=False)

    def stage(self, name: str, total: int | None) -> None:
        """Begin a stage; the bar before it ends."""
        self.end_stage()
        self._stage, self._done, self._last_line = name, 0, time.monotonic()
        self._bar = self._bars.add_task(f"  {name}", total=total, note="")

    def advance(self, done: int, total: int | None, note: str = "") -> None:
        """Say how far the running stage is."""
        self._done = done
        if self._bar is not None:
            self._bars.update(self._bar, completed=done, total=total, note=note)
        now = time.monotonic()
        if not self.console.is_terminal and now - self._last_line > _LINE_EVERY_SECONDS:
            self._last_line = now
            self.line(f"  {self._stage}: {done}{f' of {total}' if total else ''} {note}".rstrip())

    def end_stage(self) -> None:
        """Take the running bar away."""
        if self._bar is not None:
            self._bars.remove_task(self._bar)
            self._bar = None


def follow(records: Iterator[Record], display: Display) -> "dict[str, StepDone]":
    """Draw a recipe's records as they come; returns the finished steps by name."""
    from truing.loops.events import StepDone, StepStarted, Total
    from truing.train.records import Progress as Preparing
    from truing.train.records import TrainStep

    finished: dict[str, StepDone] = {}
    step, stage, total, items = "", "", None, 0
    for record in records:
        if isinstance(record, StepStarted):
            step, stage, total, items = record.step, "", None, 0
            display.stage(f"{record.step} ({record.verb})", None)
        elif isinstance(record, Total):
            total = record.items
        elif isinstance(record, Preparing):
            if stage != record.stage:
                stage = record.stage
                display.stage(f"{step}: {stage}", record.total)
            display.advance(record.done, record.total)
        elif isinstance(record, TrainStep):
            if stage != "training":
                stage = "training"
                display.stage(f"{step}: training", record.steps)
            display.advance(record.step, record.steps, _note(record))
        elif isinstance(record, ItemResult):
            items += 1
            display.advance(items, total, record.task.replace("_", " "))
        elif isinstance(record, StepDone):
            display.end_stage()
            finished[record.step] = record
            how = "reused" if record.reused else _duration(record.seconds)
            display.line(f"[bold]{record.step:<12}[/] {record.artifact.kind:<11} {record.artifact.id[:12]}  {how}")
    return finished


def _note(record: "TrainStep") -> str:  # noqa: F821 (imported where it is needed)
    accuracy = "" if record.accuracy is None else f" accuracy {record.accuracy:.2f}"
    return f"loss {record.loss:.3f}{accuracy} {record.tokens_per_second:,.0f} tokens/s"


def _duration(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 60 else f"{int(seconds) // 60} min {int(seconds) % 60} s"
