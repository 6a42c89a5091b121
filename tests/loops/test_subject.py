"""What the verb `benchmark` measures: which tasks a deployed model is refused for, before anybody is asked."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.providers.deployed import need
from truing.core.errors import InputError
from truing.core.records import Answer, Conversation, Decoding
from truing.engine.settings import ModelConfig
from truing.evals.task import Subject, Task, TaskSettings, evenly, folder_of, missing_files
from truing.evals.tasks.table import TASKS
from truing.loops.context import Context, Deployed
from truing.loops.verbs.subject import check_deployed
from truing.providers.settings import RemoteConfig


class Asked(BaseException):
    """A deployed model would have been asked."""


class Counted:
    """A sampler that may not be asked."""

    def sample(self, prompts: Sequence[Conversation], _decoding: Decoding) -> Iterator[tuple[int, Answer]]:
        if prompts:
            raise Asked
        yield from ()


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_a_task_is_refused_beforehand_just_where_it_would_fail_for_want_of_log_probabilities(
    task: Task, tmp_path: Path, shared_data: Path
) -> None:
    """Otherwise a task would be paid for that cannot end, or one refused that could."""
    need("openai")
    folder = folder_of(task, shared_data)
    assert folder is not None
    if missing_files(task, folder):
        pytest.skip(f"the files of {task.name} are not at hand")
    deployed = Deployed(RemoteConfig(base_url="http://127.0.0.1:1/v1"))
    context = Context(tmp_path / ".truing", ModelConfig(name="openai:tiny"), shared_data, deployed)
    rows = evenly(task.read(folder).rows, 2)
    try:
        list(task.run(Subject("served", Counted(), None), rows, TaskSettings()))
    except Asked:
        check_deployed(context, [task], {task.name: folder})
    except InputError:
        with pytest.raises(InputError, match=f"{task.name}: this compares log-probabilities"):
            check_deployed(context, [task], {task.name: folder})
    else:
        pytest.fail(f"{task.name} neither asks nor scores")
    assert not (tmp_path / ".truing").exists()


def test_all_tasks_that_cannot_be_asked_are_named(tmp_path: Path, shared_data: Path) -> None:
    need("openai")
    deployed = Deployed(RemoteConfig(base_url="http://127.0.0.1:1/v1"))
    context = Context(tmp_path / ".truing", ModelConfig(name="openai:tiny"), shared_data, deployed)
    tasks = [TASKS[name] for name in ("bbq", "xstest", "winobias")]
    with pytest.raises(InputError, match=r"^bbq, winobias: these compare .*; ask it for xstest alone, or measure a"):
        check_deployed(context, tasks, dict.fromkeys(["bbq", "xstest", "winobias"], shared_data))


def test_a_deployed_model_is_opened_only_where_it_is_said_how_it_is_asked(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="this needs weights or log-probabilities, and openai:tiny is a deployed"):
        Context(tmp_path, ModelConfig(name="openai:tiny"))
