"""The trunk: one frozen base model, run layer by layer over a token tree.

Knows the Llama family's layout (embedding, layers, norm, tied or untied head). Adapters sit inside its linear layers
(`adapters.py`); text is `chat.py`'s matter. Weights come from safetensors or GGUF, never from a pickle.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from truing.core.digest import digest_file
from truing.core.errors import InputError
from truing.engine import attention, embedded
from truing.engine.attention import AttentionPlan, TreeAttention
from truing.engine.tree import Forest

_FAMILIES = ("llama",)


@dataclass
class Trunk:
    """A loaded base model. `sha256` is the hash of its weights files: adapters record it and refuse another trunk.

    `peft` wraps the model once it carries adapters (see `adapters.py`).
    """

    name: str
    model: Any
    tokenizer: Any
    sha256: str
    peft: Any = None

    @classmethod
    def load(cls, name: str, dtype: torch.dtype = torch.float32) -> "Trunk":
        """Load `smollm2-135m`, `hf:OWNER/NAME`, a folder or a GGUF file. Raises `InputError` naming what is wrong."""
        folder = locate(name)
        from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer
        from transformers.utils import logging

        config = AutoConfig.from_pretrained(folder)
        if config.model_type not in _FAMILIES:
            raise InputError(
                f"{name}: the architecture {config.model_type!r} is not supported; use one of: {', '.join(_FAMILIES)}"
            )
        attention.register()
        logging.disable_progress_bar()
        try:
            model = AutoModelForCausalLM.from_pretrained(
                folder, dtype=dtype, attn_implementation=attention.NAME, use_safetensors=True
            )
        finally:
            logging.enable_progress_bar()
        return cls.of(model, AutoTokenizer.from_pretrained(folder), name=name, sha256=weights_hash(folder))

    @classmethod
    def of(cls, model: Any, tokenizer: Any, name: str, sha256: str = "") -> "Trunk":
        """Wrap a transformers model of the Llama family that is already in memory, and freeze it."""
        attention.register()
        model.config._attn_implementation = attention.NAME
        model.config._name_or_path = name  # what PEFT writes into an adapter as its base
        model.name_or_path = name
        model.requires_grad_(False)
        model.eval()
        return cls(name=name, model=model, tokenizer=tokenizer, sha256=sha256)

    @property
    def layers(self) -> Any:
        """The decoder layers, in order."""
        return self.model.model.layers

    @property
    def head(self) -> Tensor:
        """The output embedding [vocabulary, width]."""
        weight: Tensor = self.model.lm_head.weight
        return weight

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the weights."""
        return self.head.dtype

    @property
    def context(self) -> int:
        """The longest sequence, in tokens, that the model was made for."""
        return int(self.model.config.max_position_embeddings)

    def embed(self, ids: Tensor) -> Tensor:
        """Token ids [T] → hidden states [T, width] before the first layer."""
        hidden: Tensor = self.model.model.embed_tokens(ids)
        return hidden

    def run(
        self, hidden: Tensor, positions: Tensor, plan: AttentionPlan, start: int = 0, stop: int | None = None
    ) -> Tensor:
        """Layers [start, stop) over hidden states [B, T, width] at positions [B, T] → [B, T, width]; no final norm."""
        rotary = self.model.model.rotary_emb(hidden, position_ids=positions)
        for layer in self.layers[start:stop]:
            hidden = layer(hidden, attention_mask=plan, position_embeddings=rotary, position_ids=positions)
        return hidden

    def norm(self, hidden: Tensor) -> Tensor:
        """The final norm, after which hidden @ head.T are the logits."""
        normed: Tensor = self.model.model.norm(hidden)
        return normed

    def run_forest(
        self, forest: Forest, start: int = 0, stop: int | None = None, below: Tensor | None = None
    ) -> Tensor:
        """Hidden states [N, width] of a forest's nodes before layer `stop`; `below` are those before `start`."""
        ids, positions = torch.from_numpy(forest.ids), torch.from_numpy(forest.depth)[None]
        hidden = self.embed(ids) if below is None else below
        return self.run(hidden[None], positions, TreeAttention.of(forest), start, stop)[0]


def locate(name: str) -> Path:
    """The folder of a model's files: made, found or fetched. Raises `InputError` when it cannot be had."""
    if name == embedded.ALIAS:
        return embedded.embedded_model()
    if name.startswith("hf:"):
        return _fetch(name.removeprefix("hf:"))
    path = Path(name)
    if path.is_file() and path.suffix == ".gguf":
        return embedded.from_gguf(path)
    if (path / "config.json").is_file():
        return path
    raise InputError(
        f"model {name!r}: neither a known alias ({embedded.ALIAS}), nor hf:OWNER/NAME, nor a folder with config.json, "
        "nor a .gguf file"
    )


def _fetch(repository: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(
            snapshot_download(repository, allow_patterns=["*.json", "*.safetensors", "*.jinja", "*.model", "*.txt"])
        )
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        first_line = str(error).strip().splitlines()[0]
        raise InputError(
            f"model hf:{repository} could not be fetched ({first_line}); check the name and the network"
        ) from None


def weights_hash(folder: Path) -> str:
    """One hash for a folder's safetensors files. Raises `InputError` where there is none."""
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise InputError(f"{folder}: there is no .safetensors file; truing does not load pickled weights")
    return hashlib.sha256("".join(digest_file(file) for file in files).encode()).hexdigest()
