"""Write docs/models.md's table from tiny models of every architecture, measured by the tests' own functions.

    python scripts/models_page.py            writes the table into docs/models.md
    python scripts/models_page.py --check    exits with 1 if the table is not what it would write

Each row is measured: how far scores and gradients of a token tree (or of padded rows) are from the untouched
transformers model, and whether greedy answers are transformers' own. Deviations are rounded up to a power of ten, and
never below 1e-12, so that another machine's rounding writes the same page.
"""

import argparse
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.engine.families import KINDS, deviation, generates_alike, tiny  # noqa: E402
from truing.engine.families import FAMILIES, logit_cap  # noqa: E402
from truing.engine.trunk import Trunk  # noqa: E402

PAGE = ROOT / "docs" / "models.md"
BEGIN, END = "<!-- made by scripts/models_page.py -->\n", "<!-- end -->\n"
HEAD = ["`model_type`", "path", "windows", "soft-caps", "positions", "parity", "LoRA", "full", "generation"]
FLOOR = -12


def row(kind: str) -> list[str]:
    """One architecture's row. Raises `SystemExit` where it is further off than 1e-9."""
    measured = deviation(kind)
    if not measured.worst() < 1e-9:
        raise SystemExit(f"{kind}: {measured} is beyond 1e-9")
    model = tiny(kind)
    return [
        f"`{kind}`",
        "padded" if Trunk.of(model, None, kind).padded else "tree",
        windows(model.config),
        caps(model.config),
        positions(kind, model),
        *(rounded(value) for value in (measured.logprob, measured.lora, measured.full)),
        "equal" if generates_alike(kind) else "differs",
    ]


def rounded(value: float) -> str:
    """The power of ten at or above a deviation, 1e-12 at least."""
    return f"1e{max(FLOOR, math.ceil(math.log10(value))) if value > 0 else FLOOR}"


def windows(config: Any) -> str:
    """On how many of the tiny model's layers attention is windowed."""
    if not (getattr(config, "sliding_window", None) or getattr(config, "attention_window_size", None)):
        return "none"
    types = getattr(config, "layer_types", None)
    return "by layer" if types and len(set(types)) > 1 else "all layers"


def caps(config: Any) -> str:
    """Which scores are capped."""
    found = {"attention": getattr(config, "attn_logit_softcapping", None), "logits": logit_cap(config)}
    return ", ".join(name for name, cap in found.items() if cap) or "none"


def positions(kind: str, model: Any) -> str:
    """How the model knows a token's place."""
    if kind == "opt" or (kind in FAMILIES and FAMILIES[kind].positions):
        return "learned"
    rotary = getattr(model.base_model, "rotary_emb", None)
    if rotary is None:
        return {"bloom": "linear biases"}.get(kind, "recurrent")
    if hasattr(rotary, "layer_types") and len(rotary.layer_types) > 1:
        return "rotary, by layer"
    parameters = getattr(model.config, "rope_parameters", None) or {}
    partial = parameters.get("partial_rotary_factor", 1.0) < 1
    name = parameters.get("rope_type", "default")
    return "rotary" + (", partial" if partial else "") + ("" if name == "default" else f", {name}")


def table(kinds: Sequence[str] = KINDS) -> str:
    """The table in Markdown."""
    lines = [HEAD, ["---"] * len(HEAD), *(row(kind) for kind in kinds)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Write or check the table; the exit code is 1 where it is out of date."""
    parser = argparse.ArgumentParser(description="Write the table of docs/models.md.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 if the table is out of date")
    checked = parser.parse_args(arguments).check
    page = PAGE.read_text(encoding="utf-8")
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    text = f"{before}{BEGIN}{table()}{END}{after}"
    if not checked:
        PAGE.write_text(text, encoding="utf-8")
    elif page != text:
        print("docs/models.md: its table is not what is measured; run `python scripts/models_page.py`", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
