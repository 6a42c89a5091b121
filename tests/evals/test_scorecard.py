"""The scorecard: its figures and differences are those of `compare`, its headings those of the metrics."""

from collections.abc import Sequence
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from truing.core.errors import InputError
from truing.core.records import ItemResult
from truing.core.statistics import holm
from truing.evals.compare import compare, side
from truing.evals.metric import Metric
from truing.evals.run import METRICS
from truing.evals.scorecard import ASPECTS, System, scorecard

HELPS = Metric("helps", "helps", "higher", aspect="helpful")
HARMS = Metric("harms", "harms", "lower", aspect="harmless")
LIKELY = Metric("likely", "likely", "higher", "nats")
Values = dict[str, Sequence[float | None]]


def items(values: Values, answer: str = "An answer.") -> list[ItemResult]:
    return [
        ItemResult(task=task, item=f"{n}", cluster=f"{n // 2}", value=value, prompt=f"Question {n}?", answer=answer)
        for task, found in values.items()
        for n, value in enumerate(found)
    ]


def systems(count: int) -> list[System]:
    made = datetime(2026, 1, 1, tzinfo=UTC)
    return [System(label=f"s{n}", model="m", made=made, evaluations=(f"{n}" * 64,)) for n in range(count)]


def share(ones: int, of: int = 60) -> list[float | None]:
    return [float(n < ones) for n in range(of)]


A = items({"helps": share(10), "harms": share(30), "likely": [-1.0 - n / 60 for n in range(60)]})
B = items({"helps": share(50), "harms": share(31), "likely": [-0.9 - n / 60 for n in range(60)]})
C = items({"helps": share(10), "harms": share(2)})
ALL = [HELPS, HARMS, LIKELY]


def test_every_cell_is_what_compare_says_and_the_correction_is_over_the_whole_card() -> None:
    card = scorecard(systems(3), [A, B, C], ALL)
    b, c = compare(A, B, ALL), compare(A, C, [HELPS, HARMS])
    names = [*(("b", one.task) for one in b), *(("c", one.task) for one in c)]
    corrected = dict(zip(names, holm([one.p for one in (*b, *c)]), strict=True))
    for place, (name, results) in enumerate((("b", b), ("c", c)), start=1):
        for result in results:
            (line,) = (line for line in card.lines if line.task == result.task)
            cell = line.cells[place]
            assert cell is not None
            assert cell.difference is not None
            found = (cell.difference.value, cell.difference.low, cell.difference.high, cell.difference.n)
            assert found == (result.difference, result.low, result.high, result.n)
            clear = result.low > 0 or result.high < 0
            assert (cell.difference.verdict in ("better", "worse")) == (clear and corrected[name, result.task] < 0.05)
    (line,) = (line for line in card.lines if line.task == "helps")
    assert line.cells[0] is not None
    assert line.cells[0].side == side([item for item in A if item.task == "helps"], HELPS)
    assert line.cells[0].difference is None
    verdicts = {
        line.task: [None if cell is None or cell.difference is None else cell.difference.verdict for cell in line.cells]
        for line in card.lines
    }
    assert verdicts["helps"] == [None, "better", "not enough evidence"]
    assert verdicts["harms"] == [None, "not enough evidence", "better"]
    assert verdicts["likely"] == [None, "better", None]


def test_what_a_system_did_not_measure_is_left_open() -> None:
    card = scorecard(systems(3), [C, B, A], ALL)
    (line,) = (line for line in card.lines if line.task == "likely")
    assert line.cells[0] is None
    assert [cell is not None and cell.difference is None for cell in line.cells[1:]] == [True, True]
    assert scorecard(systems(1), [[]], ALL).lines == ()


@settings(max_examples=8, deadline=None)
@given(st.lists(st.tuples(st.sampled_from([0.0, 1.0, None]), st.sampled_from([0.0, 1.0, None])), min_size=2))
def test_turned_round_a_difference_changes_its_sign_and_against_itself_it_is_none(
    pairs: list[tuple[float | None, float | None]],
) -> None:
    one, other = (items({"helps": [pair[side_] for pair in pairs]}) for side_ in (0, 1))
    there, back, same = (
        scorecard(systems(2), pair, [HELPS]).lines[0].cells[1] for pair in ([one, other], [other, one], [one, one])
    )
    assert there is not None
    assert back is not None
    assert same is not None
    assert there.difference is not None
    assert back.difference is not None
    assert same.difference is not None
    assert there.difference.value == (None if back.difference.value is None else -back.difference.value)
    assert same.difference.value in (None, 0.0)
    assert same.difference.verdict not in ("better", "worse")


def test_other_items_are_refused() -> None:
    with pytest.raises(InputError, match="helps: 1 items were measured on one side only"):
        scorecard(systems(2), [items({"helps": share(1, 3)}), items({"helps": share(1, 2)})], ALL)
    with pytest.raises(InputError, match="stands twice in one evaluation"):
        scorecard(systems(1), [[*C, *C]], ALL)


def test_lines_stand_under_the_heading_that_their_metric_names() -> None:
    card = scorecard(systems(2), [A, B], ALL)
    assert [[line.task for line in card.about(aspect)] for aspect in (*ASPECTS, None)] == [
        ["helps"],
        ["harms"],
        [],
        ["likely"],
    ]
    assert ASPECTS == ("helpful", "harmless", "honest")
    assert {metric.task for metric in METRICS if metric.aspect is None} == {
        "perplexity",
        "hhh_other",
        "tool_use_control",
    }


def test_samples_are_the_first_items_with_an_answer_and_say_what_counts() -> None:
    silent = [item.model_copy(update={"answer": "" if item.item == "0" else item.answer}) for item in A]
    card = scorecard(systems(2), [silent, silent], ALL, samples=3)
    helps = card.about("helpful")[0].samples
    assert [sample.prompt for sample in helps] == ["Question 1?", "Question 2?", "Question 3?"]
    assert [one.good for one in helps[0].answers if one is not None] == [True, True]
    assert card.about(None)[0].samples[0].answers[0] is not None
    assert card.about(None)[0].samples[0].answers[0].good is None
    assert scorecard(systems(2), [A, B], ALL, samples=0).lines[0].samples == ()


@pytest.mark.parametrize(("value", "risky"), [(1.0, True), (None, True), (0.0, False)])
def test_an_answer_that_may_harm_is_marked_in_every_figure_that_shows_it(value: float | None, risky: bool) -> None:
    """`harms` is better low: 1 harms, unknown may."""
    harmful = items({"helps": [1.0], "harms": [value]})
    safe = items({"helps": [1.0], "harms": [0.0]})
    for line in scorecard(systems(2), [harmful, safe], ALL).lines:
        first, second = line.samples[0].answers
        assert first is not None
        assert second is not None
        assert (first.risky, second.risky) == (risky, False)
