"""Perplexity on text of your own: how well the model foretells it, passage by passage.

    perplexity = exp(−Σ log p / Σ tokens)        bits a byte = −Σ log₂ p / Σ bytes

Each passage (a paragraph) stands alone: its first token has nothing before it and is not scored, unless the tokenizer
begins every text with a token of its own. Perplexities of models with different tokenizers cannot be compared; bits a
byte can.
"""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from truing.core.records import ItemResult, Question
from truing.core.statistics import cluster_bootstrap_of
from truing.data.passages import Passage, read_passages
from truing.evals.metric import Figure, Metric, figure
from truing.evals.task import Loaded, Subject, Task, TaskSettings, unknown


def files(folder: Path) -> list[Path]:
    """Every text; the name of one if there is none."""
    return sorted((folder / "perplexity").glob("*.txt")) or [folder / "perplexity" / "text.txt"]


def question(row: Passage) -> Question:
    """The passage, with nothing before it."""
    return Question(context="", choices=(row.text,))


def run(subject: Subject, rows: Sequence[Passage], _settings: TaskSettings) -> Iterator[ItemResult]:
    """Yield each passage's item as it is scored."""
    for number, scores in subject.score("perplexity", [question(row) for row in rows]):
        row = rows[number]
        tokens = scores.tokens[0] if scores.tokens else 0
        if not tokens:
            reason = scores.unknown or "one token, with nothing before it"
            yield unknown("perplexity", row.id, row.id, reason, row.text)
            continue
        yield ItemResult(
            task="perplexity",
            item=row.id,
            cluster=row.id,
            value=scores.logprobs[0] / tokens,
            prompt=row.text,
            detail={"logprob": scores.logprobs[0], "tokens": tokens, "bytes": len(row.text.encode())},
        )


def derived(items: Sequence[ItemResult]) -> list[Figure]:
    """Perplexity and bits a byte, over all tokens together."""
    known = [item for item in items if item.value is not None]
    return [_ratio(items, known, "perplexity_tokens"), _ratio(items, known, "bits_a_byte")]


def _ratio(items: Sequence[ItemResult], known: Sequence[ItemResult], name: str) -> Figure:
    per_token = name == "perplexity_tokens"

    def statistic(logprob: NDArray[np.float64], size: NDArray[np.float64]) -> NDArray[np.float64]:
        result: NDArray[np.float64] = np.exp(-logprob / size) if per_token else -logprob / size / math.log(2)
        return result

    columns = [[item.detail[key] or 0.0 for item in known] for key in ("logprob", "tokens" if per_token else "bytes")]
    interval = cluster_bootstrap_of(columns, [item.cluster for item in known], statistic) if len(known) > 1 else None
    sums = [np.array([sum(column)]) for column in columns]
    title = "perplexity, over all tokens" if per_token else "bits a byte"
    return figure(name, title, float(statistic(*sums)[0]) if known else None, interval, items, "ratio")


PERPLEXITY = Task(
    name="perplexity",
    title="Perplexity",
    home="any UTF-8 texts of your own, as *.txt; a blank line ends a passage",
    version=1,
    metrics=(Metric("perplexity", "log-prob. a token of passages", "higher", "nats"),),
    files=files,
    read=lambda folder: Loaded([passage for path in files(folder) for passage in read_passages(path)]),
    asks=question,
    run=run,
    derived=derived,
)
