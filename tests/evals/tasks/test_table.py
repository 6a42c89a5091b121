"""The table of tasks: names, metrics and files are told apart, and a system that cannot score is told so."""

import itertools
import re

import pytest

from tests.evals.tasks.conftest import subject
from truing.core.errors import InputError
from truing.core.records import Question
from truing.evals.task import Subject, Task, evenly
from truing.evals.tasks.table import TASKS


def test_no_metric_stands_twice_and_each_task_goes_by_its_own_name() -> None:
    metrics = [metric.task for task in TASKS.values() for metric in task.metrics]
    assert len(set(metrics)) == len(metrics)
    assert all(name == task.name for name, task in TASKS.items())
    assert all(re.fullmatch(r"[a-z0-9_]+", name) for name in TASKS)


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_a_judged_task_says_how_good_its_judge_is_and_a_scored_one_what_chance_is(task: Task) -> None:
    """Wording alone judges refusals; for TruthfulQA's references, and for the honesty pairs, there are no labelled
    answers by others."""
    if task.judge is None:
        assert bool(task.chance) != (task.name == "perplexity")
    elif task.name not in ("truthfulqa_generation", "honesty"):
        assert task.accuracy is not None


def test_choices_of_a_system_that_gives_no_log_probabilities_are_refused() -> None:
    remote = Subject("remote", subject().sampler, None)
    with pytest.raises(InputError, match="bbq compares log-probabilities of given texts, which remote does not give"):
        list(remote.score("bbq", [Question(context="a", choices=("b",))]))


@pytest.mark.parametrize("limit", [None, 1, 3, 7, 10, 11])
def test_a_limit_takes_rows_evenly_and_none_twice(limit: int | None) -> None:
    taken = evenly(range(10), limit)
    assert len(taken) == min(10, limit or 10)
    assert taken == sorted(set(taken))
    assert taken[0] == 0
    gaps = {after - before for before, after in itertools.pairwise(taken)}
    assert not gaps or max(gaps) - min(gaps) <= 1
