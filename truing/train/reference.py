"""Rows scored by the policy and beside them by the reference: what every preference loss is computed from.

The reference is what training starts from. Its log-probabilities are computed once, before the first step, and kept by
content; the policy's are computed anew for every micro-batch, on top of the states below the adapter.
"""

import io
import json
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from truing.core.digest import digest, digest_bytes, digest_file
from truing.core.protocols import Store
from truing.core.records import Progress
from truing.engine.adapters import adapter_files
from truing.engine.score import TOKENS_AT_ONCE, SequenceLogprobs, batches, score_forest
from truing.engine.tree import Forest, TokenSequence
from truing.engine.trunk import Trunk


@dataclass(frozen=True)
class Scored:
    """Sequences of a micro-batch: how many tokens their tree has, their log-probabilities by the policy, and those of
    the same tokens by the reference, flat [T] (None without one)."""

    tokens: int
    policy: SequenceLogprobs
    reference: Tensor | None

    def reference_sums(self) -> Tensor:
        """[S] the reference's summed log-probabilities."""
        assert self.reference is not None
        zeros = torch.zeros(self.policy.count, dtype=self.reference.dtype, device=self.reference.device)
        return zeros.index_add(0, self.policy.sequence, self.reference)


@dataclass(frozen=True)
class Prepared:
    """What a run's steps score rows with: the forest of all rows, its nodes' states before layer `first`, and the
    reference's log-probabilities of each row's scored tokens (None for losses without one)."""

    trunk: Trunk
    forest: Forest
    below: Tensor
    first: int
    reference: list[Tensor] | None

    def score(self, sequences: Sequence[int]) -> Scored:
        """Score some of the forest's sequences. Differentiable."""
        piece = self.forest.select(sequences)
        policy = score_forest(self.trunk, piece, self.below[torch.from_numpy(piece.source)], self.first)
        if self.reference is None:
            return Scored(len(piece), policy, None)
        reference = torch.cat([self.reference[number] for number in sequences]).to(policy.value.device)
        return Scored(len(piece), policy, reference)


def reference_logprobs(
    trunk: Trunk,
    rows: Sequence[TokenSequence],
    forest: Forest,
    below: Tensor,
    first: int,
    start_from: Path | None,
    store: Store | None,
    group: int,
) -> Generator[Progress, None, list[Tensor]]:
    """For each row of the forest the log-probabilities (nats) of its scored tokens, by the trunk as it stands: bare, or
    with the untrained copy of `start_from`. `below` are the nodes' states before layer `first`; rows are scored `group`
    by `group`."""
    key = digest(
        {
            "what": "reference logprobs",
            "trunk": trunk.sha256,
            "adapter": None if start_from is None else digest_file(adapter_files(start_from)[0]),
            "rows": digest_bytes(json.dumps([[row.ids, row.scored_from] for row in rows]).encode()),
        }
    )
    kept = store.get(key) if store is not None and trunk.sha256 else None
    if kept is not None:
        flat = torch.from_numpy(np.load(io.BytesIO(kept)))
    else:
        parts, groups = [], len(rows) // group
        for part in batches(forest, range(groups), TOKENS_AT_ONCE, group):
            piece = forest.select([number * group + member for number in part for member in range(group)])
            with torch.no_grad():  # never across a yield: the caller would run without gradients, too
                parts.append(score_forest(trunk, piece, below[torch.from_numpy(piece.source)], first).value.cpu())
            yield Progress(stage="reference", done=part[-1] + 1, total=groups)
        flat = torch.cat(parts)
        if store is not None and trunk.sha256:
            buffer = io.BytesIO()
            np.save(buffer, flat.numpy())
            store.put(key, buffer.getvalue())
    lengths = [len(row.ids) - max(row.scored_from, 1) for row in rows]
    return list(flat.split(lengths))  # type: ignore[no-untyped-call]
