"""The verb `evaluate`: the model, bare or with an adapter, on a dataset's probes and on public benchmarks at hand."""

import json
from collections import defaultdict
from collections.abc import Callable, Collection, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from truing.core.config import Config
from truing.core.digest import digest, digest_file
from truing.core.errors import InputError
from truing.core.records import Decoding, ItemResult, Probe, Record
from truing.data.native import read_probes
from truing.evals.run import ANSWER_TASKS, VERSION, count_items, evaluate
from truing.evals.task import evenly, missing_files
from truing.evals.tasks.advbench import ADVBENCH
from truing.evals.tasks.xstest import XSTEST
from truing.loops.context import Context
from truing.loops.events import Total
from truing.loops.recipe import Step, StepResult
from truing.loops.verbs.kinds import REWARD

if TYPE_CHECKING:
    from truing.providers.local import LocalSystem
    from truing.providers.stored import Stored

_BENCHMARKS = (ADVBENCH, XSTEST)


class EvaluateConfig(Config):
    """Greedy answers of at most `max_new_tokens`, and drawn ones of as many. `benchmark_items` of each public set are
    measured (evenly spaced)."""

    max_new_tokens: int = Field(default=40, ge=1)
    benchmark_items: int = Field(default=64, ge=0)


class Evaluate:
    """The verb `evaluate`. With a reward model in the role `gold_model`, answers to the dataset's own probes are also
    drawn, and held against the bare model's by it."""

    name, version, kind = "evaluate", VERSION, "evaluation"
    config: type[Config] = EvaluateConfig
    roles: Mapping[str, str] = {"data": "dataset"}
    optional_roles: Mapping[str, str] = {"adapter": "adapter", "gold_model": REWARD}
    uses_model = True

    def reads(self, config: EvaluateConfig, _roles: Collection[str], context: Context) -> Mapping[str, str]:
        """The benchmark files that are at hand, and which judges there are: another version may judge otherwise."""
        folder = _benchmark_folder(context, config)
        files = [] if folder is None else [path for task in _BENCHMARKS for path in task.files(folder)]
        return {
            "benchmarks": digest([digest_file(path) for path in files]),
            "judges": ", ".join(sorted({task.judge.version for task in ANSWER_TASKS})),
        }

    def run(self, step: Step, config: EvaluateConfig) -> Generator[Record, None, StepResult]:
        """Write items.jsonl (one line an item) and summary.json."""
        own = read_probes(step.parent_folder("data") / "probes.jsonl")
        folder = _benchmark_folder(step.context, config)
        probes = own + ([] if folder is None else benchmark_probes(folder, config.benchmark_items))
        duelling = own if "gold_model" in step.parents else []
        if not probes or ("gold_model" in step.parents and not own):
            raise InputError(f"[{step.name}] there is nothing to measure: the dataset has no probes; give it some")
        yield from step.context.notices()
        yield Total(items=count_items(probes) + len(duelling))
        items: list[ItemResult] = []
        with ExitStack() as opened:
            for record in _tasks(step, config, probes, duelling, opened):
                if isinstance(record, ItemResult):
                    items.append(record)
                yield record
        order = {probe.id: number for number, probe in enumerate(probes)}
        items.sort(key=lambda item: (item.task, order[item.item]))
        summary = write_items(step.folder, items)
        return StepResult(metrics={task: values["mean"] for task, values in summary.items()})


def _tasks(
    step: Step, config: EvaluateConfig, probes: list[Probe], duelling: list[Probe], opened: ExitStack
) -> Iterator[Record]:
    """Every task's records; what has to be closed afterwards is left to `opened`."""
    from truing.evals.tasks.duel import duels
    from truing.providers.reward import RewardModel
    from truing.providers.stored import StoredReward

    context = step.context
    system, reference, close = open_systems(
        context, step.parent_folder("adapter") if "adapter" in step.parents else None
    )
    opened.callback(close)
    yield from evaluate(system, reference, probes, Decoding(max_new_tokens=config.max_new_tokens))
    if duelling:
        gold = RewardModel(context.trunk, step.parent_folder("gold_model"), name="gold")
        opened.callback(gold.close)
        drawn = Decoding(temperature=1.0, max_new_tokens=config.max_new_tokens)
        yield from duels(system, reference, StoredReward(gold, context.ledger.store), duelling, drawn)


