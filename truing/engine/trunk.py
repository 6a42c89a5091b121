"""The trunk: one frozen base model, run layer by layer over a token tree, or row by row where it cannot fork.

What stands where is `families.py`'s matter; adapters sit inside its linear layers (`adapters.py`); text is `chat.py`'s.
Weights come from safetensors or GGUF, never from a pickle.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from truing.core.errors import InputError
from truing.engine import attention, families, gated, norms, padded
from truing.engine.attention import AttentionPlan, TreeAttention
from truing.engine.families import FAMILIES, Family
from truing.engine.files import locate, weights_hash
from truing.engine.flex import FlexAttention
from truing.engine.full import FullWeights
from truing.engine.head import Head
from truing.engine.prefix import AfterPrefix, Prefix
from truing.engine.templates import template_text
from truing.engine.tree import Forest, Ints


@dataclass
class Trunk:
    """A loaded base model. `sha256` is the hash of its weights files: adapters record it and refuse another trunk.

    `family` says where its parts stand; None where the model cannot run over a token tree: `padded` then says why, and
    every sequence runs on its own row. `peft` wraps the model once it carries low-rank adapters, `full` holds fully
    trained weights (see `adapters.py`).
    """

    name: str
    model: Any
    tokenizer: Any
    sha256: str
    family: Family | None
    padded: str = ""
    peft: Any = None
    full: dict[str, FullWeights] = field(default_factory=dict)
    full_in_use: str | None = None

    @classmethod
    def load(
        cls, name: str, dtype: torch.dtype = torch.float32, device: str = "cpu", template: str | None = None
    ) -> "Trunk":
        """Load `smollm2-135m`, `hf:OWNER/NAME`, a folder or a GGUF file. `template`: a chat template instead of the
        tokenizer's own (`templates.py`). Raises `InputError` naming what is wrong."""
        where = _device(device)
        jinja = None if template is None else template_text(template)
        folder = locate(name)
        from transformers import AutoModelForCausalLM, AutoTokenizer
        from transformers.utils import logging

        logging.disable_progress_bar()
        try:
            model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, use_safetensors=True)
            tokenizer = AutoTokenizer.from_pretrained(folder)
        except (OSError, ValueError, ImportError) as error:
            reason = str(error).strip().splitlines()[0]
            raise InputError(
                f"{name}: it cannot be loaded as a causal language model with its tokenizer ({reason})"
            ) from None
        finally:
            logging.enable_progress_bar()
        if jinja is not None:
            tokenizer.chat_template = jinja
        trunk = cls.of(model.to(where), tokenizer, name, weights_hash(folder))
        padded.check(trunk)
        return trunk

    @classmethod
    def of(cls, model: Any, tokenizer: Any, name: str, sha256: str = "") -> "Trunk":
        """Wrap a transformers model that is already in memory, and freeze it."""
        family = FAMILIES.get(model.config.model_type)
        if family is not None:
            attention.register()
            model.config._attn_implementation = attention.NAME
            gated.keep_less(model)
            norms.keep_less(model)
        model.config._name_or_path = name  # what PEFT writes into an adapter as its base
        model.name_or_path = name
        model.requires_grad_(False)
        model.eval()
        return cls(name, model, tokenizer, sha256, family, "" if family else padded.reason(model.config))

    @property
    def layers(self) -> Any:
        """The decoder layers, in order."""
        return families.layers(self.model, self.family)

    @property
    def head(self) -> Tensor:
        """The output embedding [vocabulary, width]."""
        weight: Tensor = self.model.get_output_embeddings().weight
        return weight

    @property
    def output(self) -> Head:
        """The output layer: weight, bias and cap."""
        bias = getattr(self.model.get_output_embeddings(), "bias", None)
        return Head(self.head, bias, families.logit_cap(self.model.config))

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the weights."""
        return self.head.dtype

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.head.device

    def tensor(self, numbers: Ints) -> Tensor:
        """Whole numbers (ids, places) as a tensor where the weights are."""
        return torch.from_numpy(numbers.astype(np.int64, copy=False)).to(self.device)

    @property
    def context(self) -> int:
        """The longest sequence, in tokens, that the model was made for."""
        return families.context(self.model.config)

    def embed(self, ids: Tensor, positions: Tensor) -> Tensor:
        """Token ids and their positions [...] → hidden states [..., width] before the first layer."""
        assert self.family is not None, self.padded
        return families.embed(self.model, self.family, ids, positions)

    def run(
        self, hidden: Tensor, positions: Tensor, plan: AttentionPlan, start: int = 0, stop: int | None = None
    ) -> Tensor:
        """Layers [start, stop) over hidden states [B, T, width] at positions [B, T] → [B, T, width]; no final norm."""
        rotary = families.rotary(self.model, hidden, positions)
        for number, layer in enumerate(self.layers[start:stop], start):
            hidden = layer(hidden, attention_mask=plan, position_embeddings=rotary(number), position_ids=positions)
        return hidden

    def norm(self, hidden: Tensor) -> Tensor:
        """The final norm (and the logits' scale): what the output layer reads."""
        normed = hidden if self.family is None else getattr(self.model.base_model, self.family.norm)(hidden)
        scale = families.logit_scale(self.model.config)
        scaled = normed if scale == 1.0 else normed * scale
        return scaled.to(self.dtype)  # Mamba keeps its residual in float32 whatever its dtype

    def run_forest(
        self,
        forest: Forest,
        start: int = 0,
        stop: int | None = None,
        below: Tensor | None = None,
        prefix: Prefix | None = None,
    ) -> Tensor:
        """Hidden states [N, width] of a forest's nodes before layer `stop`; `below` are those before `start`.

        From layer 0 the ids are embedded afresh. On the padded path there is no layer to start from or to stop at.
        With a `prefix`, the forest's roots follow its tokens (see `prefix.usable`).
        Raises `InputError` if a sequence is longer than the model's context.
        """
        before = 0 if prefix is None else len(prefix)
        if len(forest) and (longest := before + int(forest.depth.max()) + 1) > self.context:
            raise InputError(
                f"{self.name}: a sequence of {longest} tokens exceeds the {self.context} up to which the model's "
                "positions are exact; shorten it or leave it out"
            )
        if self.family is None:
            return padded.run_forest(self.model, forest, start, stop)
        positions = self.tensor(before + forest.depth)
        if start == 0 or below is None:
            below = self.embed(self.tensor(forest.ids), positions)
        plan = self.plan(forest) if prefix is None else AfterPrefix.of(forest, prefix)
        return self.run(below.to(self.device)[None], positions[None], plan, start, stop)[0]

    def plan(self, forest: Forest, capture: bool = False) -> TreeAttention | FlexAttention:
        """The attention of a forest where the weights are: blocks on a CPU, flex attention on a GPU."""
        if self.device.type == "cuda":
            return FlexAttention.of(forest, self.device, capture)
        return TreeAttention.of(forest, capture)


def _device(name: str) -> torch.device:
    """A device that is there. Raises `InputError` otherwise."""
    try:
        device = torch.device(name)
        if device.type not in ("cpu", "cuda"):
            raise RuntimeError("there is no tree attention for it")
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(f"device {name!r} cannot be used ({reason}); use cpu, or cuda where there is a GPU") from None
    return device
