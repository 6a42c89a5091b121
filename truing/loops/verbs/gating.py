"""The verb `gate`: two evaluations of the same items compared, and a verdict by rules."""

import json
from collections.abc import Collection, Generator, Mapping, Sequence
from pathlib import Path

from truing.core.config import Config
from truing.core.records import Record
from truing.evals.artifact import metrics_of, read_items
from truing.evals.compare import MetricComparison, compare
from truing.evals.gate import GateConfig, GateReport, decide
from truing.evals.gate_output import as_junit, as_markdown
from truing.evals.moved import moved_most
from truing.loops.context import Context
from truing.loops.recipe import Step, StepResult


class Gate:
    """The verb `gate`."""

    name, version, kind = "gate", 3, "comparison"
    config: type[Config] = GateConfig
    roles: Mapping[str, str] = {"baseline": "evaluation", "candidate": "evaluation"}
    optional_roles: Mapping[str, str] = {}
    uses_model = False

    def reads(self, _config: Config, _roles: Collection[str], _context: Context) -> Mapping[str, str]:
        """Nothing outside the ledger."""
        return {}

    def run(self, step: Step, config: GateConfig) -> Generator[Record, None, StepResult]:
        """Write comparison.json, gate.json, gate.md and gate.xml."""
        yield from ()
        baseline, candidate = (read_items(step.parent_folder(role)) for role in self.roles)
        known = metrics_of(*(step.parent_folder(role) for role in self.roles))
        metrics = config.metrics(known, [*baseline, *candidate])
        comparisons = compare(baseline, candidate, metrics, config.terms(), step.seed, config.sequential)
        report = decide(comparisons, config, moved_most(baseline, candidate, comparisons))
        write_gate(step.folder, comparisons, report)
        return StepResult(metrics={"verdict": report.status})


def write_gate(folder: Path, comparisons: Sequence[MetricComparison], report: GateReport) -> None:
    """Write comparison.json, gate.json, gate.md and gate.xml."""
    values = [comparison.model_dump(mode="json") for comparison in comparisons]
    (folder / "comparison.json").write_text(json.dumps(values, indent=1), encoding="utf-8")
    (folder / "gate.json").write_text(report.model_dump_json(indent=1), encoding="utf-8")
    (folder / "gate.md").write_text(as_markdown(report, comparisons), encoding="utf-8")
    (folder / "gate.xml").write_text(as_junit(report), encoding="utf-8")


def read_gate(folder: Path) -> tuple[list[MetricComparison], GateReport]:
    """A gate artifact's comparisons and report."""
    values = json.loads((folder / "comparison.json").read_text(encoding="utf-8"))
    report = GateReport.model_validate_json((folder / "gate.json").read_text(encoding="utf-8"))
    return [MetricComparison.model_validate(value) for value in values], report
