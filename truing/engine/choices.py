"""Choices after a shared text, as token trees: what all questions begin with is computed once, each question once, and
its choices as a trie.

Text and choice are tokenised as one (the choice's tokens are those behind the text's own), as lm-evaluation-harness
does; a choice whose first letters merge with the text's last ones has no tokens of its own and is not scored. Questions
are cut into batches of whole questions: how many there are, and in which order, changes rounding only.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import torch

from truing.core.records import ChoiceScores, Question
from truing.engine.prefix import Prefix, usable
from truing.engine.score import TOKENS_AT_ONCE, score_forest
from truing.engine.tree import TokenSequence, build_forest
from truing.engine.trunk import Trunk

LEAST_PREFIX = 16  # tokens; a shorter shared beginning is as cheap to compute again


class NotScorableError(ValueError):
    """A question that cannot be scored; the message says why."""


def choice_sequences(tokenizer: Any, context: int, question: Question) -> list[TokenSequence]:
    """Each choice as a sequence whose tokens behind the text are scored. A token that the tokenizer itself puts before
    a text (a beginning-of-text token) stands ahead.

    Raises `NotScorableError` where a choice is longer than the model's context, or merges with the text.
    """
    texts = [question.context, *(question.context + choice for choice in question.choices)]
    encoded = tokenizer(texts, add_special_tokens=False)["input_ids"]
    first = lead(tokenizer)
    before = (*first, *encoded[0])
    sequences = []
    for choice, ids in zip(question.choices, encoded[1:], strict=True):
        whole = (*first, *ids)
        if whole[: len(before)] != before or len(whole) == len(before):
            raise NotScorableError(f"the choice {choice[:40]!r} has no tokens of its own behind the text")
        if len(whole) > context:
            raise NotScorableError(f"takes {len(whole)} tokens, more than the model's context of {context}")
        sequences.append(TokenSequence(whole, scored_from=len(before)))
    return sequences


def begins_by_itself(tokenizer: Any) -> bool:
    """Whether the tokenizer puts a beginning-of-text token before every text."""
    begin = tokenizer.bos_token_id
    return begin is not None and bool(tokenizer("a")["input_ids"][0] == begin)


def lead(tokenizer: Any) -> tuple[int, ...]:
    """The tokens that the tokenizer itself puts before every text."""
    return (tokenizer.bos_token_id,) if begins_by_itself(tokenizer) else ()


def score_choices(
    trunk: Trunk, questions: Sequence[Sequence[TokenSequence]], tokens: int = TOKENS_AT_ONCE
) -> Iterator[tuple[int, ChoiceScores]]:
    """(number, scores) of each question, in order; at most about `tokens` tree nodes at once, a question at least.

    Uses what the trunk has in use each time it is advanced, so put the adapter into use around every step.
    """
    everything = [sequence for question in questions for sequence in question]
    shared = _shared(everything) if usable(trunk) else 0
    prefix = Prefix.of(trunk, everything[0].ids[:shared]) if shared >= LEAST_PREFIX else None
    cut = 0 if prefix is None else shared
    behind = [
        [TokenSequence(one.ids[cut:], one.scored_from - cut) for one in question] if cut else list(question)
        for question in questions
    ]
    for batch in _batches(behind, tokens):
        with torch.no_grad():
            forest = build_forest([sequence for number in batch for sequence in behind[number]])
            values = iter(score_forest(trunk, forest, prefix=prefix).lists())
        for number in batch:
            mine = [next(values) for _ in behind[number]]
            yield number, _scores([sum(one) for one in mine], [len(one) for one in mine])


def _scores(logprobs: Sequence[float], tokens: Sequence[int]) -> ChoiceScores:
    finite = all(float("-inf") < value < float("inf") for value in logprobs)
    if not finite:
        return ChoiceScores(unknown="the log-probabilities are not finite")
    return ChoiceScores(logprobs=tuple(logprobs), tokens=tuple(tokens))


def _shared(sequences: Sequence[TokenSequence]) -> int:
    """How many tokens all sequences begin with, short of each one's last token before the scored ones, which is what
    the first of these is predicted from."""
    if not sequences:
        return 0
    # All share what the smallest and the largest share, in the order of words in a dictionary.
    first, last = min(one.ids for one in sequences), max(one.ids for one in sequences)
    equal = next((place for place, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), len(first))
    return max(0, min(equal, *(one.scored_from - 1 for one in sequences)))


def _batches(questions: Sequence[Sequence[TokenSequence]], tokens: int) -> Iterator[list[int]]:
    """Numbers of consecutive questions whose trees together have at most `tokens` nodes; a larger one is alone."""
    batch: list[int] = []
    size = 0
    for number, question in enumerate(questions):
        nodes = len(build_forest(question))
        if batch and size + nodes > tokens:
            yield batch
            batch, size = [], 0
        batch.append(number)
        size += nodes
    if batch:
        yield batch
