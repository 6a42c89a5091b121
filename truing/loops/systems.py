"""What a name means as a system: a model, one of its adapters, an evaluation, or the candidate of a run that ended at a
gate; which evaluations there are of it, and which command would make one.

Weights are not looked at: of a bare model that was never measured only the name is known.
"""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from truing.engine.settings import ModelConfig
from truing.evals.suite import SUFFIX
from truing.ledger.artifacts import Artifact
from truing.ledger.ledger import Ledger
from truing.providers.names import is_deployed
from truing.starter import STARTER

MODEL_KEYS = (
    "model",
    "model_sha256",
    "model_dtype",
    "model_device",
    "model_template",
    "base_url",
    "system_prompt",
    "model_identity",
)
_DEFAULT: str = ModelConfig().name
ANSWERS = "answers"  # the role of an evaluation whose answers were judged anew
_OF_A_BENCHMARK = ("max_new_tokens", "ties")  # settings that `truing eval --task` takes with --set


@dataclass(frozen=True)
class System:
    """What was named as `reference`: an artifact, or a bare model (`artifact` None). `model` are the model's settings
    as far as they are recorded, `evaluations` those of this system, newest first. Where `is_system` is False, the
    artifact is none: a dataset, a reward model."""

    reference: str
    artifact: Artifact | None
    model: Mapping[str, Any]
    adapter: Artifact | None
    evaluations: tuple[Artifact, ...]
    is_system: bool = True

    @property
    def known_as(self) -> str:
        """Its adapter by name and id, or its model's name."""
        if self.adapter is not None:
            return f"{self.adapter.name} {self.adapter.short}"
        return str(self.model.get("model", self.reference))


def names_a_model(text: str) -> bool:
    """Whether a name is written like a model's: an alias, hf:OWNER/NAME, a folder, a GGUF file, a deployed one."""
    return (
        text == _DEFAULT
        or is_deployed(text)
        or text.startswith("hf:")
        or text.endswith(".gguf")
        or (Path(text) / "config.json").is_file()
    )


def find_system(ledger: Ledger, reference: str) -> System:
    """What a name means. Raises `InputError` where the ledger knows no such artifact."""
    if names_a_model(reference):
        return _bare(ledger, reference)
    named = ledger.get(reference)
    measured = _candidate(ledger, named)
    if measured.kind == "evaluation":
        given = answered_by(ledger, measured)
        return System(reference, named, _model(given), _parent(ledger, given, "adapter"), (measured,))
    if measured.kind == "adapter":
        every = ledger.list("evaluation")
        own = [one for one in every if _parent_id(answered_by(ledger, one), "adapter") == measured.id]
        return System(reference, named, _model(measured), measured, tuple(own))
    return System(reference, named, {}, None, (), is_system=False)


def _bare(ledger: Ledger, name: str) -> System:
    """A model without adapter, as its newest evaluation has it."""
    every = [(one, answered_by(ledger, one)) for one in ledger.list("evaluation")]
    own = [
        (one, given)
        for one, given in every
        if given.config.get("model") == name and _parent_id(given, "adapter") is None
    ]
    newest = _model(own[0][1]) if own else {"model": name}
    return System(name, None, newest, None, tuple(one for one, given in own if _model(given) == newest))


def answered_by(ledger: Ledger, evaluation: Artifact) -> Artifact:
    """The evaluation in which an evaluation's answers were given: itself, unless its answers were judged anew."""
    source = _parent(ledger, evaluation, ANSWERS)
    return evaluation if source is None else answered_by(ledger, source)


def _candidate(ledger: Ledger, artifact: Artifact) -> Artifact:
    """A gate stands for its candidate's evaluation, a report for its gate's."""
    for kind, role in (("report", "gate"), ("comparison", "candidate")):
        if artifact.kind == kind and (parent := _parent(ledger, artifact, role)) is not None:
            artifact = parent
    return artifact


def _model(artifact: Artifact) -> dict[str, Any]:
    return {key: artifact.config[key] for key in MODEL_KEYS if key in artifact.config}


def _parent_id(artifact: Artifact, role: str) -> str | None:
    return next((parent.artifact for parent in artifact.parents if parent.role == role), None)


def _parent(ledger: Ledger, artifact: Artifact, role: str) -> Artifact | None:
    found = _parent_id(artifact, role)
    return None if found is None else ledger.get(found)


def measuring(ledger: Ledger, one: System, other: System) -> list[str]:
    """The commands after which both were measured on common items: what one of them has, the other gets; where neither
    has anything, both get the probes that come with truing."""
    if one.evaluations:
        return [_command(ledger, other, one.evaluations[0])]
    if other.evaluations:
        return [_command(ledger, one, other.evaluations[0])]
    return [_command(ledger, side, None) for side in (one, other)]


def _command(ledger: Ledger, system: System, like: Artifact | None) -> str:
    """`truing eval` of a system, on what `like` measured. DIR and FILE stand for what the ledger does not know."""
    model = str(system.model.get("model", _DEFAULT))
    words = ["truing", "eval", system.adapter.short if system.adapter is not None else model]
    if system.adapter is not None and model != _DEFAULT:
        words += ["--model", model]
    if like is None and is_deployed(model):
        words += ["--task", "TASK", "--data-dir", "DIR"]
    elif like is not None:
        given = answered_by(ledger, like)
        words += _on_tasks(given.config) if given.verb == "benchmark" else _on_probes(ledger, given)
        words += ["--judge", _judge(ledger, like)] if given is not like else []
    template = ["model.template=FILE"] if "model_template" in system.model else []
    settings = [
        f"model.{key}={system.model[f'model_{key}']}" for key in ("dtype", "device") if f"model_{key}" in system.model
    ]
    for setting in (*settings, *template):
        words += ["--set", setting]
    return shlex.join(words)


def _on_tasks(config: Mapping[str, Any]) -> list[str]:
    tasks: Sequence[str] = config["tasks"]
    words = ["--task", ",".join(tasks)]
    if not all(task.endswith(SUFFIX) for task in tasks):
        words += ["--data-dir", "DIR"]
    if config.get("limit") is not None:
        words += ["--limit", str(config["limit"])]
    given = {key: config.get(key) for key in _OF_A_BENCHMARK}
    for key, value in given.items():
        if value not in (None, "", "strict"):
            words += ["--set", f"eval.{key}={value}"]
    return words


def _judge(ledger: Ledger, judged: Artifact) -> str:
    trained = _parent(ledger, judged, "judge")
    return str(judged.config.get("by", "")) if trained is None else trained.short


def _on_probes(ledger: Ledger, like: Artifact) -> list[str]:
    data = _parent(ledger, like, "data")
    if data is None or data.config.get("probes", STARTER) == STARTER:
        return []
    return ["--probes", str(ledger.folder(data) / "probes.jsonl")]
