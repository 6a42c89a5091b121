"""The benchmark's pairs: hh-rlhf transcripts as (prompt, chosen, rejected) messages. Standard library only: it runs in
each peer's environment as it does in ours."""

import gzip
import json
import re
from pathlib import Path
from typing import Any


def pairs(file: Path, count: int) -> list[dict[str, Any]]:
    """The first `count` pairs whose contexts agree, whose answers differ and whose turns alternate; or those of a JSON
    Lines file that holds them as messages."""
    if file.suffix == ".jsonl":
        return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()[:count]]
    found: list[dict[str, Any]] = []
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            chosen, rejected = _turns(row["chosen"]), _turns(row["rejected"])
            prompt = chosen[:-1]
            alternate = all(turn["role"] == ("user", "assistant")[place % 2] for place, turn in enumerate(chosen))
            whole = all(turn["content"] for turn in [*chosen, *rejected])
            differ = chosen[-1] != rejected[-1] and rejected[-1]["role"] == chosen[-1]["role"] == "assistant"
            if prompt and prompt == rejected[:-1] and alternate and whole and differ:
                found.append({"prompt": prompt, "chosen": chosen[-1:], "rejected": rejected[-1:]})
            if len(found) == count:
                return found
    raise SystemExit(f"{file}: only {len(found)} usable pairs, {count} were asked for")


def _turns(transcript: str) -> list[dict[str, str]]:
    parts = re.split(r"\n\n(Human|Assistant):", transcript)
    roles = {"Human": "user", "Assistant": "assistant"}
    return [{"role": roles[who], "content": text.strip()} for who, text in zip(parts[1::2], parts[2::2], strict=True)]
