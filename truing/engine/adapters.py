"""Adapters on one trunk: policy, reference and candidates share the frozen weights.

The reference policy is the trunk with no adapter. LoRA (Hu et al. 2021, arXiv:2106.09685), in PEFT's form on disk:
W x + (α/r) B A x, with B zero at first, so that a new adapter changes nothing. Full fine-tuning (`full.py`) stands
behind the same functions. Each folder also records the hash of the trunk it was made on (`truing.json`).
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import torch
from pydantic import Field
from safetensors.torch import load_file, save_file

from truing.core.config import Config
from truing.core.errors import InputError
from truing.engine import families, full
from truing.engine.trunk import Trunk

_WEIGHTS, _BASE = "adapter_model.safetensors", "truing.json"


class AdapterConfig(Config):
    """`method`: low-rank matrices beside the linear weights (`rank` and `alpha` as in the paper), or all weights
    (`full`). `upper_layers` adapts only the last so many layers (None: all; of a full training also the embeddings)."""

    method: Literal["lora", "full"] = "lora"
    rank: int = Field(default=16, ge=1)
    alpha: float = Field(default=32.0, gt=0)
    upper_layers: int | None = Field(default=12, ge=1)


def first_layer(trunk: Trunk, config: AdapterConfig) -> int:
    """The lowest adapted layer: below it, hidden states depend on the tokens alone. 0 on the padded path, which has no
    layer to start from."""
    return 0 if trunk.padded else _first(trunk, config)


def _first(trunk: Trunk, config: AdapterConfig) -> int:
    return 0 if config.upper_layers is None else max(0, len(trunk.layers) - config.upper_layers)


def add_adapter(trunk: Trunk, name: str, config: AdapterConfig, seed: int) -> int:
    """Put a new adapter into the trunk, trainable and in use; returns its first layer.

    Raises `InputError` where the architecture has no place for it.
    """
    from peft import LoraConfig, get_peft_model

    from truing.engine.lowrank import use_large_products

    first = _first(trunk, config)
    if config.method == "full":
        full.add(trunk, name, full.names_above(trunk, None if config.upper_layers is None else first))
        return first_layer(trunk, config)
    full.switch(trunk, None)
    lora = LoraConfig(
        r=config.rank,
        lora_alpha=config.alpha,
        target_modules=families.lora_targets(trunk.model, trunk.family),
        layers_to_transform=list(range(first, len(trunk.layers))),
        layers_pattern=families.layers_name(trunk.model, trunk.family).rpartition(".")[2],
        fan_in_fan_out=families.transposed(trunk.model),
        lora_dropout=0.0,
        task_type="CAUSAL_LM",
        base_model_name_or_path=trunk.name,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            if trunk.peft is None:
                trunk.peft = get_peft_model(trunk.model, lora, adapter_name=name)
            else:
                trunk.peft.add_adapter(name, lora)
                trunk.peft.set_adapter(name)  # PEFT would leave the older one in use, and train nothing
        except ValueError as error:
            reason = str(error).splitlines()[0]
            raise InputError(f"{trunk.name}: no low-rank adapter fits this architecture ({reason})") from None
    use_large_products(trunk.model)
    trunk.model.eval()
    return first_layer(trunk, config)


def adapter_parameters(trunk: Trunk, name: str) -> dict[str, torch.nn.Parameter]:
    """The adapter's live parameters by name, in a fixed order: what an optimizer is built from."""
    if name in trunk.full:
        return trunk.full[name].own
    marks = (f".lora_A.{name}.", f".lora_B.{name}.")
    return {key: value for key, value in trunk.model.named_parameters() if any(mark in key for mark in marks)}


@contextmanager
def use_adapter(trunk: Trunk, name: str | None) -> Iterator[None]:
    """Run the trunk with one adapter, or bare (None: the reference policy), and put things back afterwards."""
    before, mine = trunk.full_in_use, name if name in trunk.full else None
    full.switch(trunk, mine)
    try:
        with _use_lora(trunk, None if mine else name):
            yield
    finally:
        full.switch(trunk, before)


@contextmanager
def _use_lora(trunk: Trunk, name: str | None) -> Iterator[None]:
    if trunk.peft is None:
        if name is not None:
            raise KeyError(f"the trunk holds no adapter {name!r}")
        yield
        return
    if name is None:
        with trunk.peft.disable_adapter():
            yield
        return
    before = trunk.peft.active_adapter
    trunk.peft.set_adapter(name)
    try:
        yield
    finally:
        trunk.peft.set_adapter(before)


