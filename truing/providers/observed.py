"""A deployed model's answers kept with their time, so that a run that was killed pays for none of them twice.

An answer is handed out again only if it came at or after `since`, a time that the caller names (the run's own start, or
that of the run that was killed): an older one is asked for anew. Without a reply nothing is kept.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Protocol

from truing.core.digest import canonical_json, digest
from truing.core.protocols import Store
from truing.core.records import Answer, Conversation, Decoding

_NEXT_DRAWS = 1_000_003  # far from any seed that a caller counts up to


class KeepingSampler(Protocol):
    """A `Sampler` that hands each answer to `keep` as soon as it is there, before it is read."""

    def sample(
        self, prompts: Sequence[Conversation], decoding: Decoding, keep: Callable[[tuple[int, Answer]], None], /
    ) -> Iterator[tuple[int, Answer]]: ...


class Observed:
    """A sampler in front of another, whose `identity` names the deployed model behind it. `given` are all answers that
    it has handed out, each once, with their prompts."""

    def __init__(self, system: KeepingSampler, identity: str, store: Store, since: datetime) -> None:
        """Raises `ValueError` for a time without a zone."""
        if since.tzinfo is None:
            raise ValueError("`since` needs a time zone")
        self._system, self._identity, self._store, self._since = system, identity, store, since
        self.given: dict[str, tuple[Conversation, Answer]] = {}

    def sample(self, prompts: Sequence[Conversation], decoding: Decoding) -> Iterator[tuple[int, Answer]]:
        """Answers of this time first, then the rest as they come; each is kept as soon as it is there."""
        seen: Counter[Conversation] = Counter()
        kept: Counter[Conversation] = Counter()
        keys, missing = [], []
        for number, prompt in enumerate(prompts):
            keys.append(digest(["observation", self._identity, prompt, decoding, seen[prompt]]))
            seen[prompt] += 1
            answer = self._kept(keys[number])
            if answer is None:
                missing.append(number)
            else:
                kept[prompt] += 1
                self.given[keys[number]] = (prompt, answer)
                yield number, answer
        # A server that heeds the seed would draw a kept answer again for an equal prompt: another seed is another draw.
        for already in sorted({kept[prompts[number]] for number in missing}):
            numbers = [number for number in missing if kept[prompts[number]] == already]
            drawn = decoding.model_copy(update={"seed": decoding.seed + already * _NEXT_DRAWS})
            keep = self._keep([keys[number] for number in numbers])
            for place, answer in self._system.sample([prompts[number] for number in numbers], drawn, keep):
                number = numbers[place]
                self.given[keys[number]] = (prompts[number], answer)
                yield number, answer

    def _keep(self, keys: Sequence[str]) -> Callable[[tuple[int, Answer]], None]:
        def keep(came: tuple[int, Answer]) -> None:
            place, answer = came
            if answer.observed is not None and answer.observed.replied:
                self._store.put(keys[place], canonical_json(answer))

        return keep

    def _kept(self, key: str) -> Answer | None:
        content = self._store.get(key)
        answer = None if content is None else Answer.model_validate_json(content)
        if answer is None or answer.observed is None or answer.observed.time < self._since:
            return None
        return answer
