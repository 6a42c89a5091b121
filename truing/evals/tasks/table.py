"""The table of tasks on public sets: a new one is one file beside these, its reader in `truing.data`, and one entry."""

from pathlib import Path

from truing.evals.task import Task
from truing.evals.tasks.advbench import ADVBENCH
from truing.evals.tasks.arc import ARC_CHALLENGE, ARC_EASY
from truing.evals.tasks.bbq import BBQ
from truing.evals.tasks.do_not_answer import DO_NOT_ANSWER
from truing.evals.tasks.gsm8k import GSM8K
from truing.evals.tasks.harmbench import HARMBENCH
from truing.evals.tasks.harness import PREFIX, harness_task
from truing.evals.tasks.hhh import HHH
from truing.evals.tasks.ifeval import IFEVAL
from truing.evals.tasks.mmlu import MMLU
from truing.evals.tasks.perplexity import PERPLEXITY
from truing.evals.tasks.rewardbench import REWARDBENCH
from truing.evals.tasks.truthfulqa import TRUTHFULQA, TRUTHFULQA_817
from truing.evals.tasks.truthfulqa_generation import TRUTHFULQA_GENERATION
from truing.evals.tasks.winobias import WINOBIAS
from truing.evals.tasks.xstest import XSTEST

_TASKS = (
    TRUTHFULQA,
    TRUTHFULQA_817,
    TRUTHFULQA_GENERATION,
    WINOBIAS,
    BBQ,
    XSTEST,
    ADVBENCH,
    DO_NOT_ANSWER,
    HARMBENCH,
    PERPLEXITY,
    MMLU,
    ARC_CHALLENGE,
    ARC_EASY,
    GSM8K,
    IFEVAL,
    REWARDBENCH,
    HHH,
)
TASKS: dict[str, Task] = {task.name: task for task in _TASKS}


def task_of(name: str, folder: Path | None) -> Task:
    """A task by its name, or one of lm-evaluation-harness by `lm_eval:NAME`; files of such tasks may stand in lm_eval/
    below `folder`."""
    return TASKS[name] if name in TASKS else harness_task(name, folder)


def is_task(name: str) -> bool:
    """Whether a name may be a task's. Which ones lm-evaluation-harness has, is not asked."""
    return name in TASKS or name.startswith(PREFIX)
