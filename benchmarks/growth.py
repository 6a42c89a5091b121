"""How a training step's time and memory grow: with tokens a step, sequence length, branches a tree, and rows.

    python benchmarks/growth.py --write docs

Every point is a process of its own (its peak is its own), on the embedded model with adapters on the upper 12 layers
and random tokens. A step is the forward and backward pass of DPO's pairs (or of wider trees); the faster of two after
one that is not counted. `--write` puts growth.svg and growth.json into a folder.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

# What varies, its values, and a step's shape at a value: (trees, shared prompt, answer, branches a tree).
SERIES: dict[str, tuple[tuple[int, ...], Any]] = {
    "tokens a step": ((512, 1024, 2048, 4096, 8192), lambda n: (n // 256, 128, 64, 2)),
    "sequence length": ((64, 128, 256, 512, 1024, 2048, 4096), lambda n: (4096 // (n + n // 2), n // 2, n // 2, 2)),
    "branches a tree": ((1, 2, 4, 8, 16, 32), lambda n: (4, 256, 64, n)),
}
ROWS = (1_000, 2_000, 4_000, 8_000, 16_000)


def main() -> None:
    """Measure all series, or one point."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--point", nargs=2, metavar=("SERIES", "VALUE"), help="measure one point, in this process")
    parser.add_argument("--write", type=Path, help="the folder of growth.svg and growth.json")
    options = parser.parse_args()
    if options.point:
        print(json.dumps(measure(options.point[0], int(options.point[1]))))
        return
    found = {name: [point(name, value) for value in values] for name, (values, _) in SERIES.items()}
    found["rows"] = [point("rows", value) for value in ROWS]
    if options.write:
        (options.write / "growth.json").write_text(json.dumps(found, indent=1) + "\n")
        plot(found, options.write / "growth.svg")


def point(series: str, value: int) -> dict[str, float]:
    """One point, measured in a new process."""
    command = [sys.executable, "-W", "ignore", __file__, "--point", series, str(value)]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True)
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    print(f"{series} {value}: {result}", flush=True)
    return result


def measure(series: str, value: int) -> dict[str, float]:
    """Seconds, tokens and peak bytes at one value."""
    if series == "rows":
        return measure_rows(value)
    import torch

    from truing.engine.adapters import AdapterConfig, adapter_parameters, add_adapter
    from truing.engine.score import score_forest
    from truing.engine.tree import build_forest
    from truing.engine.trunk import Trunk

    trunk = Trunk.load("smollm2-135m")
    first = add_adapter(trunk, "policy", AdapterConfig(), seed=0)
    for parameter in adapter_parameters(trunk, "policy").values():
        parameter.requires_grad_(True)
    forest = build_forest(trees(*SERIES[series][1](value)))
    below = torch.randn(len(forest), trunk.head.shape[1])
    seconds = []
    for _ in range(3):
        started = time.perf_counter()
        score_forest(trunk, forest, below, first).sums().sum().backward()  # type: ignore[no-untyped-call]
        seconds.append(time.perf_counter() - started)
    return {"value": value, "tokens": len(forest), "seconds": min(seconds[1:]), "peak_bytes": peak()}


def measure_rows(rows: int) -> dict[str, float]:
    """The work around the model that grows with a data set: one forest of all pairs, and an epoch's micro-batches."""
    from truing.engine.score import batches
    from truing.engine.tree import build_forest

    sequences = trees(rows, 128, 64, 2)
    before, started = peak(), time.perf_counter()
    forest = build_forest(sequences)
    for part in batches(forest, range(rows), 2048, group=2):
        forest.select([2 * pair + side for pair in part for side in (0, 1)])
    seconds = time.perf_counter() - started
    return {"value": rows, "tokens": len(forest), "seconds": seconds, "peak_bytes": peak() - before}


def trees(count: int, prompt: int, answer: int, branches: int) -> list[Any]:
    """Random token sequences: `branches` answers to each of `count` prompts, all answers scored."""
    import numpy as np

    from truing.engine.tree import TokenSequence

    random = np.random.default_rng(0)
    made = []
    for _ in range(max(1, count)):
        shared = random.integers(10, 40_000, prompt).tolist()
        made += [
            TokenSequence((*shared, *random.integers(10, 40_000, answer).tolist()), prompt) for _ in range(branches)
        ]
    return made


def peak() -> int:
    """This process's largest resident size, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def plot(found: dict[str, list[dict[str, float]]], path: Path) -> None:
    """Time and memory of each series, side by side."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    matplotlib.rcParams["svg.hashsalt"] = "growth"
    figure, axes = pyplot.subplots(2, len(found), figsize=(3.2 * len(found), 5.2), sharex="col", layout="constrained")
    for column, (name, points) in enumerate(found.items()):
        values = [one["value"] for one in points]
        per_token = name in ("sequence length", "branches a tree")
        times = [one["seconds"] / (one["tokens"] / 1000 if per_token else 1) for one in points]
        for row, heights in enumerate((times, [one["peak_bytes"] / 1e9 for one in points])):
            axes[row, column].plot(values, heights, marker="o", color="#2a6f97")
            axes[row, column].set_ylim(bottom=0)
            axes[row, column].grid(alpha=0.3)
        axes[0, column].set_title("s per 1,000 tokens" if per_token else "s", fontsize=9, loc="left")
        axes[1, column].set_title("peak, GB", fontsize=9, loc="left")
        axes[1, column].set_xlabel(name)
        if name == "sequence length":
            axes[1, column].set_xscale("log", base=2)
    figure.savefig(path, metadata={"Date": None})


if __name__ == "__main__":
    main()
