"""Verdicts by log-probability: with which of a few words would a local model begin its reply?

    P(verdict) = Σ over its spellings of P(its tokens up to the first that no other verdict shares | prompt)

All spellings stand behind the prompt as one trie, so that the prompt is computed once (`engine/choices.py`); nothing is
drawn. The probabilities are those among everything that the model might say: where it would rather say something
else, all of them are small, and the verdict is unknown. Whether they are calibrated it does not know: a model may be
sure and wrong. Judged is with the bare trunk, whatever adapters it carries.
"""

import json
import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

import numpy as np

from truing.core.digest import canonical_json, digest, digest_bytes
from truing.core.errors import InputError
from truing.core.protocols import Store
from truing.core.records import Conversation, Outcome
from truing.engine.adapters import use_adapter
from truing.engine.chat import Chat
from truing.engine.choices import score_choices
from truing.engine.tree import TokenSequence
from truing.engine.trunk import Trunk
from truing.judges.asked import VERDICTS, RubricConfig, rubric_prompt
from truing.judges.scope import says_nothing

Tokens = tuple[int, ...]
Probabilities = dict[str, float]
AS_WORD = "Reply with one word and nothing else: yes, no, or unknown if the answer does not let you tell"


def spellings(verdicts: Collection[str]) -> dict[str, tuple[str, ...]]:
    """Each verdict as it may begin a reply: small or capital, behind a space or not."""
    return {word: tuple(space + text for space in ("", " ") for text in (word, word.title())) for word in verdicts}


def first_differing(spelled: Mapping[str, Collection[Tokens]]) -> dict[str, tuple[Tokens, ...]]:
    """Each verdict's spellings, cut behind the first token that no other verdict shares; what then begins with another
    spelling of the same verdict is left out. So no two of them can happen at once, and their probabilities add up.

    Raises `InputError` where a spelling is the beginning of another verdict's: it could not be told from that.
    """
    found = {}
    for verdict, mine in spelled.items():
        others = [ids for other, theirs in spelled.items() if other != verdict for ids in theirs]
        shared = {ids[:length] for ids in others for length in range(1, len(ids) + 1)}
        cut = set()
        for ids in mine:
            length = next((n for n in range(1, len(ids) + 1) if ids[:n] not in shared), None)
            if length is None:
                raise InputError(
                    f"for this model's tokenizer the verdict {verdict!r} begins as another one does; it cannot be read "
                    "by log-probability, so read its reply"
                )
            cut.add(ids[:length])
        found[verdict] = tuple(sorted(ids for ids in cut if not any(ids[:n] in cut for n in range(1, len(ids)))))
    return found


class VerdictReader:
    """Reads the probabilities of verdicts behind prompts of tokens. With a `store` they are kept by content."""

    def __init__(self, trunk: Trunk, spelled: Mapping[str, Sequence[str]], store: Store | None = None) -> None:
        self.trunk, self._store = trunk, store
        self._tokens = first_differing(
            {
                verdict: {tuple(trunk.tokenizer(text, add_special_tokens=False)["input_ids"]) for text in texts}
                for verdict, texts in spelled.items()
            }
        )

    def read(self, prompts: Sequence[Tokens]) -> Iterator[tuple[int, Probabilities | str]]:
        """(number of the prompt, each verdict's probability, or why there is none), kept ones first."""
        longest = max(len(ids) for mine in self._tokens.values() for ids in mine)
        missing = []
        for number, prompt in enumerate(prompts):
            kept = self._kept(prompt)
            if kept is not None:
                yield number, kept
            elif len(prompt) + longest > self.trunk.context:
                needed = len(prompt) + longest
                yield number, f"takes {needed} tokens, more than the model's context of {self.trunk.context}"
            else:
                missing.append(number)
        scores = score_choices(self.trunk, [self._sequences(prompts[number]) for number in missing])
        while True:
            with use_adapter(self.trunk, None):  # never across a yield
                place, made = next(scores, (-1, None))
            if made is None:
                return
            number = missing[place]
            if made.unknown:
                yield number, made.unknown
                continue
            logprobs = iter(made.logprobs)
            found = {
                verdict: math.fsum(math.exp(next(logprobs)) for _ in mine) for verdict, mine in self._tokens.items()
            }
            if self._store is not None and self.trunk.sha256:
                self._store.put(self._key(prompts[number]), canonical_json(found))
            yield number, found

    def _sequences(self, prompt: Tokens) -> list[TokenSequence]:
        return [TokenSequence((*prompt, *ids), len(prompt)) for mine in self._tokens.values() for ids in mine]

    def _kept(self, prompt: Tokens) -> Probabilities | None:
        if self._store is None or not self.trunk.sha256:
            return None
        content = self._store.get(self._key(prompt))
        found = None if content is None else json.loads(content)
        return None if found is None else {verdict: found[verdict] for verdict in self._tokens}

    def _key(self, prompt: Tokens) -> str:
        tokens = digest_bytes(np.array(prompt, dtype=np.int64).tobytes())
        trunk = [self.trunk.sha256, str(self.trunk.dtype), self.trunk.device.type]
        return digest(["verdicts", *trunk, self._tokens, tokens])


def verdict_of(found: Probabilities, threshold: float) -> str | None:
    """The verdict whose probability is above the threshold, a half or more; None where none's is."""
    return next((verdict for verdict, share in found.items() if share > threshold), None)


def outcome_of(found: Probabilities | str, threshold: float) -> Outcome:
    """A verdict as an outcome; unknown where there is none, or where the verdict is that it cannot be told."""
    if isinstance(found, str):
        return Outcome(value=None, reason=f"cannot be judged: {found}")
    shown = ", ".join(f"{verdict} {share:.0%}" for verdict, share in found.items())
    verdict = verdict_of(found, threshold)
    if verdict is not None:
        return Outcome(value=VERDICTS[verdict], reason=shown, detail=found)
    return Outcome(value=None, reason=f"no verdict has more than {threshold:.0%}: {shown}", detail=found)


class RubricReader:
    """A rubric as `RubricJudge` asks it, but read by log-probability. The trunk, and what keeps probabilities, are
    opened when the first answer is judged; `name` is the trunk's name and hash."""

    def __init__(self, opens: Callable[[], tuple[Trunk, Store | None]], config: RubricConfig, name: str) -> None:
        self._opens, self._config = opens, config
        asked = rubric_prompt((), "", "", AS_WORD)
        made = digest([config.criterion, asked, spellings(VERDICTS), config.threshold])
        self.version = f"rubric-logprobs-1 ({name}, {made[:12]})"

    def judge(self, prompt: Conversation, answer: str) -> Outcome:
        """Judge one answer."""
        ((_, outcome),) = self.judge_all([(prompt, answer)])
        return outcome

    def judge_all(self, rows: Sequence[tuple[Conversation, str]]) -> Iterator[tuple[int, Outcome]]:
        """(number of the row, outcome), as they are computed."""
        asked = []
        for number, (_, answer) in enumerate(rows):
            if says_nothing(answer):
                yield number, Outcome(value=None, reason="the answer has no words")
            else:
                asked.append(number)
        if not asked:
            return
        trunk, store = self._opens()
        chat = Chat(trunk.tokenizer, trunk.context)
        prompts = [chat.prompt_ids(rubric_prompt(*rows[number], self._config.criterion, AS_WORD)) for number in asked]
        for place, found in VerdictReader(trunk, spellings(VERDICTS), store).read(prompts):
            yield asked[place], outcome_of(found, self._config.threshold)
