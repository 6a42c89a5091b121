"""Evaluations put into a ledger by hand, so that comparing and gating them needs no model."""

from collections.abc import Mapping, Sequence

from truing.core.records import ItemResult
from truing.ledger.artifacts import Artifact
from truing.ledger.ledger import Ledger

Values = Mapping[str, Sequence[float | None]]


def commit(ledger: Ledger, name: str, values: Values, seed: int = 0) -> Artifact:
    """An evaluation with these values by task, each item a topic of its own."""
    with ledger.begin() as staging:
        lines = [
            ItemResult(task=task, item=f"{task} {number}", cluster=f"{number}", value=value, prompt=f"{task} {number}?")
            for task, found in values.items()
            for number, value in enumerate(found)
        ]
        (staging / "items.jsonl").write_text("".join(line.model_dump_json() + "\n" for line in lines))
        return ledger.commit(
            staging, kind="evaluation", verb="evaluate", verb_version=1, name=name, config={}, parents=[], seed=seed
        )


def share(ones: int, of: int = 100, unknown: int = 0) -> list[float | None]:
    """So many ones among so many values; the last are unknown."""
    return [None if number >= of - unknown else float(number < ones) for number in range(of)]
