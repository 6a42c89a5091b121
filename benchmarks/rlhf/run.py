"""RLHF beside its peers: a reward model's step, a PPO iteration, drawing answers, RLOO and GRPO.

    make bench-rlhf
    make bench-rlhf ARGS="--only ppo --steps 1"

The same model (float32, LoRA of rank 16 on all linear layers, no checkpointing), the same rows and the same answers on
both sides; each peer in an environment of its own, made under --work. Steps are taken in turn, ours and the peer's, and
only medians and ratios count. Each comparison has processes of its own, so that their peaks of memory are its own.

What both compute is shown first where it should be equal: rewards and gradient of the reward model, and the gradients
of RLOO and GRPO, from saved adapters that are not zero. PPO's gradients differ by design (TRL pays a score one token
after the end of turn), so divergence and scores are compared instead. Needs about 40 minutes and 20 GB, for the peers.
"""

import argparse
import datetime
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

HERE = Path(__file__).resolve().parent
BESIDE = HERE.parent / "preference"
sys.path.insert(0, str(BESIDE))
from run import PEERS, Process, environment, processor  # noqa: E402

ENVIRONMENTS = {
    "1.16.0": PEERS["1.16.0"],
    "1.12.0": ["torch==2.13.0", "trl==1.12.0", "transformers==5.24.0", "peft==0.21.2"],
}


@dataclass(frozen=True)
class Comparison:
    """What is compared with which TRL's `worker`; `ours` names our variants and what they are called in the table.
    `checked`: both sides write numbers that must be equal."""

    title: str
    peer: str
    version: str
    worker: str
    ours: dict[str, str]
    steps: int
    checked: bool = False
    speed: bool = False


