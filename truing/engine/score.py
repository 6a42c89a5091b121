"""Scoring a forest: the log-probability of every scored token of every sequence, at the cost of the shared tree.

Where adapters sit only on layers ≥ `start`, the hidden states below are a function of the tokens alone: `lower_states`
computes them once for a whole dataset, and every epoch, loss, reference pass and candidate starts from them.
"""

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from truing.core.digest import digest, digest_bytes
from truing.core.protocols import Store
from truing.engine.prefix import Prefix
from truing.engine.tree import Forest, Ints
from truing.engine.trunk import Trunk

TOKENS_AT_ONCE = 2048


@dataclass(frozen=True)
class SequenceLogprobs:
    """Log-probabilities of the scored tokens of S sequences, flat: value [T] in nats, sequence [T] says whose it is."""

    value: Tensor
    sequence: Tensor
    count: int

    def sums(self) -> Tensor:
        """[S] each sequence's summed log-probability (0 where nothing is scored)."""
        zeros = torch.zeros(self.count, dtype=self.value.dtype, device=self.value.device)
        return zeros.index_add(0, self.sequence, self.value)

    def lengths(self) -> Tensor:
        """[S] each sequence's number of scored tokens."""
        return torch.bincount(self.sequence, minlength=self.count)

    def lists(self) -> list[list[float]]:
        """Each sequence's per-token values."""
        parts = self.value.detach().double().split(self.lengths().tolist())  # type: ignore[no-untyped-call]
        return [part.tolist() for part in parts]


@dataclass(frozen=True)
class ScoredRows:
    """What a forest's scored tokens are predicted from: hidden [R, width] after the final norm, edge_row [E] the row of
    each edge and edge_token [E] its token; scored token i of T goes over edge flat_edge[i] and belongs to sequence[i].
    """

    trunk: Trunk
    hidden: Tensor
    edge_row: Tensor
    edge_token: Tensor
    flat_edge: Tensor
    sequence: Tensor
    count: int

    def logprobs(self) -> SequenceLogprobs:
        """The scored tokens' log-probabilities. Differentiable."""
        edges = self.trunk.output.edge_logprobs(self.hidden, self.edge_row, self.edge_token)
        return SequenceLogprobs(edges[self.flat_edge], self.sequence, self.count)

    def of_tokens(self, rows: Tensor) -> Tensor:
        """Numbers of rows [R] → of the tokens that they predict [T]."""
        return rows[self.edge_row[self.flat_edge]]


def score_forest(
    trunk: Trunk, forest: Forest, below: Tensor | None = None, start: int = 0, prefix: Prefix | None = None
) -> SequenceLogprobs:
    """Score a forest. `below` [N, width], if given, are its nodes' states before layer `start`; its roots follow
    `prefix`, if there is one. Differentiable."""
    return scored_rows(trunk, forest, below, start, prefix).logprobs()


def scored_rows(
    trunk: Trunk, forest: Forest, below: Tensor | None = None, start: int = 0, prefix: Prefix | None = None
) -> ScoredRows:
    """Run a forest up to the output layer, whose states other heads read as well. Arguments as for `score_forest`."""
    children, flat_edge, sequence = forest.edges
    rows, edge_row = np.unique(forest.parent[children], return_inverse=True)
    hidden = trunk.run_forest(forest, start=start, below=below, prefix=prefix)
    scored = trunk.norm(hidden.index_select(0, trunk.tensor(rows)))
    return ScoredRows(
        trunk,
        scored,
        edge_row=trunk.tensor(edge_row),
        edge_token=trunk.tensor(forest.ids[children]),
        flat_edge=trunk.tensor(flat_edge),
        sequence=trunk.tensor(sequence),
        count=len(forest.paths),
    )


def batches(forest: Forest, order: Sequence[int], tokens: int, group: int = 1) -> Iterator[list[int]]:
    """Cut `order` (numbers of groups of `group` consecutive sequences) into lists whose forests hold at most `tokens`
    nodes.

    A group that is larger than the budget runs alone: nothing is cut or left out.
    """

    def nodes_of(number: int) -> Ints:
        return np.unique(np.concatenate(forest.paths[number * group : (number + 1) * group]))

    batch: list[int] = []
    held = np.zeros(len(forest), dtype=bool)
    size = 0
    for number in order:
        nodes = nodes_of(number)
        new = nodes[~held[nodes]]
        if batch and size + len(new) > tokens:
            yield batch
            for one in batch:
                held[nodes_of(one)] = False
            batch, size = [], 0
            new = nodes
        batch.append(number)
        held[new] = True
        size += len(new)
    if batch:
        yield batch


def lower_states(
    trunk: Trunk, forest: Forest, layers: int, store: Store | None = None, into: Tensor | None = None
) -> Iterator[tuple[int, int] | Tensor]:
    """The states [N, width] of a whole forest before layer `layers`, from the trunk alone; [N, 0] where that is layer
    0, since there is nothing below it to keep.

    Yields (sequences done, of all) while it computes, and the tensor last. Kept in `store` under the tokens' hash, so
    that another epoch, loss or run with the same data reads them back. `into`, if given, is where they are written.
    """
    if layers == 0:
        yield torch.empty(len(forest), 0)
        return
    key = digest(
        {
            "what": "lower states",
            "trunk": trunk.sha256,
            "layers": layers,
            "dtype": str(trunk.dtype),
            "tokens": digest_bytes(forest.ids.tobytes() + forest.parent.tobytes()),
        }
    )
    if store is not None and trunk.sha256 and (kept := store.get(key)) is not None:
        yield torch.from_numpy(np.load(io.BytesIO(kept))).to(trunk.dtype)
        return
    states = torch.empty(len(forest), trunk.head.shape[1], dtype=trunk.dtype) if into is None else into
    done = 0
    for batch in batches(forest, range(len(forest.paths)), TOKENS_AT_ONCE):
        part = forest.select(batch)
        with torch.no_grad():  # never across a yield: the caller would run without gradients, too
            states[torch.from_numpy(part.source)] = trunk.run_forest(part, stop=layers).to("cpu")
        done += len(batch)
        yield done, len(forest.paths)
    if store is not None and trunk.sha256:
        buffer = io.BytesIO()
        np.save(buffer, (states.float() if trunk.dtype == torch.bfloat16 else states).numpy())  # numpy has no bfloat16
        store.put(key, buffer.getvalue())
    yield states
