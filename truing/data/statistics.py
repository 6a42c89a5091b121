"""What a set of comparisons looks like: groups, turns, lengths, and whether "chosen" is merely "longer"."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from truing.core.records import Comparison, Record


class DataStatistics(Record):
    """Lengths are in words. `chosen_longer` is the share of rows whose chosen answer has more (a tie counts half).

    `length_correlation` is the point-biserial correlation, over all 2n answers, between being the chosen one and the
    length in words: 0 where length says nothing, 1 where it says all. None where it is not defined.
    """

    rows: int
    groups: dict[str, int]
    topics: int
    multi_turn: int
    ties: int
    annotators: int
    median_prompt_words: float
    median_chosen_words: float
    median_rejected_words: float
    chosen_longer: float
    length_correlation: float | None


def describe(rows: Sequence[Comparison]) -> DataStatistics:
    """Describe at least one comparison."""
    chosen = np.array([len(row.chosen.split()) for row in rows], dtype=float)
    rejected = np.array([len(row.rejected.split()) for row in rows], dtype=float)
    prompts = np.array([sum(len(turn.content.split()) for turn in row.prompt) for row in rows], dtype=float)
    return DataStatistics(
        rows=len(rows),
        groups=dict(sorted(Counter(row.group or "(none)" for row in rows).items())),
        topics=len({row.topic for row in rows if row.topic}),
        multi_turn=sum(sum(turn.role == "user" for turn in row.prompt) > 1 for row in rows),
        ties=sum(row.tie for row in rows),
        annotators=len({row.annotator for row in rows if row.annotator}),
        median_prompt_words=float(np.median(prompts)),
        median_chosen_words=float(np.median(chosen)),
        median_rejected_words=float(np.median(rejected)),
        chosen_longer=float(np.mean((chosen > rejected) + 0.5 * (chosen == rejected))),
        length_correlation=_length_correlation(chosen, rejected),
    )


def _length_correlation(chosen: np.ndarray, rejected: np.ndarray) -> float | None:
    lengths = np.concatenate([chosen, rejected])
    if np.ptp(lengths) == 0:
        return None
    label = np.repeat([1.0, 0.0], len(chosen))
    return float(np.corrcoef(label, lengths)[0, 1])
