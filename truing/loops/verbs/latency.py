"""The verb `latency`: how fast the model, bare or with an adapter, answers the prompts of a file, here and now.

Always an observation: it has no key, so that no run finds it again. Nothing that it is told is kept by content.
"""

from collections.abc import Collection, Generator, Mapping
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

from pydantic import Field

from truing.core.config import Config
from truing.core.digest import digest_file
from truing.core.errors import InputError
from truing.core.protocols import Sampler
from truing.core.records import Conversation, Decoding, Progress, Record
from truing.data.prompts import read_prompts
from truing.evals.latency import Latency, Machine, Timed, machine, measure, summarised
from truing.evals.task import evenly
from truing.loops.context import Context
from truing.loops.recipe import Step, StepResult
from truing.loops.verbs.evaluation import open_local

KIND = "latency"
_FILE, _TIMES = "latency.json", "times.jsonl"


class LatencyConfig(Config):
    """`prompts`: a file of them; `limit` of them, evenly spaced. Greedy answers of at most `max_new_tokens`."""

    prompts: str
    limit: int | None = Field(default=None, ge=1)
    max_new_tokens: int = Field(default=40, ge=2)


class MeasureLatency:
    """The verb `latency`."""

    name, version, kind = "latency", 1, KIND
    config: type[Config] = LatencyConfig
    roles: Mapping[str, str] = {}
    optional_roles: Mapping[str, str] = {"adapter": "adapter"}
    uses_model = True

    def reads(self, config: LatencyConfig, roles: Collection[str], context: Context) -> Mapping[str, str]:
        """The file of prompts. Raises `InputError` where it cannot be read."""
        read_prompts(Path(config.prompts))
        if context.deployed is not None:
            if "adapter" in roles:
                raise InputError(f"an adapter needs weights, and {context.model.name} is a deployed model")
            context.remote  # noqa: B018 (its key and library are there)
        return {"file": digest_file(Path(config.prompts))}

    def run(self, step: Step, config: LatencyConfig) -> Generator[Record, None, StepResult]:
        """Write times.jsonl, a line a prompt, and latency.json."""
        prompts = evenly(read_prompts(Path(config.prompts)), config.limit)
        found: list[Timed] = []
        with ExitStack() as opened:
            system, where = _opened(step, config, prompts, opened)
            began = datetime.now(UTC)
            for timed in measure(system, prompts, config.max_new_tokens):
                found.append(timed)
                yield Progress(stage="timing", done=len(found), total=len(prompts))
        told = Latency(
            model=step.context.model.name,
            machine=where,
            began=began,
            ended=datetime.now(UTC),
            prompts=len(found),
            unknown=sum(bool(one.missing) for one in found),
            no_pace=sum(not one.missing and one.pace is None for one in found),
            max_new_tokens=config.max_new_tokens,
            first_token_seconds=summarised(found, lambda one: one.first),
            tokens_per_second=summarised(found, lambda one: one.pace),
            answer_seconds=summarised(found, lambda one: one.whole),
        )
        (step.folder / _FILE).write_text(told.model_dump_json(indent=1), encoding="utf-8")
        (step.folder / _TIMES).write_text("".join(one.model_dump_json() + "\n" for one in found), encoding="utf-8")
        metrics = {
            "first_token_p50": told.first_token_seconds["p50"].value,
            "first_token_p95": told.first_token_seconds["p95"].value,
            "tokens_per_second_p50": told.tokens_per_second["p50"].value,
        }
        return StepResult(metrics=metrics, observation=True)


def _opened(
    step: Step, config: LatencyConfig, prompts: list[Conversation], opened: ExitStack
) -> tuple[Sampler, Machine]:
    """What answers, and where. Raises `InputError` for a prompt that does not fit."""
    context = step.context
    if context.deployed is not None:
        return context.remote, machine(context.remote.address, None)
    import torch

    system, _, close = open_local(context, step.parent_folder("adapter") if "adapter" in step.parents else None)
    opened.callback(close)
    decoding = Decoding(max_new_tokens=config.max_new_tokens)
    for number, prompt in enumerate(prompts, start=1):
        if reason := system.misfit(prompt, decoding):
            raise InputError(f"{config.prompts}: prompt {number} {reason}; leave it out")
    return system, machine(str(context.trunk.device), torch.get_num_threads())


def read_latency(folder: Path) -> Latency:
    """What an artifact holds."""
    return Latency.model_validate_json((folder / _FILE).read_text(encoding="utf-8"))
