"""The verbs `sft`, `preference` and `unpaired`: comparisons or judged answers in, an adapter in PEFT's form out, and
the training curve beside it."""

import json
import os
from collections.abc import Callable, Collection, Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from truing.core.config import Config
from truing.core.errors import InputError
from truing.core.records import Comparison, Judged, Record
from truing.ledger.disk import sync_folder
from truing.loops.context import Context
from truing.loops.recipe import Step, StepResult
from truing.loops.verbs.dataset import read_rows
from truing.loops.verbs.judged import read_judged_rows
from truing.train import preference, sft, unpaired
from truing.train.records import TrainStart, TrainStep

if TYPE_CHECKING:
    from truing.engine.chat import Chat
    from truing.engine.tree import TokenSequence

POLICY = "policy"
_SPEEDS = {"tokens_per_second", "rollout_seconds", "training_seconds"}  # what a kept curve leaves out


class SFT:
    """Supervised fine-tuning on each row's rewritten answer, or else its better one; both-bad rows without a rewrite
    are left out."""

    name, version, kind = "sft", sft.VERSION, "adapter"
    config: type[Config] = sft.SFTConfig
    roles: Mapping[str, str] = {"data": "dataset"}
    optional_roles: Mapping[str, str] = {}
    uses_model = True

    def reads(self, _config: Config, _roles: Collection[str], _context: Context) -> Mapping[str, str]:
        """Nothing outside the ledger."""
        return {}

    def run(self, step: Step, config: sft.SFTConfig) -> Generator[Record, None, StepResult]:
        """Write the adapter and steps.jsonl."""
        yield from step.context.notices()
        chat = chat_of(step)
        rows, left_out = usable_rows(step, lambda row: bool(row.rewrite) or not row.both_bad)
        answers = [one_of(chat, row, row.rewrite or row.chosen) for row in rows]
        records = sft.train_sft(
            step.context.trunk, answers, config, twins=twins(rows), seed=step.seed, name=POLICY, **keeping(step)
        )
        return (yield from _train(step, records, left_out))


class Preference:
    """A preference loss on a dataset's pairs, from the bare trunk or from the adapter in the role `start_from`. Ties
    and both-bad rows are left out."""

    name, version, kind = "preference", preference.VERSION, "adapter"
    config: type[Config] = preference.PreferenceConfig
    roles: Mapping[str, str] = {"data": "dataset"}
    optional_roles: Mapping[str, str] = {"start_from": "adapter"}
    uses_model = True

    def reads(self, _config: Config, _roles: Collection[str], _context: Context) -> Mapping[str, str]:
        """Nothing outside the ledger."""
        return {}

    def run(self, step: Step, config: preference.PreferenceConfig) -> Generator[Record, None, StepResult]:
        """Write the adapter and steps.jsonl."""
        yield from step.context.notices()
        chat = chat_of(step)
        rows, left_out = usable_rows(step, lambda row: not (row.tie or row.both_bad))
        pairs = [(one_of(chat, row, row.chosen), one_of(chat, row, row.rejected)) for row in rows]
        records = preference.train_preference(
            step.context.trunk,
            pairs,
            config,
            twins=twins(rows),
            seed=step.seed,
            name=POLICY,
            start_from=step.parent_folder("start_from") if "start_from" in step.parents else None,
            **keeping(step),
        )
        return (yield from _train(step, records, left_out))


class Unpaired:
    """KTO or BCO on judged answers, from the bare trunk or from the adapter in the role `start_from`."""

    name, version, kind = "unpaired", unpaired.VERSION, "adapter"
    config: type[Config] = unpaired.UnpairedConfig
    roles: Mapping[str, str] = {"data": "judged"}
    optional_roles: Mapping[str, str] = {"start_from": "adapter"}
    uses_model = True

    def reads(self, _config: Config, _roles: Collection[str], _context: Context) -> Mapping[str, str]:
        """Nothing outside the ledger."""
        return {}

    def run(self, step: Step, config: unpaired.UnpairedConfig) -> Generator[Record, None, StepResult]:
        """Write the adapter and steps.jsonl."""
        yield from step.context.notices()
        chat, rows = chat_of(step), read_judged_rows(step.parent_folder("data"))
        records = unpaired.train_unpaired(
            step.context.trunk,
            [(one_of(chat, row, row.completion), row.good) for row in rows],
            config,
            seed=step.seed,
            name=POLICY,
            start_from=step.parent_folder("start_from") if "start_from" in step.parents else None,
            **keeping(step),
        )
        return (yield from _train(step, records, left_out=0))


