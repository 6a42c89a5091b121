"""PPO's critic: a scalar head on the policy's own pass, or on an adapter of its own; made, kept beside the policy's
adapter, and read again.

critic.safetensors holds the head and, where the critic has an adapter, that one's tensors under their names without the
adapter's; its metadata say which trunk they belong to and by what the low-rank product is scaled. With them a later run
goes on from the expectation that an earlier one had learned. PEFT does not look at the file.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import Parameter

from truing.core.errors import InputError
from truing.engine import scalar
from truing.engine.adapters import AdapterConfig, adapter_parameters, add_adapter, copy_weights
from truing.engine.scalar import ScalarHead, load_head, new_head
from truing.engine.trunk import Trunk

FILE = "critic.safetensors"
_FACTS = "truing"


@dataclass(frozen=True)
class Critic:
    """A head and the adapter whose states it reads (None: the policy's)."""

    head: ScalarHead
    adapter: str | None


@dataclass(frozen=True)
class CriticConfig:
    """How to make a critic: on an adapter of its own or not, from a folder or afresh, with how many times the policy's
    rate. `live` is filled with its parameters by name when the run begins: they stay when the run has ended and its
    adapter has left the trunk, for a caller who keeps them (`save_critic`)."""

    own_adapter: bool
    start_from: Path | None = None
    factor: float = 1.0
    live: dict[str, Parameter] = field(default_factory=dict)


def open_critic(trunk: Trunk, adapter: AdapterConfig, seed: int, name: str, config: CriticConfig) -> Critic:
    """A critic on the trunk, its adapter named `name` and in use. It expects 0 at first, or what is kept in the folder
    `config.start_from`: a PPO run's critic, or a reward model's adapter and head.

    Raises `InputError` where the folder has neither, or what it has does not fit.
    """
    head, start, own = new_head(trunk, seed), config.start_from, config.own_adapter
    if start is not None and not (start / FILE).is_file():
        head = _reward_head(trunk, start)
    if own:
        add_adapter(trunk, name, adapter, seed)
    critic = Critic(head, name if own else None)
    if start is not None and (start / FILE).is_file():
        load_critic(trunk, critic, adapter, start)
    elif start is not None and own:
        copy_weights(start, trunk, name)
    return critic


def _reward_head(trunk: Trunk, folder: Path) -> ScalarHead:
    if not (folder / scalar.FILE).is_file():
        raise InputError(
            f"{folder}: there is neither {FILE} (which PPO leaves) nor {scalar.FILE} (of a reward model) for the "
            "critic to begin with; leave out critic_from, and it begins by expecting 0"
        )
    head = load_head(trunk, folder)
    for parameter in head.parameters().values():
        parameter.requires_grad_(True)  # a head that was read is at rest
    return head


def critic_parameters(trunk: Trunk, critic: Critic) -> dict[str, Parameter]:
    """All that a critic learns, by names in which its adapter's name does not occur."""
    own = {} if critic.adapter is None else adapter_parameters(trunk, critic.adapter)
    return {**{key.replace(f".{critic.adapter}.", "."): own[key] for key in own}, **critic.head.parameters()}


def save_critic(trunk: Trunk, parameters: Mapping[str, Tensor], adapter: AdapterConfig, folder: Path) -> None:
    """Write critic.safetensors: `parameters` as `critic_parameters` names them, trained with the configuration
    `adapter`."""
    tensors = {name: parameters[name].detach().cpu().contiguous() for name in sorted(parameters)}
    facts = {"base": trunk.name, "base_sha256": trunk.sha256, "scale": repr(_scale(adapter))}
    # In one entry: safetensors writes several in no fixed order, and equal critics shall be equal files.
    save_file(tensors, folder / FILE, {_FACTS: json.dumps(facts, sort_keys=True)})


def load_critic(trunk: Trunk, critic: Critic, adapter: AdapterConfig, folder: Path) -> None:
    """Fill a critic, which was made with the configuration `adapter`, from a folder's critic.safetensors. Raises
    `InputError` where that is damaged, or of another trunk, kind or shape."""
    path = folder / FILE
    try:
        with safe_open(path, framework="pt") as file:
            facts = json.loads((file.metadata() or {}).get(_FACTS, "{}"))
            saved = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (safe_open is no dict)
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path}: the critic cannot be read ({error}); leave out critic_from to begin anew") from None
    wanted = critic_parameters(trunk, critic)
    if why := _misfit(trunk, critic, adapter, facts, saved, wanted):
        raise InputError(f"{path}: the critic does not fit: {why}; or leave out critic_from to begin anew")
    with torch.no_grad():
        for name, parameter in wanted.items():
            parameter.copy_(saved[name])


def _misfit(
    trunk: Trunk,
    critic: Critic,
    adapter: AdapterConfig,
    facts: Mapping[str, str],
    saved: Mapping[str, Tensor],
    wanted: Mapping[str, Tensor],
) -> str | None:
    """What is not as it should be, and what to do about it."""
    if facts.get("base_sha256") != trunk.sha256:
        return (
            f"it was trained on {facts.get('base', 'an unknown model')}, not on {trunk.name}; load it on its own base"
        )
    own, mine = (len(tensors) > len(critic.head.parameters()) for tensors in (saved, wanted))
    if own != mine:
        return 'it has an adapter of its own; set critic = "adapter"' if own else 'it has none; set critic = "shared"'
    for name in sorted({*saved, *wanted}):
        shapes = [list(tensors[name].shape) if name in tensors else "nothing" for tensors in (saved, wanted)]
        if shapes[0] != shapes[1]:
            return (
                f"it holds {shapes[0]} for {name}, and {shapes[1]} is needed; use its adapter.method, rank and layers"
            )
    if own and facts.get("scale") != repr(_scale(adapter)):
        return f"its adapter is scaled by {facts.get('scale')}, this one by {_scale(adapter)}; use its adapter.alpha"
    return None


def _scale(adapter: AdapterConfig) -> float:
    """What the low-rank product is multiplied by; of whole weights nothing is."""
    return adapter.alpha / adapter.rank if adapter.method == "lora" else 1.0
