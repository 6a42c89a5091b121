"""A scorecard of evaluations in the ledger: each system is one of them, or several of one model joined by `+`."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from truing.core.errors import InputError
from truing.evals.artifact import metrics_of, read_items, read_reports
from truing.evals.scorecard import Scorecard, Source, System, scorecard
from truing.ledger.artifacts import Artifact
from truing.ledger.ledger import Ledger
from truing.loops.systems import answered_by

_MEASURED = ("model", "model_sha256", "model_dtype", "model_template")


def read_scorecard(ledger: Ledger, references: Sequence[str], samples: int = 2) -> Scorecard:
    """The card of some evaluations, by name or id. Raises `InputError` where one is none, or joins two systems."""
    joined = [[_evaluation(ledger, part) for part in reference.split("+")] for reference in references]
    folders = [[ledger.folder(one) for one in together] for together in joined]
    items = [[item for folder in mine for item in read_items(folder)] for mine in folders]
    every = [folder for mine in folders for folder in mine]
    systems = [_system(ledger, together) for together in joined]
    return scorecard(_told_apart(systems, references), items, metrics_of(*every), samples, _sources(every))


def _evaluation(ledger: Ledger, reference: str) -> Artifact:
    found = ledger.get(reference)
    if found.kind != "evaluation":
        raise InputError(
            f"{reference!r} is of the kind {found.kind!r}; a scorecard takes evaluations: "
            "`truing ls --kind evaluation` lists those"
        )
    return found


def _system(ledger: Ledger, evaluations: Sequence[Artifact]) -> System:
    """What some evaluations measured. Raises `InputError` where it is not one system."""
    sources = [answered_by(ledger, one) for one in evaluations]
    adapters = [next((parent.artifact for parent in one.parents if parent.role == "adapter"), None) for one in sources]
    what = [
        ({key: one.config.get(key) for key in _MEASURED}, adapter)
        for one, adapter in zip(sources, adapters, strict=True)
    ]
    for one, other in zip(evaluations[1:], what[1:], strict=True):
        if other != what[0]:
            raise InputError(
                f"{evaluations[0].short}+{one.short} joins evaluations of two systems; give each a column of its own"
            )
    model = str(sources[0].config.get("model", sources[0].name))
    adapter = ledger.get(adapters[0]).name if adapters[0] is not None else ""
    return System(
        label=adapter or Path(model).name,
        model=model,
        adapter=adapter,
        made=max(one.created for one in evaluations),
        evaluations=tuple(one.id for one in evaluations),
        observed=any(one.observation for one in (*sources, *evaluations)),
    )


def _told_apart(systems: Sequence[System], references: Sequence[str]) -> list[System]:
    """Systems of one name carry what the caller called them."""
    times = Counter(system.label for system in systems)
    return [
        system if times[system.label] == 1 else system.model_copy(update={"label": f"{system.label} {reference[:12]}"})
        for system, reference in zip(systems, references, strict=True)
    ]


def _sources(folders: Sequence[Path]) -> list[Source]:
    """Every set behind the evaluations, once."""
    reports = [report for folder in folders if (folder / "tasks.json").is_file() for report in read_reports(folder)]
    return [
        Source(
            title=report.title,
            revision=report.revision,
            measured=report.measured,
            rows=report.rows,
            bad=report.bad,
            judge=report.judge,
            accuracy=report.accuracy,
        )
        for report in {report.task: report for report in reversed(reports)}.values()
    ][::-1]