def open_systems(context: Context, adapter: Path | None) -> "tuple[Stored, Stored, Callable[[], None]]":
    """The system to measure and its reference (the bare trunk), both kept by content, and what closes them."""
    from truing.providers.stored import Stored

    *systems, close = open_local(context, adapter)
    system, reference = (Stored(one, one, one.identity, context.ledger.store) for one in systems)
    return system, reference, close


def open_local(context: Context, adapter: Path | None) -> "tuple[LocalSystem, LocalSystem, Callable[[], None]]":
    """As `open_systems`, but nothing that they answer is kept."""
    from truing.engine.adapters import adapter_files, load_adapter, remove_adapter
    from truing.providers.local import LocalSystem

    trunk, store = context.trunk, context.ledger.store
    # Another device rounds otherwise.
    device = [] if trunk.device.type == "cpu" else [trunk.device.type]
    identity = [trunk.sha256, str(trunk.dtype), trunk.tokenizer.chat_template, *device]
    if adapter is None:
        bare = LocalSystem(trunk, store=store, identity=digest([*identity, ""]))
        return bare, bare, lambda: None
    first = load_adapter(trunk, adapter, "measured")
    # The same matrices under another alpha are another adapter.
    weights = digest([digest_file(file) for file in adapter_files(adapter)])
    system = LocalSystem(trunk, "measured", first_layer=first, store=store, identity=digest([*identity, weights]))
    reference = LocalSystem(trunk, None, first_layer=first, store=store, identity=digest([*identity, ""]))
    return system, reference, lambda: remove_adapter(trunk, "measured")


def _benchmark_folder(context: Context, config: EvaluateConfig) -> Path | None:
    """The folder of public sets, where they are to be measured. Raises `InputError` if it lacks one of their files."""
    if context.benchmarks is None or config.benchmark_items == 0:
        return None
    for task in _BENCHMARKS:
        if missing := missing_files(task, context.benchmarks):
            needed = ", ".join(str(path) for one in _BENCHMARKS for path in one.files(Path()))
            raise InputError(f"--benchmarks {context.benchmarks}: there is no {missing[0]}; it needs {needed}")
    return context.benchmarks


def benchmark_probes(folder: Path, count: int) -> list[Probe]:
    """`count` evenly spaced prompts of AdvBench and of each half of XSTest. Raises `InputError` where a row cannot be
    used."""
    groups: dict[str, list[Probe]] = defaultdict(list)
    for task in _BENCHMARKS:
        loaded = task.read(folder)
        if loaded.bad:
            first = loaded.bad[0]
            raise InputError(f"{first.file}, {first.unit} {first.line}: {first.reason}; fetch the file again")
        for row in loaded.rows:
            probe = task.asks(row)
            assert isinstance(probe, Probe)
            groups[probe.group].append(probe)
    return [
        probe.model_copy(update={"id": f"{group}-{place}"})  # a set's own ids may be those of the dataset's probes
        for group, probes in groups.items()
        for place, probe in evenly(list(enumerate(probes)), count)
    ]


def write_items(folder: Path, items: Sequence[ItemResult]) -> dict[str, dict[str, float | None]]:
    """Write items.jsonl (one line an item) and summary.json, which is returned."""
    lines = "".join(item.model_dump_json() + "\n" for item in items)
    (folder / "items.jsonl").write_text(lines, encoding="utf-8")
    summary = summarise(list(items))
    (folder / "summary.json").write_text(json.dumps(summary, indent=1), encoding="utf-8")
    return summary


def summarise(items: list[ItemResult]) -> dict[str, dict[str, float | None]]:
    """Per task: the mean of the known values, the number of items, and how many are unknown or were cut."""
    by_task: dict[str, list[ItemResult]] = defaultdict(list)
    for item in items:
        by_task[item.task].append(item)
    summary: dict[str, dict[str, float | None]] = {}
    for task, results in by_task.items():
        known = [item.value for item in results if item.value is not None]
        summary[task] = {
            "mean": sum(known) / len(known) if known else None,
            "n": len(results),
            "unknown": len(results) - len(known),
            "cut": sum(item.finished is False for item in results),
        }
    return summary
