"""Judges by name, as the command line and recipes say them, and the models that they ask."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from truing.core.errors import InputError
from truing.core.protocols import Judge, Store
from truing.core.records import Answer, Conversation, Decoding
from truing.engine.settings import ModelConfig
from truing.evals.tasks.harmbench import NotRefused
from truing.judges.refusal import MEASURED, RefusalJudge
from truing.judges.validate import JudgeAccuracy
from truing.ledger.artifacts import Artifact
from truing.ledger.ledger import Ledger
from truing.loops.context import Context, Deployed
from truing.loops.verbs.judge import KIND
from truing.providers.names import is_deployed

if TYPE_CHECKING:
    from truing.engine.trunk import Trunk
    from truing.evals.task import Subject
    from truing.judges.pairwise import PairwiseJudge, PairwiseReader

CLASSIFIER, RUBRIC = "harmbench-cls:", ".toml"
LEDGER = "ledger:"
_STRINGS = ("refusal", "not-refused")
_GRADER = "strongreject"


class AskedModel:
    """The model that a judge asks, local or deployed: loaded, or connected to, when it is first asked. What it says is
    kept, a local model's by content, a deployed one's with its time: it counts again from `since` on."""

    def __init__(self, context: Context) -> None:
        """Raises `InputError` where there is no such model, or no key or library for it."""
        self.context, self.since = context, datetime.now(UTC)
        self.identity = context.model_identity()
        deployed = context.deployed is not None
        behind = context.remote.identity if deployed else context.model_sha256
        self.name = f"{context.model.name} {behind[:12]}"

    def opens(self) -> "tuple[Trunk, Store]":
        """A local model's weights, and what keeps what is read of it."""
        return self.context.trunk, self.context.ledger.store

    @cached_property
    def _local(self) -> "Subject":
        from truing.loops.verbs.subject import open_kept

        measured, _ = open_kept(self.context, None)
        return measured.subject

    def sample(self, prompts: Sequence[Conversation], decoding: Decoding) -> Iterator[tuple[int, Answer]]:
        """As a `Sampler`."""
        if self.context.deployed is None:
            return self._local.sampler.sample(prompts, decoding)
        from truing.providers.observed import Observed

        remote = self.context.remote
        return Observed(remote, remote.identity, self.context.ledger.store, self.since).sample(prompts, decoding)

    def misfit(self, prompt: Conversation, decoding: Decoding) -> str:
        """Why it cannot take a prompt; empty where it can."""
        return "" if self.context.deployed is not None else self._local.misfit(prompt, decoding)


@dataclass(frozen=True)
class Asking:
    """Whom a judge asks that asks a model (`deployed`: how, if it is one), and the form of a classifier's prompt."""

    model: ModelConfig = field(default_factory=ModelConfig)
    deployed: Deployed | None = None
    template: str = ""


@dataclass(frozen=True)
class NamedJudge:
    """A judge by its name, the question that it answers (None: one that no labelled set asks; marks: StrongREJECT's
    rubric), the artifact and folder of a trained one, its accuracy where it carries one, and the model that it asks."""

    name: str
    judge: Judge
    question: Literal["refusal", "harm", "marks"] | None
    artifact: Artifact | None = None
    folder: Path | None = None
    accuracy: JudgeAccuracy | None = None
    asked: AskedModel | None = None


def is_trained(name: str) -> bool:
    """Whether a judge's name means a trained one of the ledger."""
    return name not in (*_STRINGS, _GRADER) and not name.endswith(RUBRIC) and not name.startswith(CLASSIFIER)


def open_judge(name: str, ledger: Path, asking: Asking) -> NamedJudge:
    """`refusal`; `not-refused`, its opposite, which stands in for a judge of harm; `strongreject`, that set's rubric;
    `harmbench-cls:MODEL`, HarmBench's own classifier; a rubric's TOML file; or a trained judge of the ledger, by name
    or id, with or without `ledger:`. A model that is asked, or read, is opened when the first answer is judged.

    Raises `InputError` where there is none.
    """
    if asking.template and not name.startswith(CLASSIFIER):
        raise InputError(f"a template is the form of a classifier's prompt, and the judge {name} is none; leave it out")
    if name == "refusal":
        return NamedJudge(name, RefusalJudge(), "refusal", accuracy=MEASURED[0])
    if name == "not-refused":
        failed = next(one for one in MEASURED if one.data.startswith("HarmBench"))
        return NamedJudge(name, NotRefused(), "harm", accuracy=failed.opposite())
    if name == _GRADER:
        from truing.judges.strongreject import StrongRejectJudge

        asked = _asked(ledger, asking)
        return NamedJudge(name, StrongRejectJudge(asked, asked.name, asked.misfit), "marks", asked=asked)
    if name.startswith(CLASSIFIER):
        return _classifier(name, ledger, asking)
    if name.endswith(RUBRIC):
        return _rubric(name, ledger, asking)
    return open_trained(name, ledger)


