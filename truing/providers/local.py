"""A local system: a trunk with (or without) an adapter, as a `Sampler`, a `Scorer` and a `ChoiceScorer`.

Several systems may share one trunk: each puts its own adapter into use only while it computes, and puts things back
before it yields. So systems may be read in turns, and an iterator may be left unfinished.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from truing.core.digest import canonical_json, digest, digest_bytes
from truing.core.protocols import Store
from truing.core.records import Answer, ChoiceScores, Conversation, Decoding, Question
from truing.engine.adapters import use_adapter
from truing.engine.chat import Chat, as_drawn
from truing.engine.choices import NotScorableError, begins_by_itself, choice_sequences, score_choices
from truing.engine.generate import generate
from truing.engine.score import TOKENS_AT_ONCE, batches, lower_states, score_forest
from truing.engine.tree import TokenSequence, build_forest
from truing.engine.trunk import Trunk


class LocalSystem:
    """`adapter` is the name of an adapter that the trunk holds, `first_layer` the lowest layer that it changes.

    With a `store`, hidden states below `first_layer` are kept by content: another adapter on the trunk reads them back.
    So are the scores of choices, by their tokens and by `identity`, the digest of what else they depend on (weights,
    dtype, device, adapter); without an identity they are not kept.
    """

    def __init__(
        self,
        trunk: Trunk,
        adapter: str | None = None,
        *,
        first_layer: int = 0,
        system_prompt: str | None = None,
        store: Store | None = None,
        identity: str = "",
    ) -> None:
        self.trunk = trunk
        self.adapter = adapter
        self.first_layer = first_layer
        self.chat = Chat(trunk.tokenizer, trunk.context, system_prompt)
        self.store = store
        self.identity = identity

    def sample(self, prompts: Sequence[Conversation], decoding: Decoding) -> Iterator[tuple[int, Answer]]:
        """Answers as they finish: (index of the prompt, answer)."""
        ids = [self.chat.prompt_ids(prompt) for prompt in prompts]
        answers = generate(self.trunk, ids, decoding, self.chat.end_id)
        while True:
            with use_adapter(self.trunk, self.adapter):
                number, made = next(answers, (-1, None))
            if made is None:
                return
            yield (
                number,
                Answer(
                    text=self.chat.text(made.ids),
                    token_ids=made.ids,
                    logprobs=made.logprobs,
                    finished=made.finished,
                    least_gap=made.least_gap,
                ),
            )

    def score(self, rows: Sequence[tuple[Conversation, str | Answer]]) -> Iterator[tuple[int, list[float]]]:
        """(index, per-token log-probabilities in nats), in order; shared prefixes cost once. The end of turn is
        included; of a drawn `Answer` only if it was drawn."""
        forest = build_forest([self._sequence(prompt, answer) for prompt, answer in rows])
        # Below layer 0 there is only the embedding's look-up, and drawn answers come once: neither is worth keeping.
        once = any(isinstance(answer, Answer) for _, answer in rows)
        store = self.store if self.first_layer and not once else None
        with use_adapter(self.trunk, self.adapter):
            *_, below = lower_states(self.trunk, forest, self.first_layer, store)
        assert isinstance(below, torch.Tensor)
        for part in batches(forest, range(len(rows)), TOKENS_AT_ONCE):
            piece = forest.select(part)
            states = below[torch.from_numpy(piece.source)]
            with torch.no_grad(), use_adapter(self.trunk, self.adapter):
                scores = score_forest(self.trunk, piece, states, self.first_layer).lists()
            yield from zip(part, scores, strict=True)

    def _sequence(self, prompt: Conversation, answer: str | Answer) -> TokenSequence:
        if isinstance(answer, str):
            return self.chat.sequence(prompt, answer)
        return as_drawn(self.chat.prompt_ids(prompt), answer, self.chat.end_id)

    def score_choices(self, questions: Sequence[Question]) -> Iterator[tuple[int, ChoiceScores]]:
        """Kept scores first, then the rest in order; each question's are kept before they are yielded, so that a killed
        run goes on with what is missing. What cannot be scored is unknown, and says why."""
        missing: list[tuple[int, list[TokenSequence]]] = []
        for number, question in enumerate(questions):
            try:
                sequences = choice_sequences(self.chat.tokenizer, self.trunk.context, question)
            except NotScorableError as error:
                yield number, ChoiceScores(unknown=str(error))
                continue
            kept = self._kept(sequences)
            if kept is None:
                missing.append((number, sequences))
            else:
                yield number, kept
        scores = score_choices(self.trunk, [sequences for _, sequences in missing])
        while True:
            with use_adapter(self.trunk, self.adapter):
                place, made = next(scores, (-1, None))
            if made is None:
                return
            number, sequences = missing[place]
            if self.store is not None and self.identity:
                self.store.put(self._key(sequences), canonical_json(made))
            yield number, made

    def misfit(self, prompt: Conversation, decoding: Decoding) -> str:
        """Why a prompt cannot be answered; empty where it can."""
        room = self.trunk.context - decoding.max_new_tokens
        tokens = len(self.chat.prompt_ids(prompt))
        return "" if tokens <= room else f"takes {tokens} tokens, more than the {room} that the context leaves it"

    @property
    def start(self) -> str | None:
        """The text of the token that may begin a text: empty where the tokenizer puts one by itself, None where it
        knows none."""
        tokenizer = self.chat.tokenizer
        text: str | None = "" if begins_by_itself(tokenizer) else tokenizer.bos_token or tokenizer.eos_token
        return text

    def _kept(self, sequences: Sequence[TokenSequence]) -> ChoiceScores | None:
        if self.store is None or not self.identity:
            return None
        content = self.store.get(self._key(sequences))
        return None if content is None else ChoiceScores.model_validate_json(content)

    def _key(self, sequences: Sequence[TokenSequence]) -> str:
        tokens = [(digest_bytes(np.array(one.ids, dtype=np.int64).tobytes()), one.scored_from) for one in sequences]
        return digest(["choice scores", self.identity, tokens])
