"""A reward model on comparisons that it did not see: accuracy, calibration, and what length has to do with it."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from truing.core.calibration import (
    Bin,
    LengthReport,
    Share,
    calibration_error,
    length_report,
    reliability,
    temperature,
)
from truing.core.records import Comparison, ItemResult, Record
from truing.evals.compare import Side, side
from truing.evals.metric import Metric

ACCURACY = Metric("reward_accuracy", "rewards the better answer more", "higher")


class ScoredPair(Record):
    """One comparison with its rewards, and its answers' lengths in tokens, end of turn included."""

    id: str
    topic: str
    source: str
    chosen: float
    rejected: float
    chosen_length: int
    rejected_length: int

    @property
    def margin(self) -> float:
        """r_w − r_l."""
        return self.chosen - self.rejected


class RewardReport(Record):
    """What is known of a reward model from `pairs` comparisons; ties and both-bad rows are none.

    `accuracy` counts equal rewards half; its interval counts rows of one topic as one. `by_source` splits it by the
    rows' group, or else their origin. `temperature` T is fitted on these very pairs, and `bins` and
    `calibration_error` use it: one number fitted on all of them. None and empty where T is not known.
    """

    pairs: int
    accuracy: Side
    by_source: Mapping[str, Share]
    temperature: float | None
    calibration_error: float | None
    bins: tuple[Bin, ...]
    length: LengthReport


def scored_pair(
    row: Comparison, chosen: float, rejected: float, chosen_length: int, rejected_length: int
) -> ScoredPair:
    """A comparison with its scores. A row without a topic is a topic of its own."""
    return ScoredPair(
        id=row.id,
        topic=row.topic or row.id,
        source=row.group or row.origin or "",
        chosen=chosen,
        rejected=rejected,
        chosen_length=chosen_length,
        rejected_length=rejected_length,
    )


def report(pairs: Sequence[ScoredPair]) -> RewardReport:
    """Everything that scored comparisons say of the reward that scored them."""
    margins = [pair.margin for pair in pairs]
    sources: dict[str, list[float]] = defaultdict(list)
    for pair in pairs:
        sources[pair.source].append(pair.margin)
    fitted = temperature(margins)
    bins = reliability(margins, fitted) if fitted is not None else []
    return RewardReport(
        pairs=len(pairs),
        accuracy=side(items_of(pairs), ACCURACY) if pairs else Side(mean=None, low=0.0, high=1.0, unknown=0, cut=0),
        by_source={name: Share.of(values) for name, values in sorted(sources.items())} if len(sources) > 1 else {},
        temperature=fitted,
        calibration_error=calibration_error(bins),
        bins=tuple(bins),
        length=length_report(
            [pair.chosen for pair in pairs],
            [pair.rejected for pair in pairs],
            [pair.chosen_length for pair in pairs],
            [pair.rejected_length for pair in pairs],
        ),
    )


def items_of(pairs: Sequence[ScoredPair]) -> list[ItemResult]:
    """Each pair as an item: 1 where the chosen answer has the higher reward, ½ where both are equal."""
    return [
        ItemResult(
            task=ACCURACY.task,
            item=pair.id,
            cluster=pair.topic,
            value=(1 + (pair.margin > 0) - (pair.margin < 0)) / 2,
        )
        for pair in pairs
    ]
