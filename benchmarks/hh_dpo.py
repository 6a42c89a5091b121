"""DPO on 1,800 real pairs (hh-rlhf, harmless-base), 300 of them held out by a fixed split; one run a seed.

What is measured: the share of held-out pairs whose better answer the trained model prefers by more than the reference
does (margin above 0; the reference itself scores ½ by definition), and, for the bare model too, the share whose better
answer is simply likelier. Intervals: Wilson's within a seed (items), and the spread of the seeds beside it.

    python benchmarks/hh_dpo.py ../shared/data/hh-rlhf/harmless_base_1800.jsonl.gz --seeds 0 1 2

The split: prompts are ordered by the sha256 of their tokens; the first whose rows make up 300 are held out, so that rows
with one prompt stay on one side. A finished seed is written to --out and not run again.
"""

import argparse
import json
import time
from pathlib import Path

import torch

from truing.core.digest import digest
from truing.core.statistics import wilson
from truing.data.formats import load
from truing.engine.adapters import remove_adapter, use_adapter
from truing.engine.chat import Chat
from truing.engine.score import batches, score_forest
from truing.engine.tree import build_forest
from truing.engine.trunk import Trunk
from truing.train.preference import Pair, PreferenceConfig, train_preference
from truing.train.records import TrainStep

HELD_OUT = 300
CONFIG = PreferenceConfig(sft_weight=0.0, batch_rows=16, microbatch_tokens=2048)


def main() -> None:
    """Run the seeds that are not there yet, then print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, help="harmless_base_1800.jsonl.gz")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--rate", type=float, default=1e-4, help="learning rate")
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("hh-dpo"), help="a folder for what is finished")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    config = CONFIG.model_copy(
        update={
            "epochs": options.epochs,
            "optimiser": CONFIG.optimiser.model_copy(update={"learning_rate": options.rate}),
        }
    )
    trunk = Trunk.load("smollm2-135m")
    train, held_out = split(pairs(options.file, Chat(trunk.tokenizer, trunk.context)))
    print(f"{len(train)} pairs to train on, {len(held_out)} held out", flush=True)
    reference = margins(trunk, held_out, None)
    for seed in options.seeds:
        path = options.out / f"seed-{seed}-rate-{options.rate:g}-epochs-{options.epochs}.json"
        if not path.exists():
            path.write_text(json.dumps(run(trunk, train, held_out, reference, config, seed)))
        show(seed, json.loads(path.read_text()))


def pairs(file: Path, chat: Chat) -> list[Pair]:
    """The file's good rows as token sequences. Rows that truing refuses are counted and left out."""
    rows, bad = load(file)
    print(f"{len(rows)} good rows, {len(bad)} bad ones left out", flush=True)
    return [(chat.sequence(row.prompt, row.chosen), chat.sequence(row.prompt, row.rejected)) for row in rows]


def split(rows: list[Pair]) -> tuple[list[Pair], list[Pair]]:
    """(train, held out): whole prompts, in the order of their hash, until 300 pairs are held out."""
    prompt = [row[0].ids[: row[0].scored_from] for row in rows]
    order = sorted(range(len(rows)), key=lambda number: digest(list(prompt[number])))
    end = HELD_OUT
    while prompt[order[end]] == prompt[order[end - 1]]:
        end += 1
    return [rows[number] for number in sorted(order[end:])], [rows[number] for number in order[:end]]


def margins(trunk: Trunk, rows: list[Pair], adapter: str | None) -> list[float]:
    """log π(chosen) − log π(rejected) of each pair, in nats."""
    forest = build_forest([sequence for pair in rows for sequence in pair])
    values = []
    with torch.no_grad(), use_adapter(trunk, adapter):
        for part in batches(forest, range(len(rows)), 2048, group=2):
            sums = score_forest(trunk, forest.select([2 * pair + side for pair in part for side in (0, 1)])).sums()
            values += (sums[0::2] - sums[1::2]).tolist()
    return values


def run(
    trunk: Trunk, train: list[Pair], held_out: list[Pair], reference: list[float], config: PreferenceConfig, seed: int
) -> dict[str, object]:
    """Train one adapter and score the held-out pairs with it."""
    started = time.perf_counter()
    curve = []
    for record in train_preference(trunk, train, config, seed=seed, name="policy"):
        if isinstance(record, TrainStep):
            curve.append(record.model_dump())
            print(f"seed {seed}, step {record.step}/{record.steps}: loss {record.loss:.4f}", flush=True)
    seconds = time.perf_counter() - started
    policy = margins(trunk, held_out, "policy")
    remove_adapter(trunk, "policy")
    return {"seconds": seconds, "curve": curve, "policy": policy, "reference": reference}


def show(seed: int, result: dict[str, list[float]]) -> None:
    """One row of the table."""
    policy, reference = result["policy"], result["reference"]
    n = len(policy)
    for what, right in (
        ("margin over the reference", sum(p > r for p, r in zip(policy, reference, strict=True))),
        ("likelier answer, trained", sum(p > 0 for p in policy)),
        ("likelier answer, bare", sum(r > 0 for r in reference)),
    ):
        low, high = wilson(right, n)
        print(f"seed {seed}: {what}: {right / n:.1%} [{low:.1%}, {high:.1%}] of {n}", flush=True)


if __name__ == "__main__":
    main()
