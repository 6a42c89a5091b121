"""A local system: a trunk with (or without) an adapter, as a `Sampler` and a `Scorer`.

Several systems may share one trunk: each puts its own adapter into use only while it computes, and puts things back
before it yields. So systems may be read in turns, and an iterator may be left unfinished.
"""

from collections.abc import Iterator, Sequence

import torch

from truing.core.protocols import Store
from truing.core.records import Answer, Conversation, Decoding
from truing.engine.adapters import use_adapter
from truing.engine.chat import Chat, as_drawn
from truing.engine.generate import generate
from truing.engine.score import TOKENS_AT_ONCE, batches, lower_states, score_forest
from truing.engine.tree import TokenSequence, build_forest
from truing.engine.trunk import Trunk


class LocalSystem:
    """`adapter` is the name of an adapter that the trunk holds, `first_layer` the lowest layer that it changes.

    With a `store`, hidden states below `first_layer` are kept by content: another adapter on the trunk reads them back.
    """

    def __init__(
        self,
        trunk: Trunk,
        adapter: str | None = None,
        *,
        first_layer: int = 0,
        system_prompt: str | None = None,
        store: Store | None = None,
    ) -> None:
        self.trunk = trunk
        self.adapter = adapter
        self.first_layer = first_layer
        self.chat = Chat(trunk.tokenizer, trunk.context, system_prompt)
        self.store = store

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
