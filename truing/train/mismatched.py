"""Prompts with answers that were written for other prompts: what KTO's baseline is estimated on."""

from collections.abc import Sequence
from itertools import chain

from truing.core.errors import InputError
from truing.engine.tree import TokenSequence


def mismatched_rows(
    rows: Sequence[TokenSequence], labels: Sequence[bool], order: Sequence[int], context: int
) -> list[TokenSequence]:
    """For each row of `order` its prompt with another row's answer: the nearest before it in that order (before the
    first: from the end) whose prompt is another one and whose answer fits into the context behind it; of its own label
    if there is such a row. A batch's mismatched answers are then nearly its own.

    Raises `InputError` for a row that finds none.
    """
    prompts, answers = [row.ids[: row.scored_from] for row in rows], [row.ids[row.scored_from :] for row in rows]

    def partner(place: int) -> int:
        row = order[place]
        fitting = (
            other
            for other in (order[place - back] for back in range(1, len(order)))  # below 0, from the end
            if prompts[other] != prompts[row] and len(prompts[row]) + len(answers[other]) <= context
        )
        first = next(fitting, None)
        if first is None:
            raise InputError(
                f"loss = 'kto' compares with answers to other prompts, and row {row + 1} of {len(rows)} finds none "
                f"that fits into the context of {context} tokens; train on more prompts, or use bco"
            )
        alike = (other for other in chain([first], fitting) if labels[other] == labels[row])
        return next(alike, first)

    return [TokenSequence(prompts[row] + answers[partner(place)], len(prompts[row])) for place, row in enumerate(order)]
