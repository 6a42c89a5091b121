"""What a run's steps share: the ledger, and the one trunk, loaded when the first step needs it."""

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from truing.ledger.ledger import Ledger

if TYPE_CHECKING:
    from truing.engine.trunk import Trunk


class Context:
    """`benchmarks` is a folder of public benchmark files to measure beside the probes, if there is one."""

    def __init__(self, ledger: Ledger, model: str, benchmarks: Path | None = None) -> None:
        self.ledger = ledger
        self.model = model
        self.benchmarks = benchmarks

    @cached_property
    def model_sha256(self) -> str:
        """The hash of the model's weights, known without loading them."""
        from truing.engine.trunk import locate, weights_hash

        return weights_hash(locate(self.model))

    @cached_property
    def trunk(self) -> "Trunk":
        """The model, loaded once."""
        from truing.engine.trunk import Trunk

        return Trunk.load(self.model)
