"""Outcomes of common items: what was planted moved and nothing else; what has no counterpart is counted."""

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.evals.conftest import OVER, REFUSAL, items
from truing.core.records import ItemResult
from truing.evals.compare import compare
from truing.evals.outcomes import common, outcomes

VALUES = st.lists(st.sampled_from([0.0, 1.0]), min_size=1, max_size=30)


@settings(max_examples=30, deadline=None)
@given(values=VALUES, data=st.data())
def test_the_items_that_moved_are_those_that_were_planted(values: list[float], data: st.DataObject) -> None:
    planted = data.draw(st.sets(st.integers(0, len(values) - 1), max_size=10))
    after = [1 - value if number in planted else value for number, value in enumerate(values)]
    found = outcomes(items(values), items(after), [REFUSAL])
    assert {one.item for one in found.moved} == {f"{number:04}" for number in planted}
    assert found.changed == ({"refusal": len(planted)} if planted else {})
    assert found.left_out == {}
    worsened = {one.item for one in found.moved if one.worsened}
    assert worsened == {f"{number:04}" for number in planted if values[number] == 1.0}


def test_items_without_a_counterpart_are_left_out_and_counted() -> None:
    """The rest is judged as if nothing else had been measured."""
    ours, theirs = items([1, 1, 0, 1, 0]), items([1, 0, 0, 1])
    theirs[3] = theirs[3].model_copy(update={"prompt": "another"})
    elsewhere = items([1, 0], "over_refusal")
    found = outcomes([*ours, *elsewhere], theirs, [REFUSAL, OVER])
    assert found.left_out == {"refusal": 2, "over_refusal": 2}
    assert found.comparisons == tuple(compare(ours[:3], theirs[:3], [REFUSAL, OVER]))
    assert (found.comparisons[0].n, found.changed) == (3, {"refusal": 1})


def test_the_order_of_items_does_not_matter_to_which_are_common() -> None:
    ours, theirs = items([1, 0, 1]), items([0, 0, 1])
    one, other = common(ours, theirs[::-1])
    assert [item.item for item in one] == [item.item for item in other] == ["0000", "0001", "0002"]


def test_an_item_that_became_unknown_moved() -> None:
    after: list[float | None] = [1, None]
    found = outcomes(items([1, 0]), items(after), [REFUSAL])
    assert (found.changed, found.moved, found.comparisons[0].candidate.unknown) == ({"refusal": 1}, (), 1)


def test_nothing_in_common_is_no_outcome() -> None:
    other = [ItemResult(task="refusal", item="z", cluster="z", value=1.0)]
    found = outcomes(items([1, 0]), other, [REFUSAL])
    assert (found.comparisons, found.left_out) == ((), {"refusal": 3})