def chat_of(step: Step) -> "Chat":
    from truing.engine.chat import Chat

    return Chat(step.context.trunk.tokenizer, step.context.trunk.context)


def usable_rows(step: Step, usable: Callable[[Comparison], bool]) -> tuple[list[Comparison], int]:
    """The training rows to use, and how many are left out. Raises `InputError` where none is usable."""
    rows = read_rows(step.parent_folder("data"), "train")
    kept = [row for row in rows if usable(row)]
    if not kept:
        raise InputError(
            f"[{step.name}] nothing to train on: {len(rows)} training rows, and none that says what is better"
        )
    return kept, len(rows) - len(kept)


def twins(rows: Sequence[Comparison]) -> list[str]:
    """What marks rows that belong together: their pair, or else their own id."""
    return [row.pair or row.id for row in rows]


def one_of(chat: "Chat", row: Comparison | Judged, answer: str) -> "TokenSequence":
    """A row's prompt with one of its answers, as tokens; a row that does not fit is named."""
    try:
        return chat.sequence(row.prompt, answer)
    except InputError as error:
        raise InputError(f"row {row.id}: {error}") from None


def keeping(step: Step, part: str = "") -> dict[str, Any]:
    """Where a run keeps what it must not lose, and what other runs may share. `part`: one of several runs of a step."""
    ledger = step.context.ledger
    folder = ledger.workspace(step.key) / part
    folder.mkdir(exist_ok=True)
    return {"store": ledger.store, "checkpoint": folder / "checkpoint.safetensors"}


def _train(step: Step, records: Iterator[Record], left_out: int) -> Generator[Record, None, StepResult]:
    """Pass the records on, keep the curve, and save the adapter."""
    from truing.engine.adapters import remove_adapter, save_adapter

    trunk = step.context.trunk
    curve = step.context.ledger.workspace(step.key) / "steps.jsonl"
    try:
        settled = yield from keep_curve(records, curve)
        save_adapter(trunk, POLICY, step.folder)
    finally:
        if trunk.peft is not None or trunk.full:
            remove_adapter(trunk, POLICY)
    last = write_curve(curve, step.folder / "steps.jsonl")
    metrics = {name: last.get(name) for name in ("steps", "loss", "margin")}
    return StepResult(metrics={**metrics, "left_out": left_out, **settled})


def keep_curve(records: Iterator[Record], curve: Path) -> Generator[Record, None, dict[str, float | str | None]]:
    """Pass a trainer's records on, and keep its steps in `curve`, in the step's workspace (a resumed run adds to it);
    returns what the run settled. A step's line is on the disk before its checkpoint is: a curve never lacks a step that
    a checkpoint counts."""
    settled: dict[str, float | str | None] = {}
    with curve.open("a", encoding="utf-8") as file:
        file.write("\n")  # ends a line that a kill cut short
        sync_folder(curve.parent)
        for record in records:
            if isinstance(record, TrainStart):
                settled = {"microbatch_tokens": record.microbatch_tokens, "computed": "; ".join(record.computed)}
            if isinstance(record, TrainStep):
                file.write(record.model_dump_json() + "\n")
                file.flush()
                os.fsync(file.fileno())
            yield record
    return settled


def write_curve(written: Path, target: Path) -> dict[str, Any]:
    """One record a step, without its speeds: equal inputs make equal artifacts. Where a killed run repeated steps after
    its checkpoint, the later record counts. Returns the last (empty where somebody took the curve away)."""
    by_step: dict[int, dict[str, Any]] = {}
    for line in written.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            record = json.loads(line)
        except json.JSONDecodeError:
            continue  # empty, or cut short by a kill: its step was run again
        by_step[record["step"]] = {**record, **dict.fromkeys(_SPEEDS & record.keys())}
    curve = [by_step[number] for number in sorted(by_step)]
    target.write_text("".join(json.dumps(record) + "\n" for record in curve), encoding="utf-8")
    return curve[-1] if curve else {}