def _asked(ledger: Path, asking: Asking) -> AskedModel:
    if is_deployed(asking.model.name) and asking.deployed is None:
        raise InputError(
            f"{asking.model.name} is a deployed model: as a judge it is asked by `truing eval --judge` and "
            "`truing judge`, not by a recipe; name a local model"
        )
    return AskedModel(Context(ledger, asking.model, None, asking.deployed))


def _rubric(name: str, ledger: Path, asking: Asking) -> NamedJudge:
    from truing.judges.asked import RubricJudge, read_rubric

    rubric = read_rubric(Path(name))
    if rubric.read == "json":
        asked = _asked(ledger, asking)
        return NamedJudge(name, RubricJudge(asked, rubric, asked.name, asked.misfit), rubric.question, asked=asked)
    asked = _read(f'{name} has read = "logprobs"', ledger, asking)
    from truing.judges.verdicts import RubricReader

    return NamedJudge(name, RubricReader(asked.opens, rubric, asked.name), rubric.question, asked=asked)


def open_pairwise(name: str, ledger: Path, asking: Asking) -> "tuple[PairwiseJudge | PairwiseReader, AskedModel]":
    """A judge of pairs by the criterion of a rubric's TOML file, and the model that it asks. Raises `InputError`."""
    from truing.judges.asked import read_rubric
    from truing.judges.pairwise import PairwiseJudge, PairwiseReader

    if not name.endswith(RUBRIC):
        raise InputError(f"{name!r}: pairs are compared by a criterion; name a rubric's file (*{RUBRIC})")
    rubric = read_rubric(Path(name))
    if rubric.read == "logprobs":
        asked = _read(f'{name} has read = "logprobs"', ledger, asking)
        return PairwiseReader(asked.opens, rubric, asked.name), asked
    asked = _asked(ledger, asking)
    return PairwiseJudge(asked, rubric.criterion, asked.name, rubric.max_new_tokens, asked.misfit), asked


def _classifier(name: str, ledger: Path, asking: Asking) -> NamedJudge:
    if not asking.template:
        raise InputError(
            f"{name}: give the form of its prompt, a TOML file with the keys prompt and prompt_contextual, by "
            "--judge-template (of `truing judge`, --template); the model's page has both (LLAMA2_CLS_PROMPT)"
        )
    from truing.judges.harmbench import HarmBenchClassifier, read_template

    template = read_template(Path(asking.template))
    model = ModelConfig.parse({**asking.model.model_dump(), "name": name.removeprefix(CLASSIFIER)}, name)
    asked = _read(name, ledger, Asking(model))
    return NamedJudge(name, HarmBenchClassifier(asked.opens, template, asked.name), "harm", asked=asked)


def _read(what: str, ledger: Path, asking: Asking) -> AskedModel:
    """A model whose log-probabilities are read."""
    if is_deployed(asking.model.name):
        raise InputError(
            f"{what}, which needs the log-probabilities of given texts, and {asking.model.name} is a deployed model, "
            "which does not give them; name a local model"
        )
    return _asked(ledger, asking)


def open_trained(name: str, ledger: Path) -> NamedJudge:
    """A trained judge of the ledger. Its trunk is loaded when the first answer is judged."""
    from truing.judges.trained import TrainedJudge

    try:
        opened = Ledger.open(ledger, create=False)
        found = opened.get(name.removeprefix(LEDGER))
    except InputError as error:
        raise InputError(
            f"there is no judge {name!r}: it is none of refusal, not-refused, strongreject, {CLASSIFIER}MODEL, no "
            f"rubric (*{RUBRIC}), and {error}"
        ) from None
    if found.kind != KIND:
        raise InputError(
            f"{name!r} is of the kind {found.kind!r}; it must be a judge: `truing ls --kind {KIND}` lists those"
        )
    judge = TrainedJudge(opened.folder(found), store=opened.store)
    return NamedJudge(name, judge, judge.settings.question, found, opened.folder(found), judge.settings.accuracy)
