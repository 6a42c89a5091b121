"""Checkpoints: adapter weights, optimiser state and the number of steps taken, in one file, whole or absent."""

import os
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from truing.core.errors import InputError


def save_checkpoint(
    path: Path, parameters: dict[str, torch.nn.Parameter], adamw: torch.optim.AdamW, step: int, fingerprint: str
) -> None:
    """Write the state after `step` steps. `fingerprint` names the run (its inputs): no other run resumes from it."""
    tensors = {}
    for name, parameter in parameters.items():
        tensors[f"weight/{name}"] = parameter.detach()
        for key, value in adamw.state[parameter].items():
            tensors[f"{key}/{name}"] = value
    path.parent.mkdir(parents=True, exist_ok=True)
    staging = path.with_suffix(".writing")
    save_file(tensors, staging, metadata={"step": str(step), "fingerprint": fingerprint})
    with staging.open("rb") as file:
        os.fsync(file.fileno())
    staging.replace(path)


def load_checkpoint(
    path: Path, parameters: dict[str, torch.nn.Parameter], adamw: torch.optim.AdamW, fingerprint: str
) -> int:
    """Restore a checkpoint into the parameters and the optimiser; returns the steps taken (0 where there is none).

    Raises `InputError` if the file is damaged or belongs to another run.
    """
    if not path.exists():
        return 0
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata()
            if metadata.get("fingerprint") != fingerprint:
                raise InputError(
                    f"{path}: this checkpoint belongs to a run with other inputs; move it away to start anew"
                )
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (safe_open is no dict)
    except SafetensorError as error:
        raise InputError(f"{path}: the checkpoint is damaged ({error}); move it away to start anew") from None
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(tensors[f"weight/{name}"])
            adamw.state[parameter] = {
                key: tensors[f"{key}/{name}"].to("cpu" if key == "step" else parameter.device)
                for key in ("step", "exp_avg", "exp_avg_sq")
                if f"{key}/{name}" in tensors
            }
    return int(metadata["step"])
