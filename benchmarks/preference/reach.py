"""Time to equal held-out preference accuracy: the default recipe beside adapters on all layers, as TRL trains them.

    make bench-reach

The default recipe adapts the upper 12 layers and keeps the states below them. Both are trained here on the same rows of
the starter pack, and held-out pairs of other topics are scored after every few steps (not counted). TRL on all layers
computes what we compute on all layers (`run.py` shows it), so its accuracy after a step is ours after that step; its
seconds a step are measured on some of the very steps. Its time to an accuracy is the product: a projection, and named
so.
"""

import argparse
import json
import os
import sys
from pathlib import Path
from statistics import median
from typing import Any

from run import HERE, PEERS, Process, environment, processor

VERSION = "1.16.0"
TRAINING, HELD_OUT = 240, 80
THRESHOLDS = (0.7, 0.8, 0.85, 0.9)


def main() -> None:
    """Both curves, TRL's seconds a step, and the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path(".bench"), help="where environments and results go")
    parser.add_argument("--peer-steps", type=int, default=4, help="steps of TRL that are timed")
    options = parser.parse_args()
    work = options.work.resolve()
    work.mkdir(parents=True, exist_ok=True)

    from truing.engine.embedded import embedded_model

    file = write_rows(work / "reach.jsonl")
    arguments = [str(embedded_model()), str(file), str(TRAINING + HELD_OUT), str(work / "adapter")]
    arguments.append(str(os.cpu_count() or 1))
    ours = Process(
        "truing", [sys.executable, str(HERE / "truing_worker.py"), *arguments], dict(os.environ), work / "reach.log"
    )
    ours.call("make_adapter")
    result: dict[str, Any] = {"default": ours.call("curve", upper_layers=12, training=TRAINING)}
    result["all layers"] = ours.call("curve", upper_layers=None, training=TRAINING)
    order = ours.call("curve_order", training=TRAINING)
    clean = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")}
    python = environment(work / f"trl-{VERSION}", PEERS[VERSION])
    peer = Process(f"TRL {VERSION}", [python, str(HERE / "trl_worker.py"), *arguments], clean, work / "reach-trl.log")
    result["peer"] = [peer.call("step", rows=rows) for rows in order[: options.peer_steps]]
    (work / "reach.json").write_text(json.dumps(result, indent=1))
    print(table(result))


def write_rows(path: Path) -> Path:
    """Rows of the starter pack as messages, the held-out ones last: whole topics, none of them trained on."""
    from truing.loops.verbs.dataset import DatasetConfig, keep_some, load_all, split
    from truing.starter import STARTER, comparison_files

    rows = keep_some(load_all(comparison_files(STARTER)), 4 * (TRAINING + HELD_OUT), 0)
    train, held_out = split(rows, DatasetConfig(source=STARTER, held_out=0.3), 0)
    lines = []
    for row in [*train[:TRAINING], *held_out[:HELD_OUT]]:
        answers = {side: [{"role": "assistant", "content": getattr(row, side)}] for side in ("chosen", "rejected")}
        lines.append(json.dumps({"prompt": [message.model_dump() for message in row.prompt], **answers}) + "\n")
    if len(lines) != TRAINING + HELD_OUT:
        raise SystemExit(f"the starter pack gives {len(lines)} rows, {TRAINING + HELD_OUT} are needed")
    path.write_text("".join(lines), encoding="utf-8")
    return path


def table(result: dict[str, Any]) -> str:
    """The Markdown table: seconds to each accuracy."""
    step = median(result["peer"])
    lines = [
        f"{processor()}; {TRAINING} pairs of the starter pack in steps of 8, {HELD_OUT} held out; TRL {VERSION}: "
        f"{step:.1f} s a step (median of {len(result['peer'])}).",
        "",
        "| held-out accuracy | default recipe | all layers | TRL (projected) | TRL ÷ default |",
        "|---|---|---|---|---|",
    ]
    for threshold in THRESHOLDS:
        found = {name: reached(result[name], threshold) for name in ("default", "all layers")}
        default, whole = found["default"], found["all layers"]
        cells = [
            f"{threshold:.0%}",
            f"{default['seconds']:.0f} s, step {default['step']}" if default else "not reached",
            f"{whole['seconds']:.0f} s, step {whole['step']}" if whole else "not reached",
            f"{step * whole['step']:.0f} s" if whole else "not reached",
            f"{step * whole['step'] / default['seconds']:.1f}×" if whole and default else "",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    default, whole = result["default"][-1], result["all layers"][-1]
    lines.append(
        f"| after one epoch | {default['seconds']:.0f} s, {default['accuracy']:.1%} | {whole['seconds']:.0f} s, "
        f"{whole['accuracy']:.1%} | {step * whole['step']:.0f} s | {step * whole['step'] / default['seconds']:.1f}× |"
    )
    return "\n".join(lines)


def reached(curve: list[dict[str, float]], threshold: float) -> dict[str, float] | None:
    """The first point from which the accuracy is at least the threshold."""
    return next((point for point in curve if point["accuracy"] >= threshold), None)


if __name__ == "__main__":
    main()
