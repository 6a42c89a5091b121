"""What a run's steps share: the ledger, and the one trunk or deployed model, each opened when a step first needs it."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from truing.core.errors import InputError
from truing.engine.settings import ModelConfig
from truing.ledger.ledger import Ledger
from truing.loops.events import Notice
from truing.providers.names import open_deployed, refuse_deployed
from truing.providers.settings import RemoteConfig

if TYPE_CHECKING:
    from truing.engine.trunk import Trunk
    from truing.providers.remote import RemoteSystem


@dataclass(frozen=True)
class Deployed:
    """How a deployed model is measured: the settings by which it is asked, and which answers that were kept count.

    Those that came at or after `since`; with `resume`, since the last run of the same evaluation began, which did not
    finish; with neither, none: everything is asked anew.
    """

    config: RemoteConfig
    since: datetime | None = None
    resume: bool = False


class Context:
    """`root` is the ledger's folder; `benchmarks`, if given, one of public prompts to measure beside the probes.

    With `deployed` the model is one that somebody serves, and there is no trunk. `judging` says how a deployed model is
    asked that judges answers.
    """

    def __init__(
        self,
        root: Path,
        model: ModelConfig,
        benchmarks: Path | None = None,
        deployed: Deployed | None = None,
        judging: Deployed | None = None,
    ) -> None:
        """Raises `InputError` for a deployed model of which it is not said how it is asked, or with settings that are
        for weights."""
        if deployed is None:
            refuse_deployed(model.name, "this")
        elif set_for_weights := sorted({*model.model_dump(exclude_defaults=True)} - {"name"}):
            raise InputError(
                f"[model] {' and '.join(set_for_weights)}: {model.name} is a deployed model, for which this means "
                "nothing; leave it out"
            )
        self.root = root
        self.model = model
        self.benchmarks = benchmarks
        self.deployed = deployed
        self.judging = judging

    @cached_property
    def ledger(self) -> Ledger:
        """The ledger; made if there is none."""
        return Ledger.open(self.root)

    @cached_property
    def model_sha256(self) -> str:
        """The hash of the model's weights, known without loading them."""
        from truing.engine.files import locate, weights_hash

        return weights_hash(locate(self.model.name))

    @cached_property
    def remote(self) -> "RemoteSystem":
        """The deployed model; nobody is asked yet. Raises `InputError` where its key or library is missing."""
        assert self.deployed is not None
        return open_deployed(self.model.name, self.deployed.config)

    def model_identity(self) -> dict[str, str | None]:
        """What a step's key holds of the model: its weights, or whom to ask and how."""
        if self.deployed is None:
            return {**self.model.identity(self.model_sha256)}
        remote = self.remote
        return {
            "model": remote.name,
            "base_url": remote.address,
            "system_prompt": remote.system_prompt,
            "model_identity": remote.identity,
        }

    def notices(self) -> Iterator[Notice]:
        """What a step that computes with the trunk should say of it."""
        if self.trunk.padded:
            yield Notice(text=f"padded path: {self.trunk.padded}")

    @cached_property
    def trunk(self) -> "Trunk":
        """The model, loaded once."""
        import torch

        from truing.engine.trunk import Trunk

        refuse_deployed(self.model.name, "this")
        model = self.model
        return Trunk.load(model.name, getattr(torch, model.dtype), model.device, model.template)
