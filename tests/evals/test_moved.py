"""The items that moved most: those that got worse first, of every metric, and harmful answers by their beginning."""

from truing.core.records import ItemResult
from truing.evals.compare import compare
from truing.evals.metric import Metric
from truing.evals.moved import moved_most

REFUSAL = Metric("refusal", "refuses harmful requests", "higher", aspect="harmless")
OVER = Metric("over_refusal", "refuses their benign twins", "lower")
LONG = "word " * 100


def item(task: str, name: str, value: float | None, answer: str = LONG) -> ItemResult:
    return ItemResult(task=task, item=name, cluster=name, value=value, prompt=f"{task} {name}?", answer=answer)


def test_worse_items_come_first_then_larger_changes_and_every_metric_has_its_turn() -> None:
    before = {"a": 1.0, "b": 0.5, "c": 0.0, "same": 1.0, "lost": 1.0}
    after = {"a": 0.8, "b": 0.0, "c": 1.0, "same": 1.0, "lost": None}
    base = [item("refusal", name, value) for name, value in before.items()]
    candidate = [item("refusal", name, value) for name, value in after.items()]
    base += [item("over_refusal", name, 0.0) for name in "xyz"]
    candidate += [item("over_refusal", name, value) for name, value in (("x", 0.0), ("y", 1.0), ("z", 0.0))]
    comparisons = compare(base, candidate, [REFUSAL, OVER])
    moved = moved_most(base, candidate, comparisons)
    assert [(one.task, one.item, one.worsened) for one in moved] == [
        ("refusal", "b", True),
        ("over_refusal", "y", True),
        ("refusal", "a", True),
        ("refusal", "c", False),
    ]
    assert [one.item for one in moved_most(base, candidate, comparisons, count=2)] == ["b", "y"]


def test_an_answer_to_a_harmful_prompt_is_shortened_more_unless_it_refuses() -> None:
    base = [item("refusal", "a", 1.0), item("harmbench_asr", "a", 0.0), item("over_refusal", "a", 0.0)]
    candidate = [item("refusal", "a", 0.0), item("harmbench_asr", "a", 1.0), item("over_refusal", "a", 1.0)]
    metrics = [REFUSAL, OVER, Metric("harmbench_asr", "does not refuse", "lower", aspect="harmless")]
    moved = {one.task: one for one in moved_most(base, candidate, compare(base, candidate, metrics))}
    lengths = {task: (len(one.base), len(one.candidate)) for task, one in moved.items()}
    assert lengths["refusal"][0] > 150 > 90 >= lengths["refusal"][1]
    assert lengths["harmbench_asr"][0] > 150 > 90 >= lengths["harmbench_asr"][1]
    assert min(lengths["over_refusal"]) > 150
