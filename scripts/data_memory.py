"""How much memory the data verbs take: generate ROWS comparisons and print each verb's peak and CPU time.

    python scripts/data_memory.py 100000

Every verb runs in a process of its own, so that its peak is its own.
"""

import json
import random
import subprocess
import sys
import tempfile
from pathlib import Path

VERBS = (
    ("validate", "rows.jsonl"),
    ("stats", "rows.jsonl"),
    ("import", "rows.jsonl"),
    ("export", "rows.jsonl", "out.jsonl", "--to", "trl"),
    ("export", "rows.jsonl", "out.parquet", "--to", "native"),
    ("validate", "out.parquet"),
)
RUN = """\
import resource, sys, time
from truing.cli.app import main
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
print(f"{peak} MB, {time.process_time():.0f} s", file=sys.stderr)
"""


def main() -> None:
    """Print one line a verb."""
    rows, draw = int(sys.argv[1]), random.Random(0)
    words = [f"word{number}" for number in range(5000)]
    with tempfile.TemporaryDirectory() as folder:
        with Path(folder, "rows.jsonl").open("w", encoding="utf-8") as file:
            for number in range(rows):
                prompt, chosen, rejected = (" ".join(draw.choices(words, k=length)) for length in (20, 30, 30))
                row = {"id": f"r{number}", "prompt": prompt, "chosen": chosen, "rejected": rejected}
                file.write(json.dumps({**row, "topic": f"topic {number % 50_000}"}) + "\n")
        for verb in VERBS:
            command = [sys.executable, "-c", RUN, "data", *verb]
            done = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
            print(f"{' '.join(verb)}: {done.stderr.splitlines()[-1]}", flush=True)


if __name__ == "__main__":
    main()
