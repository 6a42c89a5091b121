"""truing's side: `train_preference` itself, advanced one record at a time.

The trainer computes the reference for all pairs before its first step; here the same pass is timed again for the pairs
of each step, right before it, so that both meet the machine at one speed.
"""

import sys
import time
from pathlib import Path
from typing import Any

import torch
from ours import Operations, make_adapter, matrix_rate, tokens_of
from rows import pairs
from safetensors.torch import save_file
from worker import serve

from truing.core.records import Progress
from truing.engine.adapters import (
    AdapterConfig,
    adapter_parameters,
    add_adapter,
    copy_weights,
    remove_adapter,
    use_adapter,
)
from truing.engine.chat import Chat
from truing.engine.score import batches, score_forest
from truing.engine.tree import Forest, build_forest
from truing.engine.trunk import Trunk
from truing.losses.dpo import adjusted_margin, dpo_loss
from truing.train.optimise import OptimiserConfig
from truing.train.preference import PreferenceConfig, train_preference
from truing.train.records import TrainStep
from truing.train.rows import schedule


class Worker:
    """One trunk and the benchmark's pairs, tokenised as TRL does: the template's newline is scored."""

    def __init__(self, model: str, file: str, count: int, adapter: str, threads: int) -> None:
        torch.set_num_threads(threads)
        self.trunk, self.adapter = Trunk.load(model), Path(adapter)
        chat = Chat(self.trunk.tokenizer, self.trunk.context, score_tail=True)
        self.pairs = [tokens_of(chat, row) for row in pairs(Path(file), count)]
        self.records: Any = None

    def tokens(self, rows: list[int]) -> dict[str, Any]:
        """Each pair's token ids, the tree's tokens, and the operations that a step needs."""
        ids = [
            [chosen.ids[: chosen.scored_from], chosen.ids[chosen.scored_from :], rejected.ids[rejected.scored_from :]]
            for chosen, rejected in (self.pairs[row] for row in rows)
        ]
        forest = self._forest(rows)
        counted = Operations(self.trunk, forest)
        reference, policy = counted.forward + counted.head, counted.forward_and_backward + 2 * counted.head
        return {"ids": ids, "tree": len(forest), "reference": reference, "policy": policy}

    def check(self, rows: list[int], save_to: str) -> None:
        """Write policy and reference log-probabilities of the rows, and the loss's gradient, to a file."""
        forest = self._forest(rows)
        with torch.no_grad():
            reference = score_forest(self.trunk, forest).sums()
        add_adapter(self.trunk, "check", self._config().adapter, seed=0)
        copy_weights(self.adapter, self.trunk, "check")
        parameters = adapter_parameters(self.trunk, "check")
        for parameter in parameters.values():
            parameter.requires_grad_(True)
        with use_adapter(self.trunk, "check"):
            policy = score_forest(self.trunk, forest).sums()
        margin = adjusted_margin(policy[0::2], policy[1::2], reference[0::2], reference[1::2])
        loss = dpo_loss(margin, 0.1).mean()
        loss.backward()  # type: ignore[no-untyped-call]
        gradients = {
            "base_model.model." + name.replace(".check.", "."): value.grad for name, value in parameters.items()
        }
        order = [*range(0, len(policy), 2), *range(1, len(policy), 2)]
        save_file(
            {"policy": policy.detach()[order], "reference": reference[order], "loss": loss.detach(), **gradients},
            save_to,
        )  # type: ignore[arg-type]
        remove_adapter(self.trunk, "check")

    def order(self) -> list[list[int]]:
        """The rows of each step, as the trainer will take them."""
        return [rows for _, _, rows in schedule(range(len(self.pairs)), 1, 8, seed=0)]

    def begin(self) -> None:
        """Start the trainer, and let it compute its reference."""
        self.records = train_preference(self.trunk, self.pairs, self._config(), seed=0)
        for record in self.records:
            if isinstance(record, Progress) and record.stage == "reference" and record.done == record.total:
                return
        raise RuntimeError("the trainer ended before its reference pass did")

    def wake(self) -> None:
        """Read every weight once: while the other side ran, the system may have taken them out of memory."""
        for parameter in self.trunk.model.parameters():
            parameter.sum()

    def reference(self, rows: list[int]) -> float:
        """Seconds of the reference pass over these pairs."""
        forest = self._forest(rows)
        started = time.perf_counter()
        with torch.no_grad(), use_adapter(self.trunk, None):
            score_forest(self.trunk, forest).sums()
        return time.perf_counter() - started

    def kept_step(self, rows: list[int]) -> float:
        """Seconds of the trainer's next step, the reference being kept."""
        started = time.perf_counter()
        record = next(self.records)
        assert isinstance(record, TrainStep), record
        del rows
        return time.perf_counter() - started

    def curve(self, upper_layers: int | None, training: int, every: int = 4) -> list[dict[str, float]]:
        """Train on the first `training` pairs in steps of 8; every so many steps the seconds so far (all passes count),
        and the share of the other pairs whose reference-adjusted margin is above 0 (measuring that is not counted)."""
        held_out = build_forest([sequence for pair in self.pairs[training:] for sequence in pair])
        reference = self._sums(held_out, None)
        points, spent, started = [], 0.0, time.perf_counter()
        for record in train_preference(self.trunk, self.pairs[:training], self._reach(upper_layers), seed=0):
            if not isinstance(record, TrainStep):
                continue
            spent += time.perf_counter() - started
            if record.step % every == 0 or record.step == record.steps:
                policy = self._sums(held_out, "policy")
                margin = adjusted_margin(policy[0::2], policy[1::2], reference[0::2], reference[1::2])
                accuracy = float((margin > 0).double().mean())
                points.append({"step": record.step, "seconds": spent, "accuracy": accuracy})
            started = time.perf_counter()
        remove_adapter(self.trunk, "policy")
        return points

    def curve_order(self, training: int) -> list[list[int]]:
        """The rows of each step of a curve."""
        return [rows for _, _, rows in schedule(range(training), 1, 8, seed=0)]

    def _sums(self, forest: Forest, adapter: str | None) -> torch.Tensor:
        """Each sequence's log-probability."""
        sums = []
        with torch.no_grad(), use_adapter(self.trunk, adapter):
            for part in batches(forest, range(len(forest.paths) // 2), 2048, group=2):
                piece = forest.select([2 * pair + side for pair in part for side in (0, 1)])
                sums.append(score_forest(self.trunk, piece).sums())
        return torch.cat(sums)

    def _reach(self, upper_layers: int | None) -> PreferenceConfig:
        adapter = AdapterConfig(upper_layers=upper_layers)
        return PreferenceConfig(sft_weight=0.0, batch_rows=8, adapter=adapter)

    def rate(self) -> float:
        """The machine's matrix rate in operations a second."""
        return matrix_rate()

    def make_adapter(self) -> None:
        """Save an adapter on all layers whose B is not zero."""
        make_adapter(self.trunk, self._config().adapter, self.adapter)

    def _config(self) -> PreferenceConfig:
        return PreferenceConfig(
            sft_weight=0.0, batch_rows=8, microbatch_tokens=1_000_000, adapter=AdapterConfig(upper_layers=None),
            optimiser=OptimiserConfig(learning_rate=1e-5),
        )  # fmt: skip

    def _forest(self, rows: list[int]) -> Forest:
        return build_forest([sequence for row in rows for sequence in self.pairs[row]])


if __name__ == "__main__":
    model, file, count, adapter, threads = sys.argv[1:]
    it = Worker(model, file, int(count), adapter, int(threads))
    calls = (
        it.tokens,
        it.check,
        it.order,
        it.begin,
        it.wake,
        it.reference,
        it.kept_step,
        it.rate,
        it.make_adapter,
        it.curve,
        it.curve_order,
    )
    serve({"ready": lambda: None, **{call.__name__: call for call in calls}})
