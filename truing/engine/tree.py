"""The token tree: many sequences that share prefixes, each shared token stored and computed once.

A `Forest` numbers its tokens (nodes) in depth-first order, so that a node's subtree is a contiguous range
[node, last[node]) and "i sees j" — j is an ancestor of i, or i itself — is the test `j <= i < last[j]`. A node's
position is its depth. Scored *edges* run parent → child: the logits at the parent predict the child's token; the last
shared token thus predicts the first token of every branch, a sequence may end inside another, and a root is never
scored.

`blocks` cuts the forest for attention. A block is a set of sibling subtrees (or a shared chain) of a bounded number of
tokens; its queries see the block's ancestors and the block itself. Work in attention then grows with the tokens, not
with their square.

This module knows token ids only: no model, no text, no torch.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class TokenSequence:
    """Token ids, of which `ids[scored_from:]` are scored. The first token has no parent and is never scored."""

    ids: tuple[int, ...]
    scored_from: int

    def __post_init__(self) -> None:
        if not self.ids:
            raise ValueError("a sequence needs at least one token")
        if not 0 <= self.scored_from <= len(self.ids):
            raise ValueError(f"scored_from is {self.scored_from}, outside a sequence of {len(self.ids)} tokens")


@dataclass(frozen=True)
class Block:
    """Nodes attended together: `queries` see, where the tree allows, `keys` = their ancestors + themselves."""

    queries: Ints
    keys: Ints


@dataclass(frozen=True)
class Forest:
    """A forest of N nodes from S sequences.

    ids, parent, depth, last: [N] int64; parent is −1 at a root; [node, last[node]) is the node's subtree.
    paths: for each sequence its nodes from the root on. scored_from: for each sequence the first scored position.
    source: [N] the nodes' numbers in the forest that this one was selected from (its own numbers if it was built).
    """

    ids: Ints
    parent: Ints
    depth: Ints
    last: Ints
    paths: tuple[Ints, ...]
    scored_from: tuple[int, ...]
    source: Ints

    def __len__(self) -> int:
        return len(self.ids)

    def sees(self, queries: Ints, keys: Ints) -> NDArray[np.bool_]:
        """[queries, keys] True where the key is the query itself or one of its ancestors."""
        result: NDArray[np.bool_] = (keys[None, :] <= queries[:, None]) & (queries[:, None] < self.last[keys][None, :])
        return result

    @cached_property
    def edges(self) -> tuple[Ints, Ints, Ints]:
        """The scored edges: (children [E], flat edge of each sequence's scored token, that token's sequence).

        An edge is named by its child, since every node has one parent; several sequences may share an edge.
        """
        flat_nodes, flat_sequence = [], []
        for number, (path, start) in enumerate(zip(self.paths, self.scored_from, strict=True)):
            scored = path[max(start, 1) :]
            flat_nodes.append(scored)
            flat_sequence.append(np.full(len(scored), number, dtype=np.int64))
        nodes = np.concatenate(flat_nodes) if flat_nodes else np.zeros(0, dtype=np.int64)
        children, flat_edge = np.unique(nodes, return_inverse=True)
        sequence = np.concatenate(flat_sequence) if flat_sequence else np.zeros(0, dtype=np.int64)
        return children, flat_edge.astype(np.int64), sequence

    def select(self, sequences: Sequence[int]) -> "Forest":
        """The smallest forest that holds the given sequences, in the given order; `source` keeps their numbers here."""
        chosen = [self.paths[number] for number in sequences]
        kept = np.unique(np.concatenate(chosen))
        # A kept node's parent is kept too, and `kept` is sorted: its place there is its new number.
        parent = np.where(self.parent[kept] >= 0, np.searchsorted(kept, self.parent[kept]), -1)
        # A kept node's subtree ends where the first kept node at or after its old end stands.
        last = np.searchsorted(kept, self.last[kept])
        return Forest(
            ids=self.ids[kept],
            parent=parent,
            depth=self.depth[kept],
            last=last.astype(np.int64),
            paths=tuple(np.searchsorted(kept, path) for path in chosen),
            scored_from=tuple(self.scored_from[number] for number in sequences),
            source=kept,
        )

    def blocks(self, limit: int) -> list[Block]:
        """Cut the forest into blocks of at most about `limit` query tokens (an unbranched chain is cut into pieces)."""
        blocks: list[Block] = []
        children = _children(self.parent)
        pending: list[tuple[list[int], Ints]] = [(children[-1], np.zeros(0, dtype=np.int64))]
        while pending:
            siblings, above = pending.pop()
            pack: list[Ints] = []
            size = 0
            for node in siblings:
                end = int(self.last[node])
                if end - node <= limit:
                    if size + end - node > limit:
                        blocks.append(_block(pack, above))
                        pack, size = [], 0
                    pack.append(np.arange(node, end))
                    size += end - node
                    continue
                chain_end = node
                while len(children[chain_end]) == 1 and chain_end - node + 1 < limit:
                    chain_end = children[chain_end][0]
                chain = np.arange(node, chain_end + 1)
                blocks.append(_block([chain], above))
                pending.append((children[chain_end], np.concatenate([above, chain])))
            if pack:
                blocks.append(_block(pack, above))
        return blocks


def _block(pieces: list[Ints], above: Ints) -> Block:
    queries = np.concatenate(pieces)
    return Block(queries=queries, keys=np.concatenate([above, queries]))


def _children(parent: Ints) -> dict[int, list[int]]:
    """For each node its children in order; the roots under −1."""
    children: dict[int, list[int]] = {node: [] for node in range(-1, len(parent))}
    for node, above in enumerate(parent.tolist()):
        children[above].append(node)
    return children


def build_forest(sequences: Sequence[TokenSequence]) -> Forest:
    """Merge sequences that share a prefix into a forest. Equal sequences share all their nodes."""
    ids: list[int] = []
    parents: list[int] = []
    child_of: dict[tuple[int, int], int] = {}
    paths = []
    for sequence in sequences:
        node, path = -1, []
        for token in sequence.ids:
            key = (node, token)
            child = child_of.get(key)
            if child is None:
                child = len(ids)
                child_of[key] = child
                ids.append(token)
                parents.append(node)
            path.append(child)
            node = child
        paths.append(path)
    order, last = _depth_first(np.asarray(parents, dtype=np.int64))
    rank = np.empty(len(ids), dtype=np.int64)
    rank[order] = np.arange(len(ids))
    old_parent = np.asarray(parents, dtype=np.int64)[order]
    parent = np.where(old_parent >= 0, rank[old_parent], -1)
    depth = np.zeros(len(ids), dtype=np.int64)
    for node in range(len(ids)):
        if parent[node] >= 0:
            depth[node] = depth[parent[node]] + 1
    return Forest(
        ids=np.asarray(ids, dtype=np.int64)[order],
        parent=parent,
        depth=depth,
        last=last,
        paths=tuple(rank[np.asarray(path, dtype=np.int64)] for path in paths),
        scored_from=tuple(sequence.scored_from for sequence in sequences),
        source=np.arange(len(ids), dtype=np.int64),
    )


def _depth_first(parent: Ints) -> tuple[Ints, Ints]:
    """Depth-first order of the nodes, and for each place in that order where its subtree ends."""
    children = _children(parent)
    order: list[int] = []
    last = np.zeros(len(parent), dtype=np.int64)
    stack = [(root, False) for root in reversed(children[-1])]
    place: dict[int, int] = {}
    while stack:
        node, leaving = stack.pop()
        if leaving:
            last[place[node]] = len(order)
            continue
        place[node] = len(order)
        order.append(node)
        stack.append((node, True))
        stack.extend((child, False) for child in reversed(children[node]))
    return np.asarray(order, dtype=np.int64), last
