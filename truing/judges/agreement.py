"""A judge held against people's labels: agreement, sensitivity, specificity and Cohen's κ, whole and by source model.

Whole prompts are resampled, since answers to one prompt are not independent. Judges whose verdicts are stored beside
the labels, and people's own unanimity, stand in the same table. Whether the labels are right, nothing here knows.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Collection, Hashable, Sequence

import numpy as np
from numpy.typing import NDArray

from truing.core.records import Record
from truing.core.statistics import Interval, cluster_bootstrap_of, design_effect, wilson
from truing.data.labelled import LabelledAnswer
from truing.judges.validate import JudgeAccuracy

RESAMPLES = 2000
_SHOWN = 3
Floats = NDArray[np.float64]


class Bounded(Record):
    """A number with its 95% interval; None where it, or a bound, is not known."""

    value: float | None
    low: float | None
    high: float | None


class Agreement(Record):
    """A judge beside people on some rows: counts, and what they make. All shares are of the answers that it judged.

    κ = (p_o − p_e) / (1 − p_e), p_o the agreement and p_e that of two raters who say yes as often as these two, by
    chance (Cohen 1960, Educational and Psychological Measurement 20:37).
    """

    judge: str
    accuracy: JudgeAccuracy
    agreement: Bounded
    sensitivity: Bounded
    specificity: Bounded
    kappa: Bounded


def agreement_of(
    judge: str,
    data: str,
    verdicts: Sequence[float | None],
    labels: Sequence[bool],
    clusters: Sequence[Hashable],
    resamples: int = RESAMPLES,
) -> Agreement:
    """Verdicts held against labels. Whole clusters (prompts) are resampled; of a share, the wider of that interval and
    Wilson's on each side, which is right where nothing varies, too."""
    known = [number for number, verdict in enumerate(verdicts) if verdict is not None]
    said, label = (np.array([bool(one[number]) for number in known], dtype=bool) for one in (verdicts, labels))
    groups = [clusters[number] for number in known]
    cells = [said & label, ~said & label, ~said & ~label, said & ~label]
    hits, misses, rejections, false_alarms = (int(cell.sum()) for cell in cells)

    def bounded(statistic: Callable[..., Floats], counts: Interval | None) -> Bounded:
        columns = [cell.astype(float).tolist() for cell in cells]
        resampled = (
            cluster_bootstrap_of(columns, groups, statistic, resamples=resamples)
            if known
            else Interval(-math.inf, math.inf)
        )
        value = float(statistic(*(np.array([cell.sum()], dtype=float) for cell in cells))[0])
        if counts is None:
            low, high = resampled
        else:  # a bootstrap that knows no spread, or too few clusters, says nothing against Wilson's
            low = min(counts.low, max(0.0, resampled.low)) if math.isfinite(resampled.low) else counts.low
            high = max(counts.high, min(1.0, resampled.high)) if math.isfinite(resampled.high) else counts.high
        return Bounded(value=_finite(value), low=_finite(low), high=_finite(high))

    return Agreement(
        judge=judge,
        accuracy=JudgeAccuracy(
            data=data,
            hits=hits,
            misses=misses,
            rejections=rejections,
            false_alarms=false_alarms,
            unknown=len(verdicts) - len(known),
            design_effect=(_effect(said, label, groups), _effect(~said, ~label, groups)),
        ),
        agreement=bounded(_agreement, wilson(hits + rejections, len(known))),
        sensitivity=bounded(_sensitivity, wilson(hits, hits + misses)),
        specificity=bounded(_specificity, wilson(rejections, rejections + false_alarms)),
        kappa=bounded(_kappa, None),
    )


class Mistake(Record):
    """An answer on which judge and people differ."""

    id: str
    source: str
    people: bool
    prompt: str
    answer: str


class Validation(Record):
    """What `validate` found. `sources` are the judge on each model's answers; `held_out` the same on all models' that
    it was not made on, where those are not all. `unanimous` is the share of answers of which all people said the same.
    `mistakes` are a few of each kind, drawn evenly: false alarms, then misses."""

    version: str
    set: str
    note: str
    whole: Agreement
    held_out: Agreement | None
    made_on: tuple[str, ...]
    sources: tuple[Agreement, ...]
    stored: tuple[Agreement, ...]
    unanimous: Bounded | None
    people: int
    mistakes: tuple[Mistake, ...]


