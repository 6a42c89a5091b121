"""Every judged completion is in one comparison or left over, none in two, and none is lost."""

import json
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.data.conftest import comparison, comparisons, lines
from truing.core.records import Comparison, Judged
from truing.data import formats, unpaired
from truing.data.rows import BadRow, RowError

judged = st.lists(st.tuples(st.sampled_from("pq"), st.sampled_from("abcd"), st.booleans()), min_size=1, max_size=14)


def load(tmp_path: Path, *rows: object) -> tuple[list[Comparison], list[BadRow]]:
    return formats.load(lines(tmp_path, *map(json.dumps, rows)))


def row(prompt: str, completion: str, label: object) -> dict[str, object]:
    return {"prompt": prompt, "completion": completion, "label": label}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=judged)
def test_each_completion_is_used_once_or_left_over(tmp_path: Path, rows: list[tuple[str, str, bool]]) -> None:
    good, bad = load(tmp_path, *(row(*one) for one in rows))
    used = Counter((one.prompt[0].content, one.chosen, True) for one in good)
    used += Counter((one.prompt[0].content, one.rejected, False) for one in good)
    assert all(one.left_over for one in bad)
    left = [json.loads(one.raw) for one in bad]
    assert used + Counter((one["prompt"], one["completion"], one["label"]) for one in left) == Counter(rows)
    # As many as can be: what is left of a prompt is all of one label, but for completions that were called both.
    for prompt in "pq":
        labels = {(one["completion"], one["label"]) for one in left if one["prompt"] == prompt}
        assert len({label for _, label in labels}) < 2 or len({completion for completion, _ in labels}) == 1


def test_pairs_follow_the_order_and_the_rest_is_listed_with_its_line(tmp_path: Path) -> None:
    rows = [row("p", "a", True), row("p", "b", True), row("q", "c", False), row("p", "d", False)]
    good, bad = load(tmp_path, *rows)
    assert [(one.id, one.chosen, one.rejected) for one in good] == [("rows-1", "a", "d")]
    assert bad == [
        BadRow(2, "a good completion that no bad one of the same prompt is left for"),
        BadRow(3, "a bad completion that no good one of the same prompt is left for"),
    ]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(comparisons.filter(lambda row: not (row.tie or row.both_bad)), min_size=1, max_size=4))
def test_what_is_written_reads_back_equal(tmp_path: Path, rows: list[Comparison]) -> None:
    good, bad = load(tmp_path, *(half for row in rows for half in unpaired.write(row)))
    assert bad == []
    assert [(one.prompt, one.chosen, one.rejected) for one in good] == [
        (one.prompt, one.chosen, one.rejected) for one in rows
    ]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"label": 1}, "'label' must be true or false, found 1"),
        ({"label": None}, "'label' must be true or false, found None"),
        ({"completion": " "}, "'completion' is empty"),
        ({"completion": [{"role": "user", "content": "x"}]}, "'completion' must be a text or one assistant message"),
    ],
)
def test_a_bad_row_is_not_left_over_but_bad(change: dict[str, object], reason: str) -> None:
    with pytest.raises(RowError) as raised:
        unpaired.parse({**row("p", "a", True), **change}, "1")
    assert str(raised.value) == reason


def test_a_tie_does_not_become_good_and_bad() -> None:
    with pytest.raises(RowError, match="no answer won"):
        unpaired.write(comparison(tie=True))


def test_judged_completions_are_read_one_by_one_and_written_rows_read_back_equal(tmp_path: Path) -> None:
    rows = [row("p", "a", True), {**row("p", "b", False), "id": "mine"}, {**row("p", "c", False), "id": "mine"}]
    first, second, third = unpaired.read_judged(lines(tmp_path, *map(json.dumps, rows)))
    assert isinstance(first, Judged)
    assert isinstance(second, Judged)
    assert [(one.id, one.completion, one.good) for one in (first, second)] == [
        ("rows-1", "a", True),
        ("mine", "b", False),
    ]
    assert isinstance(third, BadRow)
    assert third.reason == "the id 'mine' stands in line 2 already; ids must be unique"
    again = list(
        unpaired.read_judged(lines(tmp_path, *(json.dumps(unpaired.judged_line(one)) for one in (first, second))))
    )
    assert again == [first, second]
