"""Several scored completions of one prompt, as in UltraFeedback (Cui et al. 2023, arXiv:2310.01377).

Read are `prompt` or `instruction`; and either objects in `completions`, each a text (`response`, `text`, `completion`
or `content`) with a score (`overall_score`, `score` or `rating`), or texts in `completions`, `generations` or
`responses` beside numbers in `scores` or `ratings`. `source` becomes the origin; other keys are not read. A higher
score is better.
"""

import itertools
import math
from collections.abc import Sequence
from typing import Any

from truing.core.records import Comparison, Conversation
from truing.data.native import prompt_of
from truing.data.rows import AS_IT_IS, Ask, RowError
from truing.data.validate import row_id

NAME = "scores"
_PROMPTS = ("prompt", "instruction")
_LISTS = ("completions", "generations", "responses")
_NUMBERS = ("scores", "ratings")
_TEXT = ("response", "text", "completion", "content")
_SCORE = ("overall_score", "score", "rating")


def recognises(row: dict[str, Any]) -> bool:
    """True for rows with a prompt and a list of completions."""
    return _first(row, _PROMPTS) is not None and isinstance(_first(row, _LISTS), list)


def parse(row: dict[str, Any], fallback_id: str, ask: Ask = AS_IT_IS) -> list[Comparison]:
    """One row → the comparisons that its scores make. Raises `RowError`."""
    prompt = _needed(row, _PROMPTS, "the row")
    completions = _needed(row, _LISTS, "the row")
    if not isinstance(completions, list):
        raise RowError(f"the completions must be a list, found {type(completions).__name__}")
    if all(isinstance(one, dict) for one in completions):
        where = [f"completion {number}" for number in range(1, len(completions) + 1)]
        answers = [_needed(one, _TEXT, place) for one, place in zip(completions, where, strict=True)]
        scores = [_needed(one, _SCORE, place) for one, place in zip(completions, where, strict=True)]
    else:
        answers, scores = completions, _needed(row, _NUMBERS, "the row")
        if not isinstance(scores, list) or len(scores) != len(answers):
            raise RowError(f"there are {len(answers)} completions, and not as many scores")
    source = row.get("source")
    shared = {"origin": source if isinstance(source, str) and source else None}
    return pairs(row_id(row, fallback_id), prompt_of(prompt), answers, scores, ask, shared)


def pairs(
    own_id: str, prompt: Conversation, answers: Sequence[Any], scores: Sequence[Any], ask: Ask, shared: dict[str, Any]
) -> list[Comparison]:
    """The comparisons of scored answers: the best against the worst, or all pairs. Equal scores make a tie; of several
    best (or worst) answers the first (the last) counts. Raises `RowError`."""
    if len(answers) < 2:
        raise RowError("there must be two completions or more to compare")
    for number, (answer, score) in enumerate(zip(answers, scores, strict=True), start=1):
        if not isinstance(answer, str) or not answer.strip():
            raise RowError(f"completion {number} is empty")
        if isinstance(score, bool) or not isinstance(score, int | float) or not math.isfinite(score):
            raise RowError(f"completion {number}: the score must be a number, found {score!r}")
    order = sorted(range(len(answers)), key=lambda place: -scores[place])  # stable: the file's order among equals
    chosen = [(order[0], order[-1])] if ask.pairs == "best-worst" else list(itertools.combinations(order, 2))
    return [
        Comparison(
            id=own_id if len(chosen) == 1 else f"{own_id}-{number}",
            prompt=prompt,
            chosen=answers[best],
            rejected=answers[worst],
            tie=scores[best] == scores[worst],
            **shared,
        )
        for number, (best, worst) in enumerate(chosen, start=1)
    ]


def _first(row: dict[str, Any], keys: Sequence[str]) -> Any:
    return next((row[key] for key in keys if row.get(key) is not None), None)


def _needed(row: dict[str, Any], keys: Sequence[str], where: str) -> Any:
    value = _first(row, keys)
    if value is None:
        raise RowError(f"{where} has none of the keys {', '.join(keys)}")
    return value
