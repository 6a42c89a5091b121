"""What was an artifact made from? `difference` says how two differ, `integrity` whether all is what it claims to be."""

from dataclasses import dataclass, field

from truing.core.errors import InputError, RunError
from truing.ledger.artifacts import Artifact
from truing.ledger.ledger import Ledger


@dataclass
class Trace:
    """An artifact, the role in which another used it, and what it was made from itself."""

    artifact: Artifact
    role: str = ""
    parents: "list[Trace]" = field(default_factory=list)


def trace(ledger: Ledger, artifact: Artifact, role: str = "") -> Trace:
    """The tree of everything behind an artifact. Raises `RunError` naming a parent that is missing."""
    parents = []
    for parent in artifact.parents:
        try:
            found = ledger.get(parent.artifact)
        except InputError:
            raise RunError(
                f"the parent {parent.artifact[:12]} ({parent.role}) of {artifact.short} is missing from the ledger; "
                "`truing verify` lists all that is"
            ) from None
        parents.append(trace(ledger, found, parent.role))
    return Trace(artifact, role, parents)