def remove_adapter(trunk: Trunk, name: str) -> None:
    """Take an adapter out of the trunk again; the last one leaves the bare model behind."""
    if name in trunk.full:
        full.switch(trunk, None)
        del trunk.full[name]
        return
    if list(trunk.peft.peft_config) == [name]:
        trunk.model = trunk.peft.unload()
        trunk.peft = None
    else:
        if trunk.peft.active_adapter == name:  # PEFT would choose another by itself, and warn
            trunk.peft.set_adapter(next(other for other in trunk.peft.peft_config if other != name))
        trunk.peft.delete_adapter(name)
    trunk.model.requires_grad_(False)


def save_adapter(trunk: Trunk, name: str, folder: Path) -> None:
    """Write adapter_config.json and adapter_model.safetensors (PEFT's form), or full.safetensors, and truing.json."""
    from peft import get_peft_model_state_dict

    folder.mkdir(parents=True, exist_ok=True)
    base = {"base": trunk.name, "base_sha256": trunk.sha256}
    (folder / _BASE).write_text(json.dumps(base, indent=1, sort_keys=True), encoding="utf-8")
    if name in trunk.full:
        full.save(trunk, name, folder)
        return
    state = get_peft_model_state_dict(trunk.peft, adapter_name=name, save_embedding_layers=False)
    save_file(
        {key: state[key].detach().clone().contiguous() for key in sorted(state)}, folder / _WEIGHTS, {"format": "pt"}
    )
    config = {**trunk.peft.peft_config[name].to_dict(), "inference_mode": True}
    (folder / "adapter_config.json").write_text(
        json.dumps(config, indent=1, sort_keys=True, default=_plain), encoding="utf-8"
    )


def adapter_files(folder: Path) -> list[Path]:
    """The files that say what a saved adapter computes, its weights first."""
    if (folder / full.WEIGHTS).is_file():
        return [folder / full.WEIGHTS]
    return [folder / _WEIGHTS, folder / "adapter_config.json"]


def load_adapter(trunk: Trunk, folder: Path, name: str) -> int:
    """Load an adapter folder under `name`; returns its first layer.

    Raises `InputError` when files are missing or the adapter was made on another base.
    """
    from peft import PeftConfig, PeftModel

    from truing.engine.lowrank import use_large_products

    for required in adapter_files(folder):
        if not required.is_file():
            raise InputError(f"{folder}: {required.name} is missing, so this is not an adapter in PEFT's form")
    if (folder / _BASE).is_file():
        base = json.loads((folder / _BASE).read_text(encoding="utf-8"))
        if base["base_sha256"] != trunk.sha256:
            raise InputError(
                f"{folder}: this adapter was trained on {base['base']} ({base['base_sha256'][:12]}…), "
                f"not on {trunk.name} ({trunk.sha256[:12]}…); load it on its own base"
            )
    if (folder / full.WEIGHTS).is_file():
        full.load(trunk, name, folder)
        return 0 if trunk.padded else full.first_layer(trunk, name)
    full.switch(trunk, None)
    if trunk.peft is None:
        trunk.peft = PeftModel.from_pretrained(trunk.model, str(folder), adapter_name=name)
    else:
        trunk.peft.load_adapter(str(folder), adapter_name=name)
    use_large_products(trunk.model)
    trunk.model.requires_grad_(False)
    trunk.model.eval()
    layers = PeftConfig.from_pretrained(str(folder)).layers_to_transform
    return 0 if layers is None or trunk.padded else min([layers] if isinstance(layers, int) else layers)


def copy_weights(folder: Path, trunk: Trunk, name: str) -> None:
    """Start an adapter from the weights of a saved one of the same method and shape."""
    if (name in trunk.full) != (folder / full.WEIGHTS).is_file():
        raise InputError(f"{folder}: this adapter was trained by another method; use the same adapter.method")
    if name in trunk.full:
        full.copy(trunk, name, folder)
        return
    saved = load_file(folder / _WEIGHTS)
    parameters = adapter_parameters(trunk, name)
    with torch.no_grad():
        for key, parameter in parameters.items():
            file_key = "base_model.model." + key.replace(f".{name}.", ".")
            if file_key not in saved or saved[file_key].shape != parameter.shape:
                raise InputError(f"{folder}: {file_key} is missing or of another shape; use the same rank and layers")
            parameter.copy_(saved[file_key])


def _plain(value: object) -> object:
    """Sets in a fixed order and enums by value, so that equal adapters are equal files."""
    return sorted(value) if isinstance(value, set) else getattr(value, "value", str(value))
