"""Tiny random models of many architectures, and how far truing's numbers are from the model's own forward pass.

Used by the tests and by scripts/models_page.py. Everything is float64. transformers rounds to float32 in some places
(norms, softmax, rotary angles) whatever the model's dtype; `Exact` holds these roundings off in both computations, so
that what is left is the difference between the computations.
"""

import random
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from truing.core.records import Decoding
from truing.engine.adapters import AdapterConfig, adapter_parameters, add_adapter
from truing.engine.families import FAMILIES
from truing.engine.generate import generate
from truing.engine.score import score_forest
from truing.engine.tree import TokenSequence, build_forest
from truing.engine.trunk import Trunk

WINDOW = 5
_SHAPE: dict[str, Any] = {
    "vocab_size": 61,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 256,
    "initializer_range": 0.3,
    "pad_token_id": None,
    "bos_token_id": None,
    "eos_token_id": None,
    "tie_word_embeddings": False,
}
_MIXED = ["sliding_attention", "full_attention", "sliding_attention"]
_MAMBA = {"mamba_n_heads": 8, "mamba_d_head": 8, "mamba_d_state": 4, "mamba_chunk_size": 8}
# What each architecture needs beside the common shape, so that its peculiarities are at work.
_CHANGES: dict[str, dict[str, Any]] = {
    "qwen2": {"use_sliding_window": True, "sliding_window": WINDOW, "max_window_layers": 1},
    "qwen3": {"use_sliding_window": True, "sliding_window": WINDOW, "max_window_layers": 1},
    "mistral": {"sliding_window": WINDOW},
    "mixtral": {"sliding_window": WINDOW, "num_local_experts": 4},
    "ministral": {"sliding_window": WINDOW, "layer_types": _MIXED},
    "gemma2": {
        "sliding_window": WINDOW,
        "attn_logit_softcapping": 2.0,
        "final_logit_softcapping": 5.0,
        "query_pre_attn_scalar": 8,
        "tie_word_embeddings": True,
    },
    "gemma3_text": {"sliding_window": WINDOW, "layer_types": _MIXED, "tie_word_embeddings": True},
    "vaultgemma": {"sliding_window": WINDOW},
    "olmo3": {"sliding_window": WINDOW, "layer_types": _MIXED},
    "exaone4": {"sliding_window": WINDOW, "layer_types": _MIXED},
    "cohere": {"logit_scale": 0.5},
    "cohere2": {"sliding_window": WINDOW, "layer_types": _MIXED, "logit_scale": 0.5},
    "phi3": {
        "sliding_window": WINDOW,
        "original_max_position_embeddings": 64,
        "rope_parameters": {
            "rope_type": "longrope",
            "rope_theta": 10000.0,
            "short_factor": [1.0, 1.1, 1.2, 1.3],
            "long_factor": [1.0, 2.0, 3.0, 4.0],
            "original_max_position_embeddings": 64,
        },
    },
    "starcoder2": {"sliding_window": WINDOW},
    "granite": {
        "logits_scaling": 3.0,
        "embedding_multiplier": 2.0,
        "attention_multiplier": 0.3,
        "residual_multiplier": 0.7,
    },
    "gpt_neox": {"rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.5}},
    "qwen3_moe": {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16, "decoder_sparse_step": 1},
    "olmoe": {"num_experts": 4, "num_experts_per_tok": 2},
    "mamba": {"state_size": 4},
    "falcon_mamba": {"state_size": 4},
    "mamba2": {"state_size": 4, "num_heads": 8, "head_dim": 8, "n_groups": 1, "expand": 2},
    "recurrent_gemma": {
        "lru_width": 32,
        "attention_window_size": WINDOW,
        "block_types": ["recurrent", "attention", "recurrent"],
    },
    "jamba": {
        "num_experts": 2,
        "attn_layer_period": 3,
        "attn_layer_offset": 1,
        "expert_layer_period": 3,
        "expert_layer_offset": 2,
        "mamba_d_state": 4,
    },
    "falcon_h1": {**_MAMBA, "mamba_d_ssm": 32, "mamba_n_heads": 4, "mamba_n_groups": 1},
    "bamba": {**_MAMBA, "attn_layer_indices": [1]},
    "rwkv": {"attention_hidden_size": 32, "context_length": 64},
    "lfm2": {"full_attn_idxs": [1]},
    "opt": {"ffn_dim": 48, "word_embed_proj_dim": 32},
    "gpt_oss": {"num_local_experts": 4, "sliding_window": WINDOW},
}
PADDED = (
    *("mamba", "mamba2", "falcon_mamba", "recurrent_gemma", "jamba", "falcon_h1", "bamba", "rwkv", "lfm2"),
    *("gpt_oss", "opt", "bloom"),
)
KINDS = (*FAMILIES, *PADDED)
ADAPTER = AdapterConfig(rank=2, alpha=4, upper_layers=None)
END = 7


class Exact(TorchFunctionMode):
    """Lets float64 stay float64 where transformers asks for float32."""

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if args and isinstance(args[0], torch.Tensor) and args[0].dtype == torch.float64:
            if function is torch.Tensor.float:
                return args[0]
            args = tuple(torch.float64 if value is torch.float32 else value for value in args)
            kwargs = {key: torch.float64 if value is torch.float32 else value for key, value in kwargs.items()}
        return function(*args, **kwargs)


@contextmanager
def exactly() -> Iterator[None]:
    """Exact arithmetic, without the warnings that some architectures give about kernels that are not installed."""
    with Exact(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def tiny_config(kind: str, **changes: Any) -> Any:
    """A tiny configuration of an architecture with its peculiarities at work."""
    from transformers import CONFIG_MAPPING

    return CONFIG_MAPPING[kind](**{**_SHAPE, **_CHANGES.get(kind, {}), **changes})


def tiny(kind: str, **changes: Any) -> Any:
    """A tiny random model in float64 with transformers' eager attention; the same weights at every call."""
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    before = logging.get_verbosity()
    logging.set_verbosity_error()
    config = tiny_config(kind, **changes)
    eager_experts = {"experts_implementation": "eager"} if "expert" in " ".join(config.to_dict()) else {}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(config, attn_implementation="eager", **eager_experts)
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.ndim == 1:  # norms and biases would else be ones and zeros, and hide what is done to them
                    parameter.add_(0.2 * torch.randn(parameter.shape))
    logging.set_verbosity(before)
    return model.double().eval()


def sequences() -> list[TokenSequence]:
    """Branches of one trunk of 14 tokens, all longer than the window; one ends inside another."""
    chance = random.Random(0)
    stem = tuple(chance.randrange(61) for _ in range(14))
    forks = [chance.randrange(3, 14) for _ in range(5)]
    tails = [tuple(chance.randrange(61) for _ in range(chance.randrange(4, 10))) for _ in forks]
    branches = [TokenSequence((*stem[:fork], *tail), fork - 2) for fork, tail in zip(forks, tails, strict=True)]
    return [*branches, TokenSequence(stem[:9], 3)]


def plain_logprobs(model: Any, sequence: TokenSequence) -> torch.Tensor:
    """The oracle: the model's own forward pass over one sequence, nothing shared."""
    ids = torch.tensor([sequence.ids])
    logprobs = model(input_ids=ids, use_cache=False).logits.double().log_softmax(-1)[0]
    start = max(sequence.scored_from, 1)
    return logprobs[range(start - 1, len(sequence.ids) - 1), ids[0, start:]]


@dataclass(frozen=True)
class Deviation:
    """The largest difference of a log-probability (nats), and of gradients as a share of the largest gradient: of the
    low-rank adapter's matrices, and of all other weights."""

    logprob: float
    lora: float
    full: float

    def worst(self) -> float:
        return max(self.logprob, self.lora, self.full)


def deviation(kind: str, **changes: Any) -> Deviation:
    """Score and differentiate the sequences as a forest, and one by one with the untouched model."""
    plain, trunk = tiny(kind, **changes), Trunk.of(tiny(kind, **changes), None, kind)
    oracle = Trunk(kind, plain, None, "", trunk.family, trunk.padded)
    with exactly():
        for one in (trunk, oracle):
            add_adapter(one, "probe", ADAPTER, seed=1)
            one.model.requires_grad_(True)
            for number, parameter in enumerate(adapter_parameters(one, "probe").values()):
                drawn = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(number))
                parameter.data = 0.1 * drawn.double()
        tree = score_forest(trunk, build_forest(sequences()))
        expected = torch.cat([plain_logprobs(plain, sequence) for sequence in sequences()])
        weights = torch.linspace(0.5, 2.0, len(expected), dtype=torch.float64)
        (weights * tree.value).sum().backward()
        (weights * expected).sum().backward()
    gradients = [
        {name: parameter.grad for name, parameter in model.named_parameters() if parameter.grad is not None}
        for model in (trunk.model, plain)
    ]
    assert gradients[0].keys() == gradients[1].keys()
    largest = max(gradient.abs().max().item() for gradient in gradients[1].values())
    gaps = {name: (gradients[0][name] - gradients[1][name]).abs().max().item() / largest for name in gradients[1]}
    lora = [gap for name, gap in gaps.items() if ".lora_" in name]
    assert len(lora) == len(adapter_parameters(oracle, "probe")) > 0
    return Deviation(
        logprob=(tree.value - expected).abs().max().item(),
        lora=max(lora),
        full=max(gap for name, gap in gaps.items() if ".lora_" not in name),
    )


def generates_alike(kind: str, **changes: Any) -> bool:
    """True if greedy answers are those of transformers' own `generate`, for prompts of several lengths."""
    plain, trunk = tiny(kind, **changes), Trunk.of(tiny(kind, **changes), None, kind)
    prompts = [sequence.ids[: 4 + 3 * number] for number, sequence in enumerate(sequences()[:3])]
    with exactly(), torch.no_grad():
        ours = dict(generate(trunk, prompts, Decoding(max_new_tokens=10), end_id=END, slots=2))
        for number, prompt in enumerate(prompts):
            ids = torch.tensor([prompt])
            theirs = plain.generate(
                ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=10,
                do_sample=False,
                eos_token_id=END,
                pad_token_id=END,
            )[0, len(prompt) :].tolist()
            if [*ours[number].ids, *([END] if ours[number].finished else [])] != theirs:
                return False
    return True
