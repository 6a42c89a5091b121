"""Retrieval noise: does a passage that has nothing to do with the question change the answer?

Each question is asked twice: with the passage that answers it, and with an irrelevant one beside it, before or behind
as the seed and the question draw. Right is an answer that mentions the right one, in one of the accepted wordings.
    spoiled = questions that were right without the noise and are wrong with it, of all whose two answers are known
    mended  = the other way round; what changes at random adds to both alike
    change  = mended − spoiled, with the score interval of a paired difference (Tango 1998)
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from truing.core.digest import digest
from truing.core.protocols import Judge
from truing.core.records import Decoding, ItemResult, Message, Probe
from truing.core.statistics import tango, wilson
from truing.data.conversation import NoisyQuestion, read_noisy
from truing.evals.metric import Figure, Metric, figure
from truing.evals.task import Loaded, Subject, Task, TaskSettings, ask
from truing.evals.tasks.mentions import Mentions
from truing.starter import FOLDER

_SIDES = ("clean", "noisy")


def _probe(row: NoisyQuestion, passages: Sequence[str], side: str) -> Probe:
    given = "\n\n".join(f"Passage: {passage}" for passage in passages)
    text = f"{given}\n\nAnswer from what is given above. {row.question}"
    return Probe(id=row.id, group=f"{side} {row.id}", topic="", prompt=(Message(role="user", content=text),))


def _clean(row: NoisyQuestion) -> Probe:
    return _probe(row, [row.passage], "clean")


def noisy(row: NoisyQuestion, seed: int) -> Probe:
    """The question with both passages, in the order that seed and question draw."""
    first = int(digest(["retrieval noise", seed, row.question])[:8], 16) % 2
    return _probe(row, [row.noise, row.passage] if first else [row.passage, row.noise], "noisy")


def files(folder: Path) -> list[Path]:
    """The questions."""
    return [folder / "conversation" / "retrieval_noise.jsonl"]


def run(subject: Subject, rows: Sequence[NoisyQuestion], settings: TaskSettings) -> Iterator[ItemResult]:
    """Yield each question's two items as they are answered."""
    probes = [probe for row in rows for probe in (_clean(row), noisy(row, settings.seed))]
    judges: dict[str, tuple[str, Judge]] = {
        f"{side} {row.id}": (f"retrieval_noise_{side}", Mentions(row.answers)) for row in rows for side in _SIDES
    }
    yield from ask(subject, probes, Decoding(max_new_tokens=settings.max_new_tokens), judges)


def derived(items: Sequence[ItemResult]) -> list[Figure]:
    """How often the noise spoils an answer, how often it mends one, and the difference."""
    clean, with_noise = (
        {item.item: item for item in items if item.task == f"retrieval_noise_{side}"} for side in _SIDES
    )
    pairs = [(clean[name].value, with_noise[name].value) for name in clean]
    both = [(one, other) for one, other in pairs if one is not None and other is not None]
    if not pairs:
        return []
    n = len(both)
    spoiled, mended = both.count((1.0, 0.0)), both.count((0.0, 1.0))
    made = []
    for name, title, count in (("spoiled", "right, and wrong with it", spoiled), ("mended", "the other way", mended)):
        share = count / n if n else None
        interval = wilson(count, n) if n else None
        made.append(figure(f"retrieval_noise_{name}", f"retrieval noise: {title}", share, interval, (), "share"))
    change, interval = ((mended - spoiled) / n, tango(spoiled, mended, n)) if n else (None, None)
    made.append(figure("retrieval_noise_change", "retrieval noise: change of the right", change, interval, (), "score"))
    return [one.model_copy(update={"n": len(pairs), "unknown": len(pairs) - n}) for one in made]


RETRIEVAL_NOISE = Task(
    name="retrieval_noise",
    title="Retrieval noise",
    home="comes with truing; or your own, in the same form",
    version=1,
    metrics=(
        Metric("retrieval_noise_clean", "retrieval noise: right without it", "higher", aspect="helpful"),
        Metric("retrieval_noise_noisy", "retrieval noise: right with it", "higher", aspect="helpful"),
    ),
    files=files,
    read=lambda folder: Loaded.of(files(folder), read_noisy),
    asks=_clean,
    run=run,
    derived=derived,
    items_a_row=2,
    chance="0",
    max_new_tokens=80,
    carried=FOLDER,
)
