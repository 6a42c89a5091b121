"""What trained judges read: a fixed trunk's hidden states over a request and the beginning of an answer.

The trunk is the judge's own, without any adapter, never the candidate's: a candidate whose activations its judge reads
could move the judge. Of the conversation it reads the last user turn (of a long one, its last `request_tokens`), of the
answer the first `answer_tokens`. What comes later in an answer it does not know.
"""

import io
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from truing.core.digest import digest, digest_bytes
from truing.core.errors import InputError
from truing.core.protocols import Store
from truing.core.records import Conversation, Message
from truing.engine.adapters import use_adapter
from truing.engine.chat import Chat
from truing.engine.score import batches
from truing.engine.tree import TokenSequence, build_forest
from truing.engine.trunk import Trunk

_TOKENS_AT_ONCE = 1024
Floats = NDArray[np.float32]


class StateReader:
    """Reads states [layers, width] of an answer: before each of `layers`, the mean over the answer's tokens. With a
    `store` they are kept by content."""

    def __init__(
        self,
        trunk: Trunk,
        layers: Sequence[int],
        answer_tokens: int,
        request_tokens: int,
        store: Store | None = None,
    ) -> None:
        """Raises `InputError` where the trunk has fewer layers, or cannot stop at one."""
        if trunk.family is None:
            raise InputError(
                f"{trunk.name} cannot be a judge's trunk: its layers cannot be read one by one ({trunk.padded}); "
                "name another model"
            )
        if max(layers) > len(trunk.layers):
            raise InputError(f"{trunk.name} has {len(trunk.layers)} layers; layer {max(layers)} cannot be read")
        self.trunk, self.store = trunk, store
        self.layers = tuple(sorted(layers))
        self.answer_tokens, self.request_tokens = answer_tokens, request_tokens
        self.chat = Chat(trunk.tokenizer, trunk.context)

    def sequence(self, prompt: Conversation, answer: str) -> TokenSequence:
        """The tokens that are read; those of the answer are the scored ones. A short answer's end of turn is one."""
        request = next((turn.content for turn in reversed(prompt) if turn.role == "user"), "")
        ids = self.chat.tokenizer(request, add_special_tokens=False)["input_ids"]
        if len(ids) > self.request_tokens:
            request = self.chat.text(ids[-self.request_tokens :])
        before = self.chat.prompt_ids((Message(role="user", content=request),))
        return TokenSequence(before + self.chat.answer_ids(answer)[: self.answer_tokens], len(before))

    def read(self, rows: Sequence[tuple[Conversation, str]]) -> Iterator[tuple[int, Floats]]:
        """(number of the row, its states), kept ones first, the rest as they are computed."""
        sequences = [self.sequence(prompt, answer) for prompt, answer in rows]
        missing = []
        for number, sequence in enumerate(sequences):
            kept = self.store.get(self._key(sequence)) if self.store is not None and self.trunk.sha256 else None
            if kept is None:
                missing.append(number)
            else:
                yield number, np.load(io.BytesIO(kept))
        forest = build_forest([sequences[number] for number in missing])
        for part in batches(forest, range(len(missing)), _TOKENS_AT_ONCE):
            piece = forest.select(part)
            found = np.empty((len(part), len(self.layers), self.trunk.head.shape[1]), dtype=np.float32)
            with torch.no_grad(), use_adapter(self.trunk, None):  # never across a yield
                below, start = None, 0
                for place, layer in enumerate(self.layers):
                    below = self.trunk.run_forest(piece, start, layer, below)
                    start = layer
                    here = below.float().cpu().numpy()
                    for row, (path, first) in enumerate(zip(piece.paths, piece.scored_from, strict=True)):
                        found[row, place] = here[path[first:]].mean(0)
            for row, number in enumerate(part):
                self._keep(sequences[missing[number]], found[row])
                yield missing[number], found[row]

    def _keep(self, sequence: TokenSequence, states: Floats) -> None:
        if self.store is not None and self.trunk.sha256:
            buffer = io.BytesIO()
            np.save(buffer, states)
            self.store.put(self._key(sequence), buffer.getvalue())

    def _key(self, sequence: TokenSequence) -> str:
        tokens = digest_bytes(np.array(sequence.ids, dtype=np.int64).tobytes())
        trunk = [self.trunk.sha256, str(self.trunk.dtype), self.trunk.device.type]
        return digest(["judge states", *trunk, self.layers, tokens, sequence.scored_from])
