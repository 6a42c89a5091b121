"""The display: bars on a terminal, lines elsewhere, nothing with --json, and names are never markup."""

import io
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from rich.console import Console

from truing.cli import progress
from truing.cli.progress import Display, counted, duration, follow
from truing.core.records import ItemResult, Progress, Record
from truing.ledger.artifacts import Artifact
from truing.loops.events import Reading, StepDone, StepStarted, Total
from truing.train.records import TrainStart, TrainStep


def artifact(left_out: float) -> Artifact:
    return Artifact(
        kind="adapter", verb="sft", verb_version=1, name="[/odd]", config={}, parents=(), seed=0, files=(),
        metrics={"left_out": left_out}, key=None, id="a" * 64, created=datetime.now(UTC), code_version="0",
    )  # fmt: skip


def records(left_out: float = 0, reused: bool = False) -> Iterator[Record]:
    yield Reading(what="a [red]model[/red]")
    yield StepStarted(step="[/odd]", verb="sft")
    for done in (1, 2):
        yield Progress(stage="lower layers", done=done, total=2)
    for step in (1, 2):
        yield TrainStep(
            step=step, steps=2, epoch=0, loss=1, rate=1, gradient_norm=1, tokens=1, tokens_per_second=None,
            mean_length=1, chosen_logprob=-1,
        )  # fmt: skip
    yield Total(items=1)
    yield ItemResult(task="over_refusal", item="i", cluster="", value=None)
    yield StepDone(step="[/odd]", verb="sft", artifact=artifact(left_out), reused=reused, seconds=75)


def shown(found: Iterator[Record], quiet: bool = False, **settings: object) -> str:
    console = Console(file=io.StringIO(), width=60, **settings)  # type: ignore[arg-type]
    with Display(console, quiet) as display:
        assert set(follow(found, display)) == {"[/odd]"}
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_off_a_terminal_a_step_has_a_line_at_its_beginning_and_one_at_its_end() -> None:
    assert shown(records()).splitlines() == [
        "[/odd]       sft         begins",
        "[/odd]       adapter     aaaaaaaaaaaa  1 min 15 s",
    ]


@pytest.mark.parametrize(
    ("left_out", "reused", "end"),
    [(0, True, "  reused"), (1, False, "1 min 15 s, 1 row left out"), (12, True, "reused, 12 rows left out")],
)
def test_the_last_line_says_what_was_reused_and_left_out(left_out: int, reused: bool, end: str) -> None:
    assert shown(records(left_out, reused)).splitlines()[-1].endswith(end)


def test_a_long_stage_says_now_and_then_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_LINE_EVERY_SECONDS", -1.0)
    lines = shown(records()).splitlines()
    assert "  [/odd]: lower layers: 1 of 2" in lines
    assert "  [/odd]: training: 2 of 2 loss 1.000" in lines


def test_on_a_terminal_every_stage_has_a_bar_and_only_the_end_stays() -> None:
    text = shown(records(), force_terminal=True)
    for stage in ("reading a [red]model[/red]", "[/odd] (sft)", "[/odd]: lower layers", "[/odd]: training"):
        assert stage in text
    assert "begins" not in text


def test_quiet_shows_nothing() -> None:
    assert shown(records(), quiet=True) == ""
    assert shown(records(), quiet=True, force_terminal=True) == ""


def test_numbers_and_times_in_words() -> None:
    assert [counted(number, "row") for number in (0, 1, 2)] == ["0 rows", "1 row", "2 rows"]
    assert [duration(seconds) for seconds in (0.04, 59.9, 60, 3601)] == ["0.0 s", "59.9 s", "1 min 0 s", "60 min 1 s"]


def test_what_a_training_run_settled_is_said_only_where_it_is_not_what_was_asked() -> None:
    plain = {"microbatch_tokens": 2048, "asked_tokens": 2048, "needed_bytes": 10**9, "available_bytes": 4 * 10**9}

    def said(**changes: Any) -> str:
        record = TrainStart(**{"done": 0, "computed": ("torch, 2 threads",), **plain, **changes})
        stream = io.StringIO()
        with Display(Console(file=stream, width=200)) as display:
            follow(iter([record]), display)
        return stream.getvalue()

    assert said() == ""
    assert said(done=40) == "  goes on after step 40\n"
    assert "computed by torch, 1 thread and by torch, 2 threads" in said(
        computed=("torch, 1 thread", "torch, 2 threads")
    )
    assert "of 512 tokens, where 2048 are allowed: 1.0 GB predicted, 4.0 GB" in said(microbatch_tokens=512)
    assert "below the adapter on the disk" in said(lower_on_disk=True)
