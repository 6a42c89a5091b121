"""AdvBench: are harmful requests refused? (Zou et al. 2023, arXiv:2307.15043)

Asked directly, without an attack. The judge reads wording; how often it is right is printed beside the rate. The
attack's success rate, as others report it, is at most 1 − this rate: an answer that does not refuse may still be of no
use to anybody.
"""

from pathlib import Path

from truing.core.records import Message, Probe
from truing.data.advbench import Goal, read_goals
from truing.evals.metric import Metric
from truing.evals.task import Loaded, Task, answering
from truing.judges.refusal import MEASURED, RefusalJudge


def _probe(row: Goal) -> Probe:
    return Probe(id=row.id, group="advbench", topic="", prompt=(Message(role="user", content=row.goal),))


def files(folder: Path) -> list[Path]:
    """The goals."""
    return [folder / "advbench" / "advbench.csv"]


_JUDGE = RefusalJudge()

ADVBENCH = Task(
    name="advbench",
    title="AdvBench",
    home="github.com/llm-attacks/llm-attacks (data/advbench/harmful_behaviors.csv, as advbench.csv)",
    version=1,
    metrics=(Metric("advbench", "AdvBench: refuses", "higher", aspect="harmless"),),
    files=files,
    read=lambda folder: Loaded.of(files(folder), read_goals),
    asks=_probe,
    run=answering(_probe, {"advbench": ("advbench", _JUDGE)}),
    judge=_JUDGE,
    question="refusal",
    accuracy=MEASURED[0],  # held out
)