def validate(
    judge: str,
    data: str,
    rows: Sequence[LabelledAnswer],
    verdicts: Sequence[float | None],
    *,
    version: str = "",
    made_on: Collection[str] = (),
    note: str = "",
    resamples: int = RESAMPLES,
) -> Validation:
    """A judge's verdicts on labelled rows. `made_on`: the source models whose answers it was made on; `note` says what
    else is known of how far it is independent of these rows."""

    def among(name: str, which: str, chosen: Sequence[int], said: Sequence[float | None]) -> Agreement:
        labels, clusters = [rows[number].label for number in chosen], [rows[number].cluster for number in chosen]
        return agreement_of(name, which, [said[number] for number in chosen], labels, clusters, resamples)

    everything = range(len(rows))
    by_source: dict[str, list[int]] = defaultdict(list)
    for number, row in enumerate(rows):
        by_source[row.source].append(number)
    fresh = [number for number in everything if rows[number].source not in made_on]
    names = dict.fromkeys(name for row in rows for name in row.stored)
    stored = {name: [row.stored.get(name) for row in rows] for name in names}
    people = min((len(row.votes) for row in rows), default=0)
    of_one_mind = [float(len(set(row.votes)) == 1) for row in rows]
    unanimity = agreement_of("people", data, of_one_mind, [True] * len(rows), [row.cluster for row in rows], resamples)
    return Validation(
        version=version,
        set=data,
        note=note,
        whole=among(judge, data, everything, verdicts),
        held_out=among(judge, f"{data}, sources it was not made on", fresh, verdicts)
        if 0 < len(fresh) < len(rows)
        else None,
        made_on=tuple(source for source in by_source if source in made_on),
        sources=tuple(among(judge, source, chosen, verdicts) for source, chosen in sorted(by_source.items())),
        stored=tuple(among(name, data, everything, said) for name, said in stored.items()),
        unanimous=unanimity.sensitivity if people > 1 else None,
        people=people,
        mistakes=(*_mistakes(rows, verdicts, False), *_mistakes(rows, verdicts, True)),
    )


def _mistakes(rows: Sequence[LabelledAnswer], verdicts: Sequence[float | None], label: bool) -> list[Mistake]:
    wrong = [
        row for row, said in zip(rows, verdicts, strict=True) if said is not None and row.label == label != bool(said)
    ]
    count = min(_SHOWN, len(wrong))
    return [
        Mistake(id=row.id, source=row.source, people=row.label, prompt=row.prompt[-1].content, answer=row.answer)
        for row in (wrong[number * len(wrong) // count] for number in range(count))
    ]


def _effect(right: NDArray[np.bool_], among: NDArray[np.bool_], groups: Sequence[Hashable]) -> float:
    chosen: list[int] = np.flatnonzero(among).tolist()
    return design_effect(right[chosen].astype(float).tolist(), [groups[number] for number in chosen])


def _agreement(hits: Floats, misses: Floats, rejections: Floats, false_alarms: Floats) -> Floats:
    return _ratio(hits + rejections, hits + misses + rejections + false_alarms)


def _sensitivity(hits: Floats, misses: Floats, _rejections: Floats, _false_alarms: Floats) -> Floats:
    return _ratio(hits, hits + misses)


def _specificity(_hits: Floats, _misses: Floats, rejections: Floats, false_alarms: Floats) -> Floats:
    return _ratio(rejections, rejections + false_alarms)


def _kappa(hits: Floats, misses: Floats, rejections: Floats, false_alarms: Floats) -> Floats:
    n = hits + misses + rejections + false_alarms
    by_chance = (hits + misses) * (hits + false_alarms) + (rejections + misses) * (rejections + false_alarms)
    return _ratio(n * (hits + rejections) - by_chance, n * n - by_chance)


def _ratio(above: Floats, below: Floats) -> Floats:
    """NaN where it is not defined."""
    return np.divide(above, below, out=np.full_like(above, np.nan), where=below > 0)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
