"""A DPO step of truing beside TRL's: the same model, pairs, adapter and micro-batch, step by step in turn.

    make bench-preference

Each peer runs in an environment of its own, made under --work from the versions below. Both sides: float32, LoRA of
rank 16 on all linear layers, no checkpointing, micro-batches of 8 pairs, AdamW. First it is shown that they compute the
same thing: log-probabilities and gradients from one saved adapter that is not zero. Then every step is run by one after
the other; only ratios and medians count. Needs about 23 GB of memory, for TRL.
"""

import argparse
import contextlib
import datetime
import json
import os
import platform
import signal
import subprocess
import sys
import venv
from pathlib import Path
from statistics import median
from typing import Any

HERE = Path(__file__).parent
PEERS = {
    version: ["torch==2.13.0", f"trl=={version}", "transformers==5.24.0", "peft==0.21.2"]
    for version in ("1.16.0", "1.15.0")
}
PAIRS, MICRO = 64, 8


class Process:
    """A worker that answers one request at a time."""

    def __init__(self, name: str, command: list[str], environment: dict[str, str], log: Path) -> None:
        self.name, self.peak, self.log = name, 0, log
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log.open("w"), text=True,
            env=environment, cwd=HERE,
        )  # fmt: skip
        self.call("ready")

    def call(self, call: str, **arguments: Any) -> Any:
        """The worker's answer. Raises `RuntimeError` where it died."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            self.process.stdin.write(json.dumps({"call": call, **arguments}) + "\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            status = self.process.wait()
            why = ", killed, most likely for want of memory," if status == -signal.SIGKILL else ""
            raise RuntimeError(f"{self.name} ended with status {status}{why} while it did {call!r}: see {self.log}")
        answer = json.loads(line)
        self.peak = answer["peak_bytes"]
        return answer["result"]

    def close(self) -> None:
        """End the worker, if it has not ended by itself."""
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.wait()


def main() -> None:
    """Prepare, check equality, run the steps in turn, print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=Path, required=True, help="harmless_base_1800.jsonl.gz of hh-rlhf")
    parser.add_argument("--work", type=Path, default=Path(".bench"), help="where environments and results go")
    parser.add_argument("--steps", type=int, default=PAIRS // MICRO, help="steps of 8 pairs (default: all 64 pairs)")
    parser.add_argument("--kept-steps", type=int, default=2, help="steps with the reference kept on both sides")
    parser.add_argument("--peers", nargs="*", default=list(PEERS), help="TRL versions")
    options = parser.parse_args()
    work = options.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    threads = os.cpu_count() or 1

    from truing.engine.embedded import embedded_model

    arguments = [str(embedded_model()), str(options.pairs.resolve()), str(PAIRS), str(work / "adapter"), str(threads)]
    # Each process gives a peak of its own and starts alone: nothing of ours is on the peers' path.
    ours = Process(
        "truing", [sys.executable, str(HERE / "truing_worker.py"), *arguments], dict(os.environ), work / "truing.log"
    )
    ours.call("make_adapter")
    clean = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")}
    peers, failures = {}, {}
    for version in options.peers:
        try:
            python = environment(work / f"trl-{version}", PEERS[version])
            peers[version] = Process(
                f"TRL {version}", [python, str(HERE / "trl_worker.py"), *arguments], clean, work / f"trl-{version}.log"
            )
        except (RuntimeError, subprocess.CalledProcessError) as error:
            failures[version] = str(error)
    order = ours.call("order")[: options.steps]
    result: dict[str, Any] = {"steps": [], "kept": [], "equal": {}, "failures": failures, "threads": threads}
    for version, peer in list(peers.items()):
        try:
            result["equal"][version] = equality(ours, peer, order[0], work)
            print(f"TRL {version} computes the same: {json.dumps(result['equal'][version])}", flush=True)
        except RuntimeError as error:
            failures[version] = str(error)
            del peers[version]
    ours.call("begin")
    for number, rows in enumerate(order):
        counted = ours.call("tokens", rows=rows)
        ours.call("wake")
        before = ours.call("rate")
        reference, kept = ours.call("reference", rows=rows), ours.call("kept_step", rows=rows)
        row = {
            "tree": counted["tree"], "truing": kept + reference, "truing kept": kept,
            "rate": (before + ours.call("rate")) / 2, "reference": counted["reference"], "policy": counted["policy"],
        }  # fmt: skip
        for version, peer in list(peers.items()):
            try:
                row["padded"] = peer.call("tokens", rows=rows)["padded"]
                peer.call("wake")
                row[version] = peer.call("step", rows=rows)
                if number < options.kept_steps:
                    row[f"{version} kept"] = peer.call("kept_step", rows=rows)
            except RuntimeError as error:
                failures[version] = str(error)
                del peers[version]
        result["steps"].append(row)
        print(json.dumps(row), flush=True)
    result["peaks"] = {"truing": ours.peak, **{version: peer.peak for version, peer in peers.items()}}
    (work / "preference.json").write_text(json.dumps(result, indent=1))
    print(table(result))


def environment(folder: Path, requirements: list[str]) -> str:
    """The interpreter of an environment with exactly these packages; made where it is missing."""
    python = folder / "bin" / "python"
    if not (folder / "made").exists():
        venv.create(folder, with_pip=True, clear=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", *requirements], check=True)
        (folder / "made").touch()
    return str(python)


def equality(ours: Process, peer: Process, rows: list[int], work: Path) -> dict[str, float]:
    """The largest differences between the two sides on one micro-batch. Raises where even the tokens differ."""
    import torch
    from safetensors.torch import load_file

    if ours.call("tokens", rows=rows)["ids"] != peer.call("tokens", rows=rows)["ids"]:
        raise SystemExit(f"{peer.name} and truing do not score the same tokens")
    for side in (ours, peer):
        side.call("check", rows=rows, save_to=str(work / f"{side.name}.safetensors"))
    one, two = (load_file(work / f"{side.name}.safetensors") for side in (ours, peer))
    scores = ("policy", "reference", "loss")
    names = sorted(set(two) - set(scores))
    assert names == sorted(set(one) - set(scores)), "the adapters' parameters differ"
    gradient = [torch.cat([side[name].flatten().double() for name in names]) for side in (one, two)]
    apart = {name: float(((one[name] - two[name]) / two[name]).abs().max()) for name in scores}
    return {
        **{f"{name}, largest relative difference": value for name, value in apart.items()},
        "gradient, relative difference of its norm": float((gradient[0] - gradient[1]).norm() / gradient[1].norm()),
        "loss": float(one["loss"]),
    }


def table(result: dict[str, Any]) -> str:
    """The Markdown table."""
    steps, ours = result["steps"], result["peaks"]["truing"]
    rate = median(s["rate"] for s in steps)
    share = median((s["reference"] + s["policy"]) / s["truing"] / s["rate"] for s in steps)
    lines = [
        f"{datetime.date.today()}, {processor()}, {result['threads']} threads; {len(steps) * MICRO} pairs in "
        f"{len(steps)} steps; medians. Matrix rate {rate / 1e9:.0f} GFLOP/s, of which truing uses {share:.0%} on "
        "counted operations.",
        "",
        "| | s a step | tree tokens/s | peak memory | truing is faster | reference kept: faster |",
        "|---|---|---|---|---|---|",
        f"| truing | {median(s['truing'] for s in steps):.1f} | {median(s['tree'] / s['truing'] for s in steps):.0f} | "
        f"{ours / 1e9:.1f} GB | | |",
    ]
    for version in PEERS:
        if version in result["failures"]:
            lines.append(f"| TRL {version} | failed: {result['failures'][version]} | | | | |")
        if any(version in s for s in steps):
            lines.append(_row(version, [s for s in steps if version in s], result["peaks"].get(version), ours))
    return "\n".join(lines)


def _row(version: str, steps: list[dict[str, float]], peak: int | None, ours: int) -> str:
    ratios = [s[version] / s["truing"] for s in steps]
    kept = [s[f"{version} kept"] / s["truing kept"] for s in steps if f"{version} kept" in s]
    cells = (
        f"TRL {version}",
        f"{median(s[version] for s in steps):.1f}",
        f"{median(s['tree'] / s[version] for s in steps):.0f}",
        f"{peak / 1e9:.1f} GB ({peak / ours:.1f}×)" if peak else "died",
        f"{median(ratios):.1f}× ({min(ratios):.1f}–{max(ratios):.1f})",
        f"{median(kept):.1f}×" if kept else "not measured",
    )
    return f"| {' | '.join(cells)} |"


def processor() -> str:
    """The processor's name as the system gives it."""
    names = [
        line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line
    ]
    return names[0] if names else platform.processor()


if __name__ == "__main__":
    main()
