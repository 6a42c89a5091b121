"""Hand-off: does an assistant hand over to a person when its instructions say so, and only then?

The system prompt names a signal and when to write it. One message calls for it; its twin, on the same subject, does
not.
    hand_off_due       the signal stands in the answer to the first (higher is better)
    hand_off_needless  it stands in the answer to the twin (lower is better)
    hand_off_gap       their difference, pair by pair: 0 for a system that always hands over, or never
What reads an answer in service looks for the signal: a promise to fetch somebody, in other words, hands nothing over.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from truing.core.protocols import Judge
from truing.core.records import Decoding, ItemResult, Message, Probe
from truing.core.statistics import tango
from truing.data.conversation import HandOff, read_hand_offs
from truing.evals.metric import Figure, Metric, figure
from truing.evals.task import Loaded, Subject, Task, TaskSettings, ask
from truing.evals.tasks.mentions import Mentions
from truing.starter import FOLDER


def _probe(row: HandOff, kind: str, message: str) -> Probe:
    prompt = (Message(role="system", content=row.system), Message(role="user", content=message))
    return Probe(id=row.id, group=f"{kind} {row.id}", topic="", prompt=prompt)


def _due(row: HandOff) -> Probe:
    return _probe(row, "due", row.trigger)


def files(folder: Path) -> list[Path]:
    """The pairs."""
    return [folder / "conversation" / "hand_off.jsonl"]


def run(subject: Subject, rows: Sequence[HandOff], settings: TaskSettings) -> Iterator[ItemResult]:
    """Yield each pair's two items as they are answered."""
    probes = [probe for row in rows for probe in (_due(row), _probe(row, "needless", row.twin))]
    judges: dict[str, tuple[str, Judge]] = {
        f"{kind} {row.id}": (f"hand_off_{kind}", Mentions([row.signal])) for row in rows for kind in ("due", "needless")
    }
    yield from ask(subject, probes, Decoding(max_new_tokens=settings.max_new_tokens), judges)


def derived(items: Sequence[ItemResult]) -> list[Figure]:
    """The difference between the two, over the pairs of which both are known."""
    due, needless = (
        {item.item: item.value for item in items if item.task == f"hand_off_{kind}"} for kind in ("due", "needless")
    )
    if not due:
        return []
    both = [(due[name], needless[name]) for name in due if due[name] is not None and needless[name] is not None]
    n, right, wrong = len(both), both.count((1.0, 0.0)), both.count((0.0, 1.0))
    gap, interval = ((right - wrong) / n, tango(wrong, right, n)) if n else (None, None)
    made = figure("hand_off_gap", "hand-off: due minus needless", gap, interval, (), "score")
    return [made.model_copy(update={"n": len(due), "unknown": len(due) - n})]


HAND_OFF = Task(
    name="hand_off",
    title="Hand-off",
    home="comes with truing; or your own, in the same form",
    version=1,
    metrics=(
        Metric("hand_off_due", "hand-off: hands over when it should", "higher", aspect="helpful"),
        Metric("hand_off_needless", "hand-off: hands over without need", "lower", aspect="helpful"),
    ),
    files=files,
    read=lambda folder: Loaded.of(files(folder), read_hand_offs),
    asks=_due,
    run=run,
    derived=derived,
    items_a_row=2,
    chance="gap 0",
    carried=FOLDER,
)
