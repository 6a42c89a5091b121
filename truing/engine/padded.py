"""The padded path: an architecture that cannot fork runs every sequence on a row of its own.

A recurrent state cannot be handed to two branches, and of an architecture that truing does not know nothing is sure but
its own forward pass. So the leaves of a forest (sequences that no other one continues) run as right-padded rows through
the model's own code, and each node's state is read from one row that passes it. The numbers are those of the plain
computation; what sequences share is computed once for each of them.

The model must be causal (padding to the right changes nothing to its left) and its logits must be its output layer's
reading of its last hidden state: `check` looks, once, when a model is loaded.
"""

from collections import defaultdict
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from truing.core.errors import InputError
from truing.core.records import Decoding
from truing.engine.sampling import Generated, Row, choose
from truing.engine.tree import Forest, Ints, TokenSequence, build_forest

if TYPE_CHECKING:
    from truing.engine.trunk import Trunk

ROW_TOKENS = 4096
_RECURRENT = ("mamba", "ssm", "state_size", "lru_width", "linear_", "conv_L_cache", "rwkv", "xlstm", "conv_kernel")
_TOLERANCE = {torch.float64: 1e-6, torch.float32: 1e-3, torch.float16: 0.1, torch.bfloat16: 0.5}


def reason(config: Any) -> str:
    """Why a model that is not in the table of families takes this path, in a few words."""
    keys = [config.model_type, *config.to_dict(), *(getattr(config, "layer_types", None) or ())]
    if any(mark in key for key in keys for mark in _RECURRENT):
        return "recurrent layers cannot fork"
    return f"the architecture {config.model_type!r} is not known to obey a token tree"


def run_forest(model: Any, forest: Forest, start: int, stop: int | None) -> Tensor:
    """The states [N, width] that the output layer reads, of a forest's nodes. `start` must be 0 and `stop` None."""
    if start != 0 or stop is not None:
        raise ValueError("on the padded path a model runs whole: there is no layer to start from or to stop at")
    device = model.get_input_embeddings().weight.device
    pieces, nodes = [], []
    for group in _groups(_leaves(forest)):
        ids = np.zeros((len(group), max(map(len, group))), dtype=np.int64)
        real = np.zeros_like(ids)
        for row, path in enumerate(group):
            ids[row, : len(path)] = forest.ids[path]
            real[row, : len(path)] = 1
        out = model.base_model(
            input_ids=torch.from_numpy(ids).to(device),
            attention_mask=torch.from_numpy(real).to(device),
            use_cache=False,
        )
        places = np.flatnonzero(real)
        pieces.append(out.last_hidden_state.flatten(0, 1).index_select(0, torch.from_numpy(places).to(device)))
        nodes.append(np.concatenate(group))
    _, first = np.unique(np.concatenate(nodes), return_index=True)
    return torch.cat(pieces).index_select(0, torch.from_numpy(first).to(device))


def _leaves(forest: Forest) -> list[Ints]:
    """Paths that together pass every node, the longest first: those that no other sequence continues."""
    passed = np.zeros(len(forest), dtype=bool)
    leaves = []
    for path in sorted(forest.paths, key=len, reverse=True):
        if not passed[path[-1]]:
            passed[path] = True
            leaves.append(path)
    return leaves


def _groups(paths: list[Ints]) -> list[list[Ints]]:
    """Paths of falling length in groups of at most `ROW_TOKENS` tokens, padding included (a longer path runs alone)."""
    groups: list[list[Ints]] = []
    for path in paths:
        if groups and len(groups[-1][0]) * (len(groups[-1]) + 1) <= ROW_TOKENS:
            groups[-1].append(path)
        else:
            groups.append([path])
    return groups


def generate(
    trunk: "Trunk", rows: list[Row], decoding: Decoding, end_id: int, slots: int
) -> Iterator[tuple[int, Generated]]:
    """Answer the rows by the model's own `generate`, which knows its own caches: prompts of one length at a time."""
    from transformers import GenerationConfig, LogitsProcessorList

    trunk.model.generation_config = GenerationConfig()  # nobody's penalties and forced tokens
    settings = GenerationConfig(max_new_tokens=decoding.max_new_tokens, eos_token_id=end_id, pad_token_id=end_id)
    by_length: dict[int, list[Row]] = defaultdict(list)
    for row in rows:
        by_length[len(row.prompt)].append(row)
    for group in by_length.values():
        for start in range(0, len(group), slots):
            part = group[start : start + slots]
            ids = torch.tensor([row.prompt for row in part], device=trunk.device)
            trunk.model.generate(
                ids,
                attention_mask=torch.ones_like(ids),
                generation_config=settings,
                logits_processor=LogitsProcessorList([_Chooser(part, decoding, end_id)]),
            )
            yield from ((row.number, row.generated(end_id)) for row in part)


class _Chooser:
    """Chooses the tokens of rows that have not ended; transformers' greedy step then has one choice left."""

    def __init__(self, rows: list[Row], decoding: Decoding, end_id: int) -> None:
        self.rows, self.decoding, self.end_id = rows, decoding, end_id

    def __call__(self, _ids: Tensor, scores: Tensor) -> Tensor:
        going = [number for number, row in enumerate(self.rows) if not self._ended(row)]
        chosen = torch.full((len(self.rows),), self.end_id, device=scores.device)
        tokens = choose(scores[going].float(), [self.rows[number] for number in going], self.decoding.temperature)
        chosen[going] = torch.tensor(tokens, device=scores.device)
        return torch.full_like(scores, -torch.inf).scatter(1, chosen[:, None], 0.0)

    def _ended(self, row: Row) -> bool:
        return row.ended(self.end_id, self.decoding.max_new_tokens)


@torch.no_grad()
def check(trunk: "Trunk") -> None:
    """Compare a few sequences' log-probabilities with those of the model's own forward pass, each sequence alone.

    Raises `InputError` where they differ: then truing would train and measure something else than this model.
    """
    from truing.engine.score import score_forest

    vocabulary = len(trunk.head)
    ids = [(7 + 31 * place) % vocabulary for place in range(12)]
    sequences = [
        TokenSequence(tuple(ids[:8]), 1),
        TokenSequence((*ids[:4], *ids[8:]), 2),
        TokenSequence(tuple(ids[:3]), 1),
    ]
    ours = score_forest(trunk, build_forest(sequences)).lists()
    for values, sequence in zip(ours, sequences, strict=True):
        expected = plain_logprobs(trunk, sequence)
        worst = max(abs(one - other) for one, other in zip(values, expected, strict=True))
        if not worst < _TOLERANCE[trunk.dtype]:
            raise InputError(
                f"{trunk.name}: the architecture {trunk.model.config.model_type!r} does not fit: its log-probabilities "
                f"differ by {worst:.2g} nat from the model's own (is it causal?); use another model"
            )


@torch.no_grad()
def plain_logprobs(trunk: "Trunk", sequence: TokenSequence) -> list[float]:
    """The scored tokens' log-probabilities by the model's own forward pass and its own eager attention."""
    ids = torch.tensor([sequence.ids], device=trunk.device)
    config = trunk.model.config
    before = config._attn_implementation
    if trunk.family is not None:
        config._attn_implementation = "eager"
    try:
        logprobs = trunk.model(input_ids=ids, use_cache=False).logits[0].float().log_softmax(-1)
    finally:
        config._attn_implementation = before
    start = max(sequence.scored_from, 1)
    picked: list[float] = logprobs[range(start - 1, len(sequence.ids) - 1), ids[0, start:]].tolist()
    return picked
