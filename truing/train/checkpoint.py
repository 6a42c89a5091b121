"""Checkpoints: adapter weights, optimiser state, a loss's own state and the steps taken, in one file, whole or absent.

A file is staged beside its place, flushed, renamed, and its folder flushed: a kill or a power cut at any moment leaves
the old checkpoint or the new one. It carries a digest of all that it holds, and the identity of its run (model, rows,
settings, seed, starting point): a damaged one and one of another run are refused by name.

Everything else that a resumed run needs depends on the inputs alone (the adapter's first weights, the order of the
rows, lower states, reference log-probabilities) and is computed again or read from the store.
"""

import hashlib
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from truing.core.errors import InputError
from truing.ledger.disk import sync_folder
from truing.train.arithmetic import arithmetic

SECONDS = 120.0  # a checkpoint is due after this time, too, however few steps were taken: slow steps lose no more
_STATE = ("step", "exp_avg", "exp_avg_sq")


class Checkpoints:
    """One run's checkpoint. Made before the run's first pass: reads and checks the file, if there is one.

    `also` are a loss's own tensors, kept and put back like the weights.
    `done` is the number of steps that it holds (0: none), `microbatch_tokens` what those steps were taken with, and
    `computed` under which `arithmetic` they were. Without a path nothing is read or kept.
    Raises `InputError` if the file is damaged or belongs to another run.
    """

    def __init__(
        self,
        path: Path | None,
        identity: str,
        parameters: dict[str, torch.nn.Parameter],
        adamw: torch.optim.AdamW,
        every: int,
        also: Mapping[str, torch.Tensor] | None = None,
    ) -> None:
        self.path = path
        self.identity = identity
        self.parameters = parameters
        self.adamw = adamw
        self.every = every
        self.also = also or {}
        self.done = 0
        self.microbatch_tokens: int | None = None
        self.computed: tuple[str, ...] = ()
        self._tensors: dict[str, torch.Tensor] = {}
        self._last = time.monotonic()
        if path is not None and path.exists():
            self._read(path)

    def beside(self, name: str) -> Path:
        """A file of this run beside its checkpoint, for what only its own resumption may read."""
        assert self.path is not None
        return self.path.with_name(f"{name}-{self.identity[:16]}.bin")

    def restore(self) -> None:
        """Put what was read into the parameters and the optimiser, after everything that needs the first weights."""
        if not self.done:
            return
        with torch.no_grad():
            for name, parameter in self.parameters.items():
                parameter.copy_(self._tensors[f"weight/{name}"])
                state = {key: self._tensors.get(f"{key}/{name}") for key in _STATE}
                self.adamw.state[parameter] = {key: value for key, value in state.items() if value is not None}
            for name, tensor in self.also.items():
                tensor.copy_(self._tensors[f"also/{name}"])
        self._tensors = {}

    def begin(self, microbatch_tokens: int) -> None:
        """Say what the steps from here on are taken with."""
        self.microbatch_tokens = microbatch_tokens
        self.computed = tuple(dict.fromkeys((*self.computed, arithmetic())))
        self._last = time.monotonic()

    def after(self, step: int) -> None:
        """Write the state after `step` steps, if that is due: every so many steps, or after `SECONDS`."""
        if self.path is None or (step % self.every and time.monotonic() - self._last < SECONDS):
            return
        tensors = {}
        for name, parameter in self.parameters.items():
            tensors[f"weight/{name}"] = parameter.detach()
            for key, value in self.adamw.state[parameter].items():
                tensors[f"{key}/{name}"] = value
        tensors |= {f"also/{name}": tensor for name, tensor in self.also.items()}
        facts = {
            "step": str(step),
            "identity": self.identity,
            "microbatch_tokens": str(self.microbatch_tokens),
            "computed": json.dumps(self.computed),
        }
        self.path.parent.mkdir(parents=True, exist_ok=True)
        staging = self.path.with_suffix(".writing")
        save_file(tensors, staging, metadata={**facts, "sha256": _digest(tensors, facts)})
        with staging.open("rb") as file:
            os.fsync(file.fileno())
        staging.replace(self.path)
        sync_folder(self.path.parent)
        self._last = time.monotonic()

    def _read(self, path: Path) -> None:
        try:
            with safe_open(path, framework="pt") as file:
                facts = dict(file.metadata() or {})
                tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (safe_open is no dict)
        except (SafetensorError, OSError) as error:
            raise InputError(f"{path}: the checkpoint is damaged ({error}); move it away to start anew") from None
        if "sha256" not in facts:
            raise InputError(f"{path}: this file is no checkpoint of truing; move it away to start anew")
        if facts.pop("sha256") != _digest(tensors, facts):
            raise InputError(
                f"{path}: the checkpoint is damaged (its content does not match its hash); move it away to start anew"
            )
        if facts["identity"] != self.identity:
            raise InputError(
                f"{path}: this checkpoint belongs to a run with other inputs (model, rows, settings, seed or starting "
                "point); move it away to start anew"
            )
        self.done, self.microbatch_tokens = int(facts["step"]), int(facts["microbatch_tokens"])
        self.computed = tuple(json.loads(facts["computed"]))
        self._tensors = tensors


def _digest(tensors: dict[str, torch.Tensor], facts: dict[str, Any]) -> str:
    """sha256 over names, shapes, dtypes and bytes of all tensors, and the facts about them."""
    sha = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    for name in sorted(tensors):
        tensor = tensors[name].contiguous()
        sha.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        sha.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return sha.hexdigest()
