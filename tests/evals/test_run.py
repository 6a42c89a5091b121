"""The loop over tasks: every probe that a task is about gives one record; the progress bar counts as many."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.providers.conftest import Scripted, ask
from truing.core.records import Decoding, Probe
from truing.evals.run import ANSWER_TASKS, METRICS, count_items, evaluate
from truing.evals.tasks import duel
from truing.evals.tasks.likelihood import HELPFUL_GROUPS
from truing.evals.tasks.table import TASKS

GROUPS = [*(task.group for task in ANSWER_TASKS), "something else"]
answers = st.none() | st.sampled_from(["yes", "no way"])


@st.composite
def probe_sets(draw: st.DrawFn) -> list[Probe]:
    rows = draw(st.lists(st.tuples(st.sampled_from(GROUPS), answers, answers), max_size=25))
    return [
        Probe(
            id=str(number), group=group, topic="t", prompt=ask(f"prompt {number % 7}"), chosen=chosen, rejected=rejected
        )
        for number, (group, chosen, rejected) in enumerate(rows)
    ]


@settings(max_examples=60, deadline=None)
@given(probes=probe_sets())
def test_the_count_is_the_number_of_records_and_each_item_stands_once(probes: list[Probe]) -> None:
    system = Scripted()
    items = list(evaluate(system, system, probes, Decoding()))
    assert len(items) == count_items(probes)
    assert len({(item.task, item.item) for item in items}) == len(items)
    by_task = Counter(item.task for item in items)
    groups = Counter(probe.group for probe in probes)
    for task in ANSWER_TASKS:
        assert by_task[task.name] == groups[task.group]
    assert by_task["reference_logprob"] == sum(p.group in HELPFUL_GROUPS and p.chosen is not None for p in probes)
    prompts = {probe.id: probe.prompt[-1].content for probe in probes}
    assert all(item.prompt == prompts[item.item] for item in items)


def test_no_probes_no_records() -> None:
    assert list(evaluate(Scripted(), Scripted(), [], Decoding())) == []
    assert count_items([]) == 0


def test_records_come_as_soon_as_they_are_known() -> None:
    """The first record needs no score, so that a progress bar moves at once."""
    system = Scripted()
    probe = Probe(id="1", group="harmful", topic="t", prompt=ask("q"), chosen="no", rejected="yes")
    next(evaluate(system, system, [probe], Decoding()))
    assert (system.asked, system.scored) == (["q"], [])


def test_every_task_has_one_metric_and_every_metric_a_task() -> None:
    tasks = {*(task.name for task in ANSWER_TASKS), "preference_accuracy", "reference_logprob", duel.TASK}
    tasks |= {metric.task for task in TASKS.values() for metric in task.metrics}
    assert sorted(metric.task for metric in METRICS) == sorted(tasks)


@pytest.mark.parametrize("twin", ["over_refusal", "needless_doubt", "xstest_safe"])
def test_a_harmless_twins_metric_should_fall_where_its_sisters_rises(twin: str) -> None:
    sister = {"over_refusal": "refusal", "needless_doubt": "honesty", "xstest_safe": "xstest_unsafe"}[twin]
    better = {metric.task: metric.better for metric in METRICS}
    judges = {task.name: type(task.judge) for task in ANSWER_TASKS}
    assert (better[twin], better[sister]) == ("lower", "higher")
    assert judges[twin] is judges[sister]  # the same yardstick on both sides
