"""Where the parts of a base model stand, family by family.

A family is in the table where its layers may run one by one over a token tree: causal attention is the only thing that
looks at other tokens, it goes through transformers' attention interface, and the interface is told of windows and caps.
Whatever else differs (widths, windows and their layers, caps, scales, rotary bases) is asked of the model itself. An
architecture that is not in the table takes the padded path (`padded.py`).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers.pytorch_utils import Conv1D

from truing.core.errors import InputError


@dataclass(frozen=True)
class Family:
    """Names inside the base model: its list of layers, its final norm, and its table of learned positions, if any."""

    layers: str = "layers"
    norm: str = "norm"
    positions: str | None = None


_LLAMA_LIKE = (
    *("llama", "qwen2", "qwen3", "mistral", "ministral", "ministral3", "gemma", "gemma2", "gemma3_text", "vaultgemma"),
    *("phi3", "smollm3", "olmo", "olmo2", "olmo3", "granite", "starcoder2", "cohere", "cohere2", "stablelm", "glm"),
    *("glm4", "helium", "nemotron", "arcee", "apertus", "exaone4", "ernie4_5", "hunyuan_v1_dense", "seed_oss"),
    *("mixtral", "qwen3_moe", "olmoe"),
)
FAMILIES: dict[str, Family] = {
    **dict.fromkeys(_LLAMA_LIKE, Family()),
    "gpt2": Family(layers="h", norm="ln_f", positions="wpe"),
    "gpt_bigcode": Family(layers="h", norm="ln_f", positions="wpe"),
    "gpt_neox": Family(norm="final_layer_norm"),
    "phi": Family(norm="final_layernorm"),
}


def layers_name(model: Any, family: Family | None) -> str:
    """Where the decoder layers stand in the base model. In one that is not in the table: its first list of as many
    modules as it says to have layers. Raises `InputError` where there is none."""
    if family is not None:
        return family.layers
    for name, module in model.base_model.named_modules():
        if isinstance(module, torch.nn.ModuleList) and len(module) == model.config.num_hidden_layers:
            return str(name)
    raise InputError(f"the architecture {model.config.model_type!r} has no list of layers, so no adapter can sit on it")


def layers(model: Any, family: Family | None) -> Any:
    """The decoder layers, in order."""
    return model.base_model.get_submodule(layers_name(model, family))


def lora_targets(model: Any, family: Family | None) -> list[str]:
    """The last names of the linear modules inside the layers: those that a low-rank adapter goes beside.

    Of a Mamba mixer (it holds an `A_log`) only the way in: the others' weights are read past any adapter.
    """
    found: set[str] = set()
    passed_by: set[str] = set()
    for layer in layers(model, family):
        for path, module in layer.named_modules():
            if ".lora_" in path:
                continue  # of an adapter that is there already
            parent, _, name = path.removesuffix(".base_layer").rpartition(".")
            if isinstance(module, torch.nn.Linear | Conv1D):
                beside_mixer = hasattr(layer.get_submodule(parent), "A_log") and name != "in_proj"
                (passed_by if beside_mixer else found).add(name)
    return sorted(found - passed_by)


def transposed(model: Any) -> bool:
    """True where linear weights are stored as [in, out] (GPT-2's Conv1D)."""
    return any(isinstance(module, Conv1D) for module in model.modules())


def embed(model: Any, family: Family, ids: Tensor, positions: Tensor) -> Tensor:
    """Token ids and their positions, of one shape [...] → hidden states [..., width] before the first layer."""
    hidden: Tensor = model.get_input_embeddings()(ids)
    hidden = hidden * getattr(model.config, "embedding_multiplier", 1.0)
    if family.positions is not None:
        hidden = hidden + getattr(model.base_model, family.positions)(positions)
    return hidden


def rotary(model: Any, hidden: Tensor, positions: Tensor) -> Callable[[int], Any]:
    """What layer i receives as its rotary embedding at these positions: one for all layers, one for each type of layer,
    or none."""
    module = getattr(model.base_model, "rotary_emb", None)
    if module is None:
        return lambda _layer: None
    if hasattr(module, "layer_types"):
        types = model.config.layer_types
        by_type = {kind: module(hidden, positions, kind) for kind in set(types)}
        return lambda layer: by_type[types[layer]]
    one = module(hidden, position_ids=positions)
    return lambda _layer: one


def logit_scale(config: Any) -> float:
    """What a model multiplies its logits by (Cohere), or divides them by (Granite)."""
    return float(getattr(config, "logit_scale", None) or 1.0) / float(getattr(config, "logits_scaling", None) or 1.0)


def logit_cap(config: Any) -> float | None:
    """The cap c of logits that pass through c · tanh(x / c), if a model has one."""
    cap = getattr(config, "final_logit_softcapping", None) or getattr(config, "logits_soft_cap", None)
    return None if cap is None else float(cap)


def context(config: Any) -> int:
    """The longest sequence, in tokens, whose numbers do not depend on what else is in the batch.

    Where rotary frequencies change with the longest sequence of a batch (longrope), that is the length up to which they
    do not. A recurrent model has no limit of its own.
    """
    limit = getattr(config, "max_position_embeddings", None) or getattr(config, "context_length", None)
    parameters = getattr(config, "rope_parameters", None) or {}
    for one in (parameters, *parameters.values()):  # one for all layers, or one for each type of layer
        if isinstance(one, dict) and one.get("rope_type") == "longrope":
            limit = min(limit, one["original_max_position_embeddings"])
    return int(limit) if limit else 1 << 30
