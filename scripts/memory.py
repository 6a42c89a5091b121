"""Predicted against measured memory of training the embedded model: the table in docs/performance.md.

    python scripts/memory.py                 every setting, each in a process of its own (some minutes; Linux)
    python scripts/memory.py dpo 512 12 600  one: trainer, microbatch_tokens, upper layers, tokens a row

Both columns are the peak that training adds to what the process holds once the model is loaded, weights included. Rows
are random tokens behind a shared system prompt; two steps are taken, of about two micro-batches each.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

SETTINGS = [
    (trainer, tokens, layers, length)
    for trainer in ("sft", "dpo")
    for tokens, layers, length in (
        (512, 12, 60),
        (2048, 12, 60),
        (4096, 12, 60),
        (2048, 30, 60),
        (512, 12, 500),
        (2048, 12, 500),
        (1024, 30, 500),
    )
]


def main() -> None:
    """Measure one setting, or all of them."""
    if len(sys.argv) > 1:
        trainer, tokens, layers, length = sys.argv[1:5]
        print(json.dumps(measure(trainer, int(tokens), int(layers), int(length))))
        return
    print("| trainer | microbatch_tokens | adapted layers | tokens a row | predicted | measured | ratio |")
    print("|---|---|---|---|---|---|---|")
    for setting in SETTINGS:
        words = [sys.executable, __file__, *map(str, setting)]
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parent.parent)}
        done = subprocess.run(words, capture_output=True, text=True, check=True, timeout=300, env=environment)
        found = json.loads(done.stdout.splitlines()[-1])
        predicted, measured = found["predicted"], found["measured"]
        cells = [*map(str, setting), f"{predicted / 1e6:,.0f} MB", f"{measured / 1e6:,.0f} MB"]
        print("| " + " | ".join([*cells, f"{predicted / measured:.2f}"]) + " |", flush=True)


def measure(trainer: str, tokens: int, layers: int, length: int) -> dict[str, int]:
    """Predicted and measured bytes above what the process holds before its first pass."""
    import numpy as np
    import psutil

    from truing.engine.adapters import AdapterConfig
    from truing.engine.tree import TokenSequence
    from truing.engine.trunk import Trunk
    from truing.train.preference import PreferenceConfig, train_preference
    from truing.train.records import TrainStart
    from truing.train.sft import SFTConfig, train_sft

    trunk = Trunk.load("smollm2-135m")
    random = np.random.default_rng(0)
    system = tuple(range(1000, 1020))

    def draw(count: int) -> tuple[int, ...]:
        return tuple(random.integers(0, 49000, count).tolist())

    a_row = length if trainer == "sft" else length + (length - 20) // 3
    rows = max(2, 2 * tokens // a_row)
    settings = {
        "microbatch_tokens": tokens,
        "batch_rows": rows,
        "epochs": 2,
        "adapter": AdapterConfig(upper_layers=layers),
    }
    prompts = [system + draw((length - 20) * 2 // 3) for _ in range(rows)]
    answers = [[TokenSequence(p + draw((length - 20) // 3), len(p)) for p in prompts] for _ in range(2)]
    if trainer == "sft":
        records = train_sft(trunk, answers[0], SFTConfig(**settings))
    else:
        records = train_preference(trunk, list(zip(*answers, strict=True)), PreferenceConfig(**settings))
    start = next(records)
    assert isinstance(start, TrainStart)
    process = psutil.Process()
    before = process.memory_info().rss
    Path("/proc/self/clear_refs").write_text("5")  # the kernel's record of the peak begins anew
    for _ in records:
        pass
    peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    assert start.needed_bytes is not None
    # Loading read the weights already (a model is checked then), so they are no part of what was measured.
    weights = sum(parameter.nbytes for parameter in trunk.model.parameters() if not parameter.requires_grad)
    return {
        "predicted": start.needed_bytes - weights,
        "measured": int(peak.split()[1]) * 1024 - before,
        "before": before,
    }


if __name__ == "__main__":
    main()