COMPARISONS = {
    "reward": Comparison(
        "reward model, step of 8 pairs", "TRL 1.16.0", "1.16.0", "trl_worker.py", {"reward": ""}, 3, checked=True
    ),
    "ppo": Comparison(
        "PPO iteration, 4 × 4 answers", "TRL 1.12.0", "1.12.0", "ppo_worker.py",
        {"ppo": ", critic on an adapter", "ppo-shared": ", critic on the policy's pass"}, 2,
    ),
    "ppo-alone": Comparison(
        "PPO iteration, 16 × 1 answer", "TRL 1.12.0", "1.12.0", "ppo_worker.py", {"ppo-alone": ""}, 1
    ),
    "rollouts": Comparison(
        "drawing 96 answers", "generate", "1.16.0", "trl_worker.py", {"rollouts": ""}, 2, speed=True
    ),
    "rloo": Comparison(
        "RLOO iteration, 4 × 4 answers", "TRL 1.16.0", "1.16.0", "trl_worker.py", {"rloo": ""}, 2, checked=True
    ),
    "grpo": Comparison(
        "GRPO iteration, 4 × 4 answers", "TRL 1.16.0", "1.16.0", "trl_worker.py", {"grpo": ""}, 1, checked=True
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Setting:
    """Where things are."""

    work: Path
    pairs: Path
    model: str
    threads: int

    def worker(self, python: str, file: str, kind: str, name: str, path: list[Path]) -> Process:
        """A process that answers calls, with these folders to import from."""
        clean = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")}
        arguments = [kind, self.model, str(self.pairs), str(self.work), str(self.threads)]
        found = {**clean, "PYTHONPATH": os.pathsep.join(map(str, path))}
        return Process(name, [python, str(HERE / file), *arguments], found, self.work / f"rlhf-{kind}-{name}.log")

    def ours(self, kind: str) -> Process:
        """A worker of truing's."""
        return self.worker(sys.executable, "truing_worker.py", kind, "truing", [BESIDE, HERE.parent.parent])

    def peer(self, kind: str, comparison: Comparison) -> Process:
        """A peer's worker, in its environment."""
        python = environment(self.work / f"trl-{comparison.version}", ENVIRONMENTS[comparison.version])
        return self.worker(python, comparison.worker, kind, comparison.peer, [BESIDE])


def main() -> None:
    """Prepare, compare one after the other, print and keep the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=Path, required=True, help="harmless_base_1800.jsonl.gz of hh-rlhf")
    parser.add_argument("--work", type=Path, default=Path(".bench"), help="where environments and results go")
    parser.add_argument("--only", choices=list(COMPARISONS), help="one comparison")
    parser.add_argument("--steps", type=int, help="steps of each comparison (at most 8)")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="threads of each side")
    parser.add_argument("--model", type=Path, help="a model folder instead of the embedded model")
    options = parser.parse_args()

    from truing.engine.embedded import embedded_model

    work = options.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    model = str((options.model or embedded_model()).resolve())
    setting = Setting(work, options.pairs.resolve(), model, options.threads)
    chosen = [options.only] if options.only else list(COMPARISONS)
    prepare = setting.ours("prepare")
    lengths = prepare.call("make", steps=max(options.steps or COMPARISONS[name].steps for name in chosen))
    prepare.close()
    result: dict[str, Any] = {"threads": setting.threads, "lengths": lengths, "comparisons": {}}
    print(json.dumps(lengths), flush=True)
    for name in chosen:
        result["comparisons"][name] = compare(setting, name, options.steps or COMPARISONS[name].steps)
        (work / "rlhf.json").write_text(json.dumps(result, indent=1))
    print(table(result))


def compare(setting: Setting, name: str, steps: int) -> dict[str, Any]:
    """One comparison, step by step in turn. A peer that dies ends its own part only."""
    comparison = COMPARISONS[name]
    ours = {kind: setting.ours(kind) for kind in comparison.ours}
    first = ours[name]
    plan = first.call("plan", steps=steps)
    result: dict[str, Any] = {"steps": [], "equal": {}, "failed": None}
    peer = None
    try:
        peer = setting.peer(name, comparison)
        if comparison.checked:
            result["equal"] = equality(setting, first, peer, plan[0])
            print(f"{name}, differences: {json.dumps(result['equal'])}", flush=True)
    except (RuntimeError, subprocess.CalledProcessError) as error:
        result["failed"] = str(error)
    result["settled"] = {kind: side.call("begin", steps=steps) for kind, side in ours.items()}
    for asked in plan:
        row = {kind: side.call("step", **asked) for kind, side in ours.items()}
        row["rate"] = first.call("rate")
        if peer is not None and result["failed"] is None:
            try:
                row["peer"] = peer.call("step", **asked)
            except RuntimeError as error:
                result["failed"] = str(error)
        result["steps"].append(row)
        print(json.dumps({name: row}), flush=True)
    for key, value in (result["steps"][0].get("peer") or {}).get("numbers", {}).items():
        result["equal"][key] = abs(value / result["steps"][0][name]["numbers"][key] - 1)
    result["peaks"] = {kind: side.peak for kind, side in ours.items()}
    if peer is not None and result["failed"] is None:
        result["peaks"]["peer"] = peer.peak
    for side in (*ours.values(), *([peer] if peer is not None else [])):
        side.close()
    return result


def equality(setting: Setting, ours: Process, peer: Process, asked: dict[str, Any]) -> dict[str, float]:
    """How far apart the two sides are on one step: rewards by their standard deviation, the gradient by its norm."""
    import torch
    from safetensors.torch import load_file

    files = [setting.work / f"rlhf-{side}.safetensors" for side in ("truing", "peer")]
    for side, file in zip((ours, peer), files, strict=True):
        side.call("check", **asked, save_to=str(file))
    one, two = map(load_file, files)
    if sorted(one) != sorted(two):
        raise RuntimeError(f"{peer.name} and truing train other parameters: {sorted(set(one) ^ set(two))[:4]}")
    found = {}
    if "rewards" in one:
        mine, theirs = one.pop("rewards"), two.pop("rewards")
        found["rewards"] = float((mine - theirs).abs().max() / theirs.std())
    gradients = [torch.cat([side[key].flatten().double() for key in sorted(one)]) for side in (one, two)]
    found["gradient"] = float((gradients[0] - gradients[1]).norm() / gradients[1].norm())
    return found


def table(result: dict[str, Any]) -> str:
    """The Markdown table."""
    rates = [row["rate"] for one in result["comparisons"].values() for row in one["steps"]]
    lines = [
        f"{datetime.date.today()}, {processor()}, {result['threads']} threads; medians, ratios step by step with their "
        f"range. Matrix rate {median(rates) / 1e9:.0f} GFLOP/s.",
        "",
        "| | truing | peer | truing is faster | memory | peer's memory | share of the matrix rate |",
        "|---|---|---|---|---|---|---|",
    ]
    notes = []
    for name, one in result["comparisons"].items():
        comparison = COMPARISONS[name]
        for kind, variant in comparison.ours.items():
            lines.append(_row(comparison, f"{comparison.title}{variant}", kind, one))
        if one["failed"]:
            notes.append(f"{comparison.title}: {comparison.peer} failed: {one['failed']}")
        if one["equal"]:
            apart = ", ".join(f"{key} {value:.0e}" for key, value in one["equal"].items())
            notes.append(f"{comparison.title}: differences from {comparison.peer}: {apart}")
    return "\n".join([*lines, "", *notes])


def _row(comparison: Comparison, title: str, kind: str, one: dict[str, Any]) -> str:
    steps, peaks = one["steps"], one["peaks"]
    both = [row for row in steps if "peer" in row]
    ratios = [row["peer"]["seconds"] / row[kind]["seconds"] for row in both]
    shares = [
        row[kind]["operations"] / row[kind]["seconds"] / row["rate"] for row in steps if "operations" in row[kind]
    ]

    def figure(side: str, rows: list[dict[str, Any]]) -> str:
        if comparison.speed:
            return f"{median(row[side]['tokens'] / row[side]['seconds'] for row in rows):.0f} tokens/s"
        return f"{median(row[side]['seconds'] for row in rows):.1f} s"

    cells = (
        title,
        figure(kind, steps),
        f"{comparison.peer}: {figure('peer', both)}" if both else f"{comparison.peer}: failed",
        f"{median(ratios):.1f}× ({min(ratios):.1f}–{max(ratios):.1f})" if ratios else "",
        f"{peaks[kind] / 1e9:.1f} GB",
        f"{peaks['peer'] / 1e9:.1f} GB ({peaks['peer'] / peaks[kind]:.1f}×)" if "peer" in peaks else "died",
        f"{median(shares):.0%}" if shares else "",
    )
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
