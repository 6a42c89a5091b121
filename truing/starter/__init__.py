"""The starter pack: comparisons and held-out probes written for truing (original text, Apache-2.0)."""

from pathlib import Path

STARTER = "starter"
FOLDER = Path(__file__).parent
DEMO = FOLDER / "demo.toml"


def comparison_files(source: str) -> list[Path]:
    """The files behind a source of comparisons: the pack's own, or the path itself."""
    return sorted(FOLDER.glob("train-*.jsonl")) if source == STARTER else [Path(source)]


def probe_files(source: str) -> list[Path]:
    """The files behind a source of probes: the pack's own, or the path itself."""
    return sorted(FOLDER.glob("probes-*.jsonl")) if source == STARTER else [Path(source)]
