"""Showing what a recipe yields: a progress bar on a terminal, lines elsewhere, nothing but the end with --json."""

import time
from collections.abc import Iterator
from types import TracebackType
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from truing.core.records import ItemResult, Record

if TYPE_CHECKING:
    from truing.loops.events import StepDone
    from truing.train.records import Guarded, TrainStart, TrainStep

_LINE_EVERY_SECONDS = 15.0


class Display:
    """Draws one bar for the running stage. Off a terminal it prints lines: when a step begins, now and then, and at its
    end."""

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
        self._last_line = 0.0

    def __enter__(self) -> "Display":
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def line(self, text: str) -> None:
        """A line that stays."""
        if not self.quiet:
            self.console.print(text, highlight=False, soft_wrap=True)

    def log(self, text: str) -> None:
        """A line for where no bar can be drawn."""
        if not self.console.is_terminal:
            self._last_line = time.monotonic()
            self.line(escape(text))

    def stage(self, name: str, total: int | None) -> None:
        """Begin a stage; the bar before it ends. Without a total the bar only shows that something is going on."""
        self.end_stage()
        self._stage, self._last_line = name, time.monotonic()
        self._bar = self._bars.add_task(f"  {escape(name)}", total=total, note="")

    def advance(self, done: int, total: int | None, note: str = "") -> None:
        """Say how far the running stage is."""
        if self._bar is not None:
            self._bars.update(self._bar, completed=done, total=total, note=note)
        if time.monotonic() - self._last_line > _LINE_EVERY_SECONDS:
            self.log(f"  {self._stage}: {done}{f' of {total}' if total else ''} {note}".rstrip())

    def end_stage(self) -> None:
        """Take the running bar away."""
        if self._bar is not None:
            self._bars.remove_task(self._bar)
            self._bar = None


def follow(records: Iterator[Record], display: Display) -> "dict[str, StepDone]":
    """Draw a recipe's records as they come; returns the finished steps by name."""
    from truing.core.records import Progress as Preparing
    from truing.loops.events import Notice, Reading, RunStarted, StepDone, StepStarted, StepWaiting, Total
    from truing.train.records import Guarded, PolicyStep, TrainStart, TrainStep

    finished: dict[str, StepDone] = {}
    step, stage, total, items = "", "", None, 0
    said: set[str] = set()
    for record in records:
        if isinstance(record, Reading):
            display.stage(f"reading {record.what}", None)
        elif isinstance(record, RunStarted):
            display.end_stage()
            steps = f"{record.steps - record.reused} of {counted(record.steps, 'step')} to run"
            display.line(f"run {record.number} of {record.of}: {escape(record.label)}, seed {record.seed}: {steps}")
        elif isinstance(record, StepWaiting):
            display.end_stage()
            display.line(escape(f"{record.step:<12} waits: {record.holder} runs this step; what it makes is reused"))
        elif isinstance(record, StepStarted):
            step, stage, total, items = record.step, "", None, 0
            display.stage(f"{record.step} ({record.verb})", None)
            display.log(f"{record.step:<12} {record.verb:<11} begins")
        elif isinstance(record, Notice):
            if record.text not in said:
                said.add(record.text)
                display.line(escape(record.text))
        elif isinstance(record, Total):
            total = record.items
        elif isinstance(record, Preparing):
            if stage != record.stage:
                stage = record.stage
                display.stage(f"{step}: {stage}", record.total)
            display.advance(record.done, record.total)
        elif isinstance(record, TrainStart):
            for line in _settled(record):
                display.line(f"  {escape(line)}")
        elif isinstance(record, TrainStep):
            if stage != "training":
                stage = "training"
                display.stage(f"{step}: training", record.steps)
            display.advance(record.step, record.steps, _note(record))
            if isinstance(record, PolicyStep):
                display.log(f"  iteration {record.step} of {record.steps}: {_note(record)}")
        elif isinstance(record, Guarded):
            for line in _ended(record):
                display.line(f"  {escape(line)}")
        elif isinstance(record, ItemResult):
            items += 1
            display.advance(items, total, record.task.replace("_", " "))
        elif isinstance(record, StepDone):
            display.end_stage()
            finished[record.step] = record
            display.line(_done(record))
    return finished


def _settled(record: "TrainStart") -> Iterator[str]:
    """What a run does otherwise than asked, or than a run from its first step on: nothing, mostly."""
    if record.done:
        yield f"goes on after step {record.done}"
    if len(record.computed) > 1:
        yield f"computed by {' and by '.join(record.computed)}: the last bits may differ from a run in one place"
    if record.needed_bytes is None:
        yield "how much memory this takes is not predicted for such a model"
    elif record.microbatch_tokens < record.asked_tokens or record.lower_on_disk:
        needed, available = record.needed_bytes / 1e9, record.available_bytes / 1e9
        on_disk = ", and the states below the adapter on the disk" if record.lower_on_disk else ""
        yield (
            f"micro-batches of {record.microbatch_tokens} tokens, where {record.asked_tokens} are allowed{on_disk}: "
            f"{needed:.1f} GB predicted, {available:.1f} GB available"
        )


def _ended(record: "Guarded") -> Iterator[str]:
    """Which signals moved, and which round's policy was kept."""
    for reading in record.alarms:
        yield f"alarm, {reading.signal}, from iteration {reading.step} on: {reading.reason}"
    if record.kept_step is not None:
        yield f"kept: the policy of iteration {record.kept_step}, the best by its gold reward ({record.kept_gold:.3f})"


def _note(record: "TrainStep") -> str:
    from truing.train.records import PolicyStep

    if isinstance(record, PolicyStep):
        return (
            f"reward {record.reward:.3f}, KL {record.kl_k1:.2f} nats, {record.mean_length:.1f} tokens, "
            f"{record.eos_rate:.0%} ended"
        )
    accuracy = "" if record.accuracy is None else f" accuracy {record.accuracy:.2f}"
    speed = "" if record.tokens_per_second is None else f" {record.tokens_per_second:,.0f} tokens/s"
    return f"loss {record.loss:.3f}{accuracy}{speed}"


def _done(record: "StepDone") -> str:
    """A finished step's line: what it made, how long that took, and how many rows it had to leave out."""
    how = "reused" if record.reused else duration(record.seconds)
    left_out = record.artifact.metrics.get("left_out")
    if isinstance(left_out, float) and left_out > 0:
        how += f", {counted(round(left_out), 'row')} left out"
    return f"[bold]{escape(f'{record.step:<12}')}[/] {record.artifact.kind:<11} {record.artifact.short}  {how}"


def counted(number: int, noun: str) -> str:
    """A number of things: `1 row`, `2 rows`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def duration(seconds: float) -> str:
    """Seconds as people read them."""
    return f"{seconds:.1f} s" if seconds < 60 else f"{int(seconds) // 60} min {int(seconds) % 60} s"
