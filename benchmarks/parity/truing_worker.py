"""truing's side: the first step of `train_preference` itself, from an adapter that is not zero, its gradient caught
before AdamW takes it."""

import sys
from pathlib import Path
from typing import Any

import torch
from ours import make_adapter, tokens_of
from safetensors.torch import save_file
from short import short_pairs
from torch.optim.optimizer import register_optimizer_step_pre_hook
from worker import serve

from truing.core.records import Progress
from truing.engine.adapters import AdapterConfig, adapter_parameters, copy_weights, remove_adapter
from truing.engine.chat import Chat
from truing.engine.tree import TokenSequence
from truing.engine.trunk import Trunk
from truing.train.mismatched import mismatched_rows
from truing.train.objectives import OBJECTIVES
from truing.train.optimise import OptimiserConfig
from truing.train.preference import PreferenceConfig, train_preference
from truing.train.records import TrainStart, TrainStep
from truing.train.rows import schedule

POLICY = "policy"


class Worker:
    """One trunk and a few pairs, tokenised as TRL does: the template's newline is scored."""

    def __init__(self, model: str, file: str, count: int, adapter: str, threads: int) -> None:
        torch.set_num_threads(threads)
        self.trunk, self.adapter = Trunk.load(model), Path(adapter)
        chat = Chat(self.trunk.tokenizer, self.trunk.context, score_tail=True)
        self.pairs = [tokens_of(chat, row) for row in short_pairs(Path(file), count)]

    def make_adapter(self) -> None:
        """Save an adapter on the upper layers whose B is not zero."""
        make_adapter(self.trunk, AdapterConfig(), self.adapter)

    def tokens(self) -> list[list[tuple[int, ...]]]:
        """Each pair's prompt, chosen and rejected ids."""
        return [
            [chosen.ids[: chosen.scored_from], *(row.ids[row.scored_from :] for row in (chosen, rejected))]
            for chosen, rejected in self.pairs
        ]

    def mismatched(self) -> list[tuple[int, ...]]:
        """The answer that each row is joined with for KTO's baseline; rows are all chosen, then all rejected."""
        rows = [row for pair in self.pairs for row in pair]
        order = next(schedule([number // 2 for number in range(len(rows))], 1, len(rows), seed=0))[2]
        found = mismatched_rows(rows, [number % 2 == 0 for number in range(len(rows))], order, self.trunk.context)
        answers = {row: one.ids[one.scored_from :] for row, one in zip(order, found, strict=True)}
        return [answers[row] for row in (*range(0, len(rows), 2), *range(1, len(rows), 2))]

    def check(self, settings: dict[str, Any], first_tokens: int | None, save_to: str) -> None:
        """Write loss and gradient of one step over all pairs; of answers cut to their `first_tokens`, if given."""
        config = PreferenceConfig(
            **settings, batch_rows=len(self.pairs), microbatch_tokens=1_000_000,
            optimiser=OptimiserConfig(learning_rate=1e-9, warmup=0, clip_norm=1e9),
        )  # fmt: skip
        pairs = [(_cut(chosen, first_tokens), _cut(rejected, first_tokens)) for chosen, rejected in self.pairs]
        referred = OBJECTIVES[config.loss].needs_reference
        gradients: dict[str, torch.Tensor] = {}

        def catch(_adamw: Any, _args: Any, _kwargs: Any) -> None:
            for name, value in adapter_parameters(self.trunk, POLICY).items():
                assert value.grad is not None
                gradients["base_model.model." + name.replace(f".{POLICY}.", ".")] = value.grad.clone()

        handle = register_optimizer_step_pre_hook(catch)
        for record in train_preference(self.trunk, pairs, config, name=POLICY):
            if referred and isinstance(record, Progress) and (record.stage, record.done) == ("reference", record.total):
                copy_weights(self.adapter, self.trunk, POLICY)  # the reference has been computed: now be another policy
            if not referred and isinstance(record, TrainStart):
                copy_weights(self.adapter, self.trunk, POLICY)
            if isinstance(record, TrainStep):
                save_file({"loss": torch.tensor(record.loss), **gradients}, save_to)
        handle.remove()
        remove_adapter(self.trunk, POLICY)


def _cut(row: TokenSequence, tokens: int | None) -> TokenSequence:
    return row if tokens is None else TokenSequence(row.ids[: row.scored_from + tokens], row.scored_from)


if __name__ == "__main__":
    model, file, count, adapter, threads = sys.argv[1:]
    it = Worker(model, file, int(count), adapter, int(threads))
    calls = (it.make_adapter, it.tokens, it.mismatched, it.check)
    serve({"ready": lambda: None, **{call.__name__: call for call in calls}})
