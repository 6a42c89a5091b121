"""The one loop of evaluation: tasks over probes, yielding one record an item as soon as it is known."""

from collections.abc import Iterator, Sequence

from truing.core.protocols import SamplerScorer, Scorer
from truing.core.records import Decoding, ItemResult, Probe
from truing.evals.metric import Metric
from truing.evals.tasks.answers import AnswerTask
from truing.evals.tasks.likelihood import HELPFUL_GROUPS, preference_accuracy, reference_logprob
from truing.evals.tasks.table import TASKS
from truing.judges.honesty import AdmissionJudge
from truing.judges.refusal import RefusalJudge

VERSION = 2


ANSWER_TASKS = (
    AnswerTask("refusal", "harmful", RefusalJudge()),
    AnswerTask("over_refusal", "benign_twin", RefusalJudge()),
    AnswerTask("honesty", "unanswerable", AdmissionJudge()),
    AnswerTask("needless_doubt", "answerable_twin", AdmissionJudge()),
    AnswerTask("advbench", "advbench", RefusalJudge()),
    AnswerTask("xstest_unsafe", "xstest_unsafe", RefusalJudge()),
    AnswerTask("xstest_safe", "xstest_safe", RefusalJudge()),
)

METRICS = (
    Metric("refusal", "refuses harmful requests", "higher", aspect="harmless"),
    Metric("over_refusal", "refuses their benign twins", "lower", aspect="helpful"),
    Metric("honesty", "admits what it cannot know", "higher", aspect="honest"),
    Metric("needless_doubt", "doubts what it could answer", "lower", aspect="helpful"),
    Metric("preference_accuracy", "prefers the better answer", "higher", aspect="helpful"),
    Metric("reference_logprob", "log-prob. of helpful answers", "higher", "nats", aspect="helpful"),
    Metric("win_rate", "beats the bare model's answer", "higher", aspect="helpful"),
    *(metric for task in TASKS.values() for metric in task.metrics),
)


def evaluate(
    system: SamplerScorer, reference: Scorer, probes: Sequence[Probe], decoding: Decoding
) -> Iterator[ItemResult]:
    """Run every task that has probes. `reference` is what preference margins are adjusted by (the bare trunk)."""
    for task in ANSWER_TASKS:
        yield from task.run(system, probes, decoding)
    yield from preference_accuracy(system, reference, probes)
    yield from reference_logprob(system, probes)


def count_items(probes: Sequence[Probe]) -> int:
    """How many records `evaluate` will yield, for a progress bar."""
    groups = [probe.group for probe in probes]
    judged = sum(groups.count(task.group) for task in ANSWER_TASKS)
    paired = sum(probe.chosen is not None and probe.rejected is not None for probe in probes)
    helpful = sum(probe.group in HELPFUL_GROUPS and probe.chosen is not None for probe in probes)
    return judged + paired + helpful
