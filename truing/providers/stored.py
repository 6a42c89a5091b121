"""Answers and scores kept by content: a killed evaluation goes on where it was, and nothing is computed twice.

The key holds everything that an answer depends on: the system's identity (weights, dtype, adapter, template), the
prompt, the decoding, and for equal prompts which of them it is. Only for systems that are deterministic given these.
"""

import json
from collections import Counter
from collections.abc import Iterator, Sequence

from truing.core.digest import canonical_json, digest
from truing.core.protocols import Reward, Sampler, Scorer, Store
from truing.core.records import Answer, Conversation, Decoding


class Stored:
    """A sampler and scorer in front of another, whose `identity` names the system behind it."""

    def __init__(self, system: Sampler, scorer: Scorer, identity: str, store: Store) -> None:
        self._sampler, self._scorer = system, scorer
        self._identity, self._store = identity, store

    def sample(self, prompts: Sequence[Conversation], decoding: Decoding) -> Iterator[tuple[int, Answer]]:
        """Kept answers first, then the rest as they finish; each is kept before it is yielded."""
        seen: Counter[Conversation] = Counter()
        keys, missing = [], []
        for number, prompt in enumerate(prompts):
            key = digest(["answer", self._identity, prompt, decoding, seen[prompt]])
            seen[prompt] += 1
            keys.append(key)
            kept = self._store.get(key)
            if kept is None:
                missing.append(number)
            else:
                yield number, Answer.model_validate_json(kept)
        # A missing answer's randomness depends on how often its prompt came before: equal prompts are drawn together.
        wanted = set(missing)
        redrawn = {prompts[number] for number in missing}
        numbers = [number for number, prompt in enumerate(prompts) if prompt in redrawn]
        for place, answer in self._sampler.sample([prompts[number] for number in numbers], decoding):
            number = numbers[place]
            if number in wanted:
                self._store.put(keys[number], canonical_json(answer))
                yield number, answer

    def score(self, rows: Sequence[tuple[Conversation, str | Answer]]) -> Iterator[tuple[int, list[float]]]:
        """The whole batch's scores, kept together."""
        key = digest(["scores", self._identity, list(rows)])
        kept = self._store.get(key)
        if kept is not None:
            yield from enumerate(json.loads(kept))
            return
        scores: dict[int, list[float]] = {}
        for number, values in self._scorer.score(rows):
            scores[number] = values
            yield number, values
        self._store.put(key, canonical_json([scores[number] for number in range(len(rows))]))


class StoredReward:
    """A reward whose scores are kept by content: answers that many runs share (the bare model's) are scored once."""

    def __init__(self, reward: Reward, store: Store) -> None:
        self.version, self._reward, self._store = reward.version, reward, store

    def score(self, rows: Sequence[tuple[Conversation, Answer]]) -> list[float]:
        """The whole batch's scores, kept together."""
        key = digest(["rewards", self.version, list(rows)])
        kept = self._store.get(key)
        if kept is not None:
            return [float(score) for score in json.loads(kept)]
        scores = self._reward.score(rows)
        self._store.put(key, canonical_json(scores))
        return scores
