"""The verb `report`: one HTML page of a run that ended at a gate."""

import json
from collections.abc import Collection, Generator, Mapping, Sequence
from datetime import UTC, datetime

from truing.core.config import Config
from truing.core.records import Record
from truing.data.native import lines_of
from truing.data.overlap import Overlap
from truing.data.statistics import DataStatistics
from truing.evals.artifact import read_items
from truing.judges import honesty, refusal
from truing.ledger.artifacts import Artifact
from truing.ledger.ledger import code_version
from truing.ledger.lineage import trace
from truing.loops.context import Context
from truing.loops.recipe import Step, StepResult
from truing.loops.verbs.gating import read_gate
from truing.report.page import Contents, PolicyRun, pick_examples, render
from truing.train.records import PolicyStep, TrainStep
from truing.train.watched import GuardConfig, iteration_of, readings

EXAMPLE_TASKS = ("refusal", "over_refusal", "honesty", "needless_doubt")


class ReportConfig(Config):
    """`examples`: how many of each task are shown."""

    title: str = "Alignment report"
    examples: int = 2


class Report:
    """The verb `report`. The training steps and the data are found behind the gate, through its parents."""

    name, version, kind = "report", 2, "report"
    config: type[Config] = ReportConfig
    roles: Mapping[str, str] = {"gate": "comparison"}
    optional_roles: Mapping[str, str] = {}
    uses_model = False

    def reads(self, _config: Config, _roles: Collection[str], _context: Context) -> Mapping[str, str]:
        """Nothing outside the ledger."""
        return {}

    def run(self, step: Step, config: ReportConfig) -> Generator[Record, None, StepResult]:
        """Write report.html."""
        yield from ()
        ledger = step.context.ledger
        gate = step.parents["gate"]
        behind = _ancestors(step, gate)
        results, verdict = read_gate(ledger.folder(gate))
        sides = {parent.role: read_items(ledger.folder(behind[parent.artifact])) for parent in gate.parents}
        measured = behind[gate.parents[0].artifact]
        data = ledger.folder(next(behind[one.artifact] for one in measured.parents if one.role == "data"))
        overlap = data / "overlap.json"
        trained = [(one, _curve(step, one)) for one in behind.values() if one.kind == "adapter"]
        models = dict.fromkeys(str(behind[parent.artifact].config["model"]) for parent in gate.parents)
        page = render(
            Contents(
                title=config.title,
                model=" and ".join(models),
                made=datetime.now(UTC),
                code_version=code_version(),
                results=results,
                gate=verdict,
                curves=[(one.name, steps) for one, steps in trained if not _drawn(steps)],
                runs=[_run_of(one, _drawn(steps)) for one, steps in trained if _drawn(steps)],
                examples=pick_examples(sides["baseline"], sides["candidate"], EXAMPLE_TASKS, config.examples),
                statistics=DataStatistics.model_validate_json((data / "statistics.json").read_text("utf-8")),
                overlap=Overlap.model_validate_json(overlap.read_text("utf-8")) if overlap.exists() else None,
                judges=[("refusal", accuracy) for accuracy in refusal.MEASURED]
                + [("admission", accuracy) for accuracy in honesty.MEASURED],
                lineage=trace(ledger, gate),
            )
        )
        (step.folder / "report.html").write_text(page, encoding="utf-8")
        return StepResult(metrics={"verdict": verdict.status})


def _ancestors(step: Step, artifact: Artifact) -> dict[str, Artifact]:
    """Everything behind an artifact by id, the roots first."""
    found: dict[str, Artifact] = {}
    for parent in artifact.parents:
        behind = step.context.ledger.get(parent.artifact)
        found |= _ancestors(step, behind)
        found[behind.id] = behind
    return found


def _curve(step: Step, artifact: Artifact) -> list[TrainStep]:
    lines = lines_of(step.context.ledger.folder(artifact) / "steps.jsonl")
    return [_step_of(line) for line in lines]


def _drawn(steps: Sequence[TrainStep]) -> list[PolicyStep]:
    return [step for step in steps if isinstance(step, PolicyStep)]


def _run_of(artifact: Artifact, steps: Sequence[PolicyStep]) -> PolicyRun:
    """A policy-gradient run as the page shows it, judged again by what its guard was set to."""
    points, config = [iteration_of(step) for step in steps], GuardConfig.parse(artifact.config["guard"], artifact.name)
    kept = artifact.metrics.get("kept_step")
    found = readings(points, config, artifact.config["iterations"])
    return PolicyRun(artifact.name, points, found, int(kept) if isinstance(kept, int | float) else None)


def _step_of(line: str) -> TrainStep:
    """A kept step: an iteration of a policy-gradient trainer is known by its coefficient."""
    kind = PolicyStep if "coefficient" in json.loads(line) else TrainStep
    return kind.model_validate_json(line)
