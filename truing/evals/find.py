"""Every task by its name: on a public set, of lm-evaluation-harness, or a suite of the user's own."""

from pathlib import Path

from truing.core.errors import InputError
from truing.evals.suite import SUFFIX, read_suite
from truing.evals.task import Task
from truing.evals.tasks.harness import PREFIX, harness_task
from truing.evals.tasks.table import TASKS


def find_task(name: str, folder: Path | None = None) -> Task:
    """A task by its name, the suite of a TOML file, or `lm_eval:NAME`, a task of lm-evaluation-harness, whose own files
    may stand in lm_eval/ below `folder`. Raises `InputError`."""
    if name.endswith(SUFFIX):
        return read_suite(Path(name))
    if name.startswith(PREFIX):
        return harness_task(name, folder)
    if name not in TASKS:
        raise InputError(
            f"there is no task {name!r}; the tasks are {', '.join(TASKS)}, {PREFIX}NAME of lm-evaluation-harness, or a "
            f"suite of your own, as FILE{SUFFIX}"
        )
    return TASKS[name]
