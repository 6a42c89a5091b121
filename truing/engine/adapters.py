"""Low-rank adapters on one trunk, in PEFT's form on disk: policy, reference and candidates share the frozen weights.

The reference policy is the trunk with no adapter. LoRA (Hu et al. 2021, arXiv:2106.09685): W x + (α/r) B A x, with B
zero at first, so that a new adapter changes nothing. Each folder also records the hash of the trunk it was made on
(`truing.json`).
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from pydantic import Field
from safetensors.torch import load_file, save_file

from truing.core.config import Config
from truing.core.errors import InputError
from truing.engine import families
from truing.engine.trunk import Trunk

_WEIGHTS, _BASE = "adapter_model.safetensors", "truing.json"


class AdapterConfig(Config):
    """`rank` and `alpha` as in the paper; `upper_layers` adapts only the last so many layers (None: all)."""

    rank: int = Field(default=16, ge=1)
    alpha: float = Field(default=32.0, gt=0)
    upper_layers: int | None = Field(default=12, ge=1)


def first_layer(trunk: Trunk, config: AdapterConfig) -> int:
    """The lowest adapted layer: below it, hidden states depend on the tokens alone."""
    layers = len(trunk.layers)
    return 0 if config.upper_layers is None else max(0, layers - config.upper_layers)


def add_adapter(trunk: Trunk, name: str, config: AdapterConfig, seed: int) -> int:
    """Put a new adapter into the trunk, trainable and in use; returns its first layer."""
    from peft import LoraConfig, get_peft_model

    first = first_layer(trunk, config)
    lora = LoraConfig(
        r=config.rank,
        lora_alpha=config.alpha,
        target_modules=families.lora_targets(trunk.model, trunk.family),
        layers_to_transform=list(range(first, len(trunk.layers))),
        layers_pattern=families.layers_name(trunk.model, trunk.family),
        fan_in_fan_out=families.transposed(trunk.model),
        lora_dropout=0.0,
        task_type="CAUSAL_LM",
        base_model_name_or_path=trunk.name,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if trunk.peft is None:
            trunk.peft = get_peft_model(trunk.model, lora, adapter_name=name)
        else:
            trunk.peft.add_adapter(name, lora)
    trunk.model.eval()
    return first


def adapter_parameters(trunk: Trunk, name: str) -> dict[str, torch.nn.Parameter]:
    """The adapter's live parameters by name, in a fixed order: what an optimizer is built from."""
    marks = (f".lora_A.{name}.", f".lora_B.{name}.")
    return {key: value for key, value in trunk.model.named_parameters() if any(mark in key for mark in marks)}


@contextmanager
def use_adapter(trunk: Trunk, name: str | None) -> Iterator[None]:
    """Run the trunk with one adapter, or bare (None: the reference policy), and put things back afterwards."""
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
    if list(trunk.peft.peft_config) == [name]:
        trunk.model = trunk.peft.unload()
        trunk.peft = None
    else:
        trunk.peft.delete_adapter(name)
    trunk.model.requires_grad_(False)


def save_adapter(trunk: Trunk, name: str, folder: Path) -> None:
    """Write adapter_config.json, adapter_model.safetensors (PEFT's form) and truing.json into a folder."""
    from peft import get_peft_model_state_dict

    folder.mkdir(parents=True, exist_ok=True)
    state = get_peft_model_state_dict(trunk.peft, adapter_name=name, save_embedding_layers=False)
    save_file(
        {key: state[key].detach().clone().contiguous() for key in sorted(state)}, folder / _WEIGHTS, {"format": "pt"}
    )
    config = {**trunk.peft.peft_config[name].to_dict(), "inference_mode": True}
    (folder / "adapter_config.json").write_text(
        json.dumps(config, indent=1, sort_keys=True, default=_plain), encoding="utf-8"
    )
    base = {"base": trunk.name, "base_sha256": trunk.sha256}
    (folder / _BASE).write_text(json.dumps(base, indent=1, sort_keys=True), encoding="utf-8")


def load_adapter(trunk: Trunk, folder: Path, name: str) -> int:
    """Load an adapter folder under `name`; returns its first layer.

    Raises `InputError` when files are missing or the adapter was made on another base.
    """
    from peft import PeftConfig, PeftModel

    for required in ("adapter_config.json", _WEIGHTS):
        if not (folder / required).is_file():
            raise InputError(f"{folder}: {required} is missing, so this is not an adapter in PEFT's form")
    if (folder / _BASE).is_file():
        base = json.loads((folder / _BASE).read_text(encoding="utf-8"))
        if base["base_sha256"] != trunk.sha256:
            raise InputError(
                f"{folder}: this adapter was trained on {base['base']} ({base['base_sha256'][:12]}…), "
                f"not on {trunk.name} ({trunk.sha256[:12]}…); load it on its own base"
            )
    if trunk.peft is None:
        trunk.peft = PeftModel.from_pretrained(trunk.model, str(folder), adapter_name=name)
    else:
        trunk.peft.load_adapter(str(folder), adapter_name=name)
    trunk.model.requires_grad_(False)
    trunk.model.eval()
    layers = PeftConfig.from_pretrained(str(folder)).layers_to_transform
    return 0 if layers is None else min([layers] if isinstance(layers, int) else layers)


def copy_weights(folder: Path, trunk: Trunk, name: str) -> None:
    """Start an adapter from the weights of a saved one of the same shape."""
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
