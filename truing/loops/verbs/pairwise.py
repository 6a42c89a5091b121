"""The verb `pairwise`: two evaluations' answers to the same prompts, compared by a model in both orders.

An item of which a side has no answer is unknown. Every pair's verdict stands in pairs.jsonl, the win rate with its
interval and the judge's liking for a place in pairwise.json.
"""

from collections.abc import Collection, Generator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from pydantic import Field

from truing.core.config import Config
from truing.core.errors import InputError
from truing.core.records import ItemResult, Message, Progress, Record
from truing.engine.settings import ModelConfig
from truing.evals.artifact import read_items
from truing.evals.compare import by_task, check_same_items
from truing.evals.task import evenly
from truing.judges.pairwise import Preference, WinRate, win_rate
from truing.loops.context import Context
from truing.loops.judges import Asking, open_pairwise
from truing.loops.recipe import Step, StepResult
from truing.loops.verbs.subject import count_since

_FILE, _PAIRS = "pairwise.json", "pairs.jsonl"


class PairwiseConfig(Config):
    """`by`: a rubric's TOML file, whose criterion says which answer is better. `task`: the metric whose answers are
    compared (none: the only one that has any); `limit`: so many of them, evenly spaced."""

    by: str
    judge_model: ModelConfig = ModelConfig()
    task: str | None = None
    limit: int | None = Field(default=None, ge=1)


class ComparedPair(Record):
    """One item's verdict."""

    task: str
    item: str
    cluster: str
    prompt: str
    preference: Preference


class Pairwise(Record):
    """What a comparison came to, and by whom."""

    judge: str
    task: str
    pairs: int
    result: WinRate


class PairwiseAnswers:
    """The verb `pairwise`: the evaluation in the role `a` against that in `b`."""

    name, version, kind = "pairwise", 1, "pairwise"
    config: type[Config] = PairwiseConfig
    roles: Mapping[str, str] = {"a": "evaluation", "b": "evaluation"}
    optional_roles: Mapping[str, str] = {}
    uses_model = False

    def reads(self, config: PairwiseConfig, _roles: Collection[str], context: Context) -> Mapping[str, str]:
        """Who judges. Raises `InputError` where nobody does."""
        judge, asked = open_pairwise(config.by, context.root, Asking(config.judge_model, context.judging))
        return {"judge": judge.version, **{f"asked_{key}": str(value) for key, value in asked.identity.items()}}

    def run(self, step: Step, config: PairwiseConfig) -> Generator[Record, None, StepResult]:
        """Write pairs.jsonl and pairwise.json."""
        context = step.context
        judge, asked = open_pairwise(config.by, context.root, Asking(config.judge_model, context.judging))
        deployed = asked.context.deployed
        if deployed is not None:
            asked.since, notice = count_since(
                context.ledger, step.key, asked.context.remote, deployed, datetime.now(UTC)
            )
            yield notice
        both = [read_items(step.parent_folder(role)) for role in self.roles]
        ours, theirs = _answers(both[0], both[1], config)
        found = [Preference(better=None, first=None, second=None)] * len(ours)
        asking = [
            number for number in range(len(ours)) if ours[number].answer.strip() and theirs[number].answer.strip()
        ]
        rows = [
            ((Message(role="user", content=ours[number].prompt),), ours[number].answer, theirs[number].answer)
            for number in asking
        ]
        for done, (place, verdict) in enumerate(judge.compare_all(rows), start=1):
            found[asking[place]] = verdict
            yield Progress(stage="comparing", done=done, total=len(rows))
        result = win_rate(found, [item.cluster for item in ours])
        told = Pairwise(judge=judge.version, task=ours[0].task, pairs=len(ours), result=result)
        (step.folder / _FILE).write_text(told.model_dump_json(indent=1), encoding="utf-8")
        lines = "".join(
            ComparedPair(
                task=item.task, item=item.item, cluster=item.cluster, prompt=item.prompt, preference=one
            ).model_dump_json()
            + "\n"
            for item, one in zip(ours, found, strict=True)
        )
        (step.folder / _PAIRS).write_text(lines, encoding="utf-8")
        bias = result.bias
        metrics = {
            "win_rate": result.rate,
            "ties": float(result.ties),
            "unknown": float(result.unknown),
            "by_place": float(bias.first_both + bias.second_both),
        }
        return StepResult(metrics=metrics, observation=deployed is not None)


def _answers(
    ours: Sequence[ItemResult], theirs: Sequence[ItemResult], config: PairwiseConfig
) -> tuple[list[ItemResult], list[ItemResult]]:
    """Both sides' items of the metric, in one order. Raises `InputError` where they do not share one."""
    sides = [by_task(side) for side in (ours, theirs)]
    answered = [
        task
        for task in sides[0]
        if task in sides[1] and all(any(item.answer.strip() for item in side[task].values()) for side in sides)
    ]
    if config.task not in answered and (config.task is not None or len(answered) != 1):
        which = f"of {config.task} there are none" if config.task else "no metric is named"
        raise InputError(
            f"which answers are compared? {which}; both evaluations have answers of "
            f"{', '.join(answered) or 'no metric'}: name one with --task"
        )
    task = config.task or answered[0]
    check_same_items(task, sides[0][task], sides[1][task])
    names = evenly(list(sides[0][task]), config.limit)
    mine, other = ([side[task][name] for name in names] for side in sides)
    return mine, other


def read_pairwise(folder: Path) -> Pairwise:
    """What an artifact's comparison came to."""
    return Pairwise.model_validate_json((folder / _FILE).read_text(encoding="utf-8"))
