"""Trace follows parents, and says which is missing."""

import shutil
from collections.abc import Callable

import pytest

from tests.ledger.conftest import Make, of
from truing.core.errors import RunError
from truing.ledger.artifacts import Artifact
from truing.ledger.index import NAME
from truing.ledger.ledger import Ledger
from truing.ledger.lineage import trace


def test_trace_is_the_tree_of_parents_with_their_roles(ledger: Ledger, chain: Callable[..., Artifact]) -> None:
    node = trace(ledger, chain())
    assert [(parent.role, parent.artifact.kind) for parent in node.parents] == [
        ("adapter", "adapter"),
        ("data", "dataset"),
    ]
    assert node.parents[0].parents[0].artifact == node.parents[1].artifact


def test_a_missing_parent_is_named(ledger: Ledger, make: Make) -> None:
    parent = make("parent")
    child = make("child", parents=[of("data", parent)])
    shutil.rmtree(ledger.folder(parent))
    (ledger.root / NAME).unlink()
    with pytest.raises(RunError, match=rf"the parent {parent.short} \(data\) of {child.short} is missing"):
        trace(Ledger.open(ledger.root, create=False), child)
