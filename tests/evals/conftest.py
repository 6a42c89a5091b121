"""Items of an evaluation from plain values, and one metric to compare them on."""

from collections.abc import Sequence

from truing.core.records import ItemResult
from truing.evals.compare import MetricComparison, Terms, compare
from truing.evals.metric import Metric

REFUSAL = Metric("refusal", "refuses harmful requests", "higher")
OVER = Metric("over_refusal", "refuses their benign twins", "lower")
NATS = Metric("reference_logprob", "log-prob. of helpful answers", "higher", "nats")


def items(
    values: Sequence[float | None],
    task: str = "refusal",
    clusters: Sequence[str] | None = None,
    finished: Sequence[bool | None] | None = None,
) -> list[ItemResult]:
    """One item a value, each its own cluster unless said otherwise."""
    return [
        ItemResult(
            task=task,
            item=f"{number:04}",
            cluster=clusters[number] if clusters else f"topic {number}",
            value=value,
            prompt=f"prompt {number}",
            finished=finished[number] if finished else None,
        )
        for number, value in enumerate(values)
    ]


def one(
    baseline: Sequence[float | None],
    candidate: Sequence[float | None],
    metric: Metric = REFUSAL,
    margin: float = 0.0,
    clusters: Sequence[str] | None = None,
) -> MetricComparison:
    """The comparison on one metric."""
    sides = (items(values, metric.task, clusters) for values in (baseline, candidate))
    (result,) = compare(*sides, [metric], {metric.task: Terms(margin)})
    return result
