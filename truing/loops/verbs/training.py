"""The verbs `sft` and `preference`: comparisons in, an adapter in PEFT's form out, with the training curve beside it."""

import json
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from truing.core.config import Config
from truing.core.errors import InputError
from truing.core.records import Comparison, Record
from truing.loops.context import Context
from truing.loops.recipe import Step, StepResult
from truing.loops.verbs.dataset import read_rows
from truing.train import preference, sft
from truing.train.records import TrainStep

if TYPE_CHECKING:
    from truing.engine.chat import Chat
    from truing.engine.tree import TokenSequence

POLICY = "policy"
Loop = Callable[["Chat", list[Comparison], Path, dict[str, Any]], Iterator[Record]]


class SFT:
    """Supervised fine-tuning on the better answers of a dataset."""

    name, version, kind = "sft", sft.VERSION, "adapter"
    config = sft.SFTConfig
    roles: tuple[str, ...] = ("data",)
    optional_roles: tuple[str, ...] = ()
    uses_model = True

    def reads(self, config: Config, context: Context) -> Mapping[str, str]:
        """Nothing outside the ledger."""
        return {}

    def run(self, step: Step, config: sft.SFTConfig) -> Generator[Record, None, StepResult]:
        """Write the adapter and steps.jsonl."""
        from truing.engine.chat import Chat

        chat = Chat(step.context.trunk.tokenizer, step.context.trunk.context)
        rows = [one_of(chat, row, row.chosen) for row in read_rows(step.parent_folder("data"), "train")]
        records = sft.train_sft(
            step.context.trunk, rows, config.model_copy(update={"seed": step.seed}), name=POLICY, **_keeping(step)
        )
        return (yield from _train(step, records))


class Preference:
    """DPO and its variants on a dataset's pairs, from the bare trunk or from the adapter in the role `start_from`."""

    name, version, kind = "preference", preference.VERSION, "adapter"
    config = preference.PreferenceConfig
    roles: tuple[str, ...] = ("data",)
    optional_roles: tuple[str, ...] = ("start_from",)
    uses_model = True

    def reads(self, config: Config, context: Context) -> Mapping[str, str]:
        """Nothing outside the ledger."""
        return {}

    def run(self, step: Step, config: preference.PreferenceConfig) -> Generator[Record, None, StepResult]:
        """Write the adapter and steps.jsonl."""
        from truing.engine.chat import Chat

        chat = Chat(step.context.trunk.tokenizer, step.context.trunk.context)
        rows = read_rows(step.parent_folder("data"), "train")
        pairs = [
            (one_of(chat, row, row.chosen), one_of(chat, row, row.rejected))
            for row in rows
            if not (row.tie or row.both_bad)
        ]
        records = preference.train_preference(
            step.context.trunk,
            pairs,
            config.model_copy(update={"seed": step.seed}),
            name=POLICY,
            start_from=step.parent_folder("start_from") if "start_from" in step.parents else None,
            **_keeping(step),
        )
        return (yield from _train(step, records))


def one_of(chat: "Chat", row: Comparison, answer: str) -> "TokenSequence":
    """A row's prompt with one of its answers, as tokens; a row that does not fit is named."""
    try:
        return chat.sequence(row.prompt, answer)
    except InputError as error:
        raise InputError(f"row {row.id}: {error}") from None


def _keeping(step: Step) -> dict[str, Any]:
    """Where a run keeps what it must not lose, and what other runs may share."""
    ledger = step.context.ledger
    return {
        "store": ledger.store,
        "checkpoint": ledger.workspace(step.key) / "checkpoint.safetensors",
        "fingerprint": step.key,
    }


def _train(step: Step, records: Iterator[Record]) -> Generator[Record, None, StepResult]:
    """Pass the records on, keep the curve in the step's workspace (a resumed run adds to it), and save the adapter."""
    from truing.engine.adapters import remove_adapter, save_adapter

    trunk = step.context.trunk
    curve = step.context.ledger.workspace(step.key) / "steps.jsonl"
    last: TrainStep | None = None
    try:
        with curve.open("a", encoding="utf-8") as file:
            for record in records:
                if isinstance(record, TrainStep):
                    last = record
                    file.write(record.model_dump_json() + "\n")
                    file.flush()
                yield record
        save_adapter(trunk, POLICY, step.folder)
    finally:
        if trunk.peft is not None:
            remove_adapter(trunk, POLICY)
    _write_curve(curve, step.folder / "steps.jsonl")
    metrics = {} if last is None else {"steps": last.steps, "loss": last.loss, "margin": last.margin}
    return StepResult(metrics=metrics)


def _write_curve(written: Path, target: Path) -> None:
    """One record a step: where a killed run repeated steps after its checkpoint, the later record counts."""
    by_step: dict[int, str] = {}
    for line in written.read_text(encoding="utf-8").splitlines():
        try:
            by_step[json.loads(line)["step"]] = line
        except json.JSONDecodeError:
            continue  # the line that a kill cut short; its step was run again
    lines: Sequence[str] = [by_step[number] for number in sorted(by_step)]
    target.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
