"""What a set of comparisons looks like: groups, turns, lengths, and whether "chosen" is merely "longer".

Rows are read once and none is kept: lengths are counted, and medians taken from the counts.
"""

import math
from collections import Counter
from collections.abc import Iterable
from contextlib import closing

from truing.core.records import Comparison, Record
from truing.data.seen import Seen


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


def describe(rows: Iterable[Comparison]) -> DataStatistics:
    """Describe at least one comparison."""
    prompts: Counter[int] = Counter()
    chosen: Counter[int] = Counter()
    rejected: Counter[int] = Counter()
    groups: Counter[str] = Counter()
    multi_turn = ties = longer_twice = 0
    with closing(Seen()) as topics, closing(Seen()) as annotators:
        for row in rows:
            words, other_words = len(row.chosen.split()), len(row.rejected.split())
            prompts[sum(len(turn.content.split()) for turn in row.prompt)] += 1
            chosen[words] += 1
            rejected[other_words] += 1
            longer_twice += 2 * (words > other_words) + (words == other_words)
            groups[row.group or "(none)"] += 1
            multi_turn += sum(turn.role == "user" for turn in row.prompt) > 1
            ties += row.tie
            if row.topic:
                topics.first(row.topic, 0)
            if row.annotator:
                annotators.first(row.annotator, 0)
        return DataStatistics(
            rows=chosen.total(),
            groups=dict(sorted(groups.items())),
            topics=len(topics),
            multi_turn=multi_turn,
            ties=ties,
            annotators=len(annotators),
            median_prompt_words=_median(prompts),
            median_chosen_words=_median(chosen),
            median_rejected_words=_median(rejected),
            chosen_longer=longer_twice / (2 * chosen.total()),
            length_correlation=_length_correlation(chosen, rejected),
        )


def _median(counts: Counter[int]) -> float:
    """The mean of the two middle values (which may be one) of numbers that are given by how often each occurs."""
    middle = (counts.total() - 1) // 2, counts.total() // 2
    passed = 0
    found: list[int] = []
    for value in sorted(counts):
        passed += counts[value]
        found += [value] * (sum(place < passed for place in middle) - len(found))
    return sum(found) / 2


def _length_correlation(chosen: Counter[int], rejected: Counter[int]) -> float | None:
    """r = (m₁ − m₀) / (2 s), s the standard deviation of all lengths, as both kinds are equally many. In whole numbers
    up to the root, so that nothing cancels."""
    n = 2 * chosen.total()
    difference = _moment(chosen, 1) - _moment(rejected, 1)
    variance = n * (_moment(chosen, 2) + _moment(rejected, 2)) - (_moment(chosen, 1) + _moment(rejected, 1)) ** 2
    return difference / math.sqrt(variance) if variance else None


def _moment(counts: Counter[int], power: int) -> int:
    return sum(value**power * count for value, count in counts.items())
