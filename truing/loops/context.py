"""What a run's steps share: the ledger, and the one trunk, each opened when the first step needs it."""

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from truing.engine.settings import ModelConfig
from truing.ledger.ledger import Ledger
from truing.loops.events import Notice
from truing.providers.names import refuse_deployed

if TYPE_CHECKING:
    from truing.engine.trunk import Trunk


class Context:
    """`root` is the ledger's folder; `benchmarks`, if given, one of public prompts to measure beside the probes."""

    def __init__(self, root: Path, model: ModelConfig, benchmarks: Path | None = None) -> None:
        """Raises `InputError` for a deployed model: there is no trunk of it."""
        refuse_deployed(model.name, "this")
        self.root = root
        self.model = model
        self.benchmarks = benchmarks

    @cached_property
    def ledger(self) -> Ledger:
        """The ledger; made if there is none."""
        return Ledger.open(self.root)

    @cached_property
    def model_sha256(self) -> str:
        """The hash of the model's weights, known without loading them."""
        from truing.engine.trunk import locate, weights_hash

        return weights_hash(locate(self.model.name))

    def notices(self) -> Iterator[Notice]:
        """What a step that computes with the trunk should say of it."""
        if self.trunk.padded:
            yield Notice(text=f"padded path: {self.trunk.padded}")

    @cached_property
    def trunk(self) -> "Trunk":
        """The model, loaded once."""
        import torch

        from truing.engine.trunk import Trunk

        model = self.model
        return Trunk.load(model.name, getattr(torch, model.dtype), model.device, model.template)
