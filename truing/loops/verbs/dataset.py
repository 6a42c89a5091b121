"""Comparisons, validated and split: training rows, a part held out by topic, the probes with their overlap check."""

import json
from collections.abc import Collection, Generator, Iterable, Mapping
from pathlib import Path
from typing import TypeVar

import numpy as np
from pydantic import Field

from truing.core.config import Config
from truing.core.digest import digest, digest_file
from truing.core.errors import InputError
from truing.core.records import Comparison, Probe, Record
from truing.core.twins import sample
from truing.data import formats, native
from truing.data.native import lines_of
from truing.data.overlap import Overlap, measure_overlap
from truing.data.statistics import describe
from truing.loops.context import Context
from truing.loops.recipe import Step, StepResult
from truing.starter import STARTER, comparison_files, probe_files

IMPORT = "import"  # the kind of what `truing data import` makes
IMPORTED = "comparisons.jsonl"  # and the file that holds it

Row = TypeVar("Row", Comparison, Probe)


class DatasetConfig(Config):
    """`source` is `starter` (the comparisons that come with truing) or a JSON Lines file; `probes` likewise.

    `held_out` is the share of topics whose rows training does not see. `limit` and `probe_limit` keep that many rows
    and probe pairs (chosen by the seed, whole twin pairs together): for quick runs.
    """

    source: str | None = None
    probes: str | None = STARTER
    held_out: float = Field(default=0.05, ge=0, lt=1)
    limit: int | None = Field(default=None, ge=1)
    probe_limit: int | None = Field(default=None, ge=1)


class Dataset:
    """The verb `dataset`. Rows come from `source`, or from what `truing data import` made, in the role `imported`."""

    name, version, kind = "dataset", 1, "dataset"
    config: type[Config] = DatasetConfig
    roles: Mapping[str, str] = {}
    optional_roles: Mapping[str, str] = {"imported": IMPORT}
    uses_model = False

    def reads(self, config: DatasetConfig, roles: Collection[str], _context: Context) -> Mapping[str, str]:
        """The hash of every file that rows and probes come from. Raises `InputError` unless all are there, and the rows
        from one place."""
        if (config.source is None) != ("imported" in roles):
            raise InputError(
                f'needs either source = a file or "{STARTER}", or imported = "ledger:NAME" of a `truing data import`, '
                "and not both"
            )
        files = {
            "source": comparison_files(config.source) if config.source is not None else [],
            "probes": probe_files(config.probes) if config.probes else [],
        }
        for key, paths in files.items():
            for path in paths:
                if not path.is_file():
                    what = f'a JSON Lines file of {"comparisons" if key == "source" else "probes"}, or "{STARTER}"'
                    raise InputError(f'{key} = "{path}": there is no such file; give the path of {what}')
        return {"files": digest([[path.name, digest_file(path)] for paths in files.values() for path in paths])}

    def run(self, step: Step, config: DatasetConfig) -> Generator[Record, None, StepResult]:
        """Write train.jsonl, held_out.jsonl, probes.jsonl, statistics.json and overlap.json."""
        source = comparison_files(config.source) if config.source is not None else []
        files = source or [step.parent_folder("imported") / IMPORTED]
        rows = keep_some(load_all(files), config.limit, step.seed)
        probes = keep_some(load_probes(config.probes), config.probe_limit, step.seed) if config.probes else []
        train, held_out = split(rows, config.held_out, step.seed)
        for name, part in (("train", train), ("held_out", held_out)):
            _write_lines(step.folder / f"{name}.jsonl", [native.write(row) for row in part])
        _write_lines(step.folder / "probes.jsonl", [probe.model_dump_json(exclude_none=True) for probe in probes])
        statistics = describe(rows)
        (step.folder / "statistics.json").write_text(statistics.model_dump_json(indent=1), encoding="utf-8")
        metrics: dict[str, float | str | None] = {
            "rows": len(rows),
            "train": len(train),
            "held_out": len(held_out),
            "probes": len(probes),
            "length_correlation": statistics.length_correlation,
        }
        if probes:
            overlap = yield from measure_overlap(rows, probes)
            (step.folder / "overlap.json").write_text(overlap.model_dump_json(indent=1), encoding="utf-8")
            _refuse_leak(overlap)
            metrics |= {
                "nearest_probe_cosine": overlap.cosine.similarity,
                "nearest_probe_trigram": overlap.trigram.similarity,
            }
        return StepResult(metrics=metrics, rows=[(row.id, row.sha256) for row in rows])


def load_all(files: Iterable[Path]) -> list[Comparison]:
    """Every comparison of some files. Raises `InputError` saying how many rows are bad, and the first of them."""
    rows: list[Comparison] = []
    for file in files:
        good, bad = formats.load(file)
        if bad:
            raise InputError(
                f"{file}: {len(bad)} bad row{'s' * (len(bad) > 1)}, the first in line {bad[0].line}: {bad[0].reason}; "
                f"see all with `truing data validate {file}`"
            )
        rows.extend(good)
    return rows


def load_probes(source: str) -> list[Probe]:
    """Every probe of a source."""
    return [probe for file in probe_files(source) for probe in native.read_probes(file)]


def keep_some(rows: list[Row], limit: int | None, seed: int) -> list[Row]:
    """About `limit` rows, with twins together; the order stays."""
    return [rows[number] for number in sample([row.pair or row.id for row in rows], limit, seed)]


def split(rows: list[Comparison], share: float, seed: int) -> tuple[list[Comparison], list[Comparison]]:
    """Hold out whole topics until `share` of the rows is held out. Rows without a topic are topics of their own."""
    topics = sorted({row.topic or row.id for row in rows})
    held: set[str] = set()
    count = 0
    for number in np.random.default_rng(seed).permutation(len(topics)):
        if count >= share * len(rows):
            break
        held.add(topics[number])
        count += sum((row.topic or row.id) == topics[number] for row in rows)
    train = [row for row in rows if (row.topic or row.id) not in held]
    return train, [row for row in rows if (row.topic or row.id) in held]


def _refuse_leak(overlap: Overlap) -> None:
    if not overlap.clean:
        parts = {
            "topics": overlap.shared_topics,
            "frames": overlap.shared_frames,
            "probes too near": overlap.over_limit,
        }
        found = "; ".join(f"{what}: {', '.join(names[:5])}" for what, names in parts.items() if names)
        raise InputError(f"the probes are not held out from training ({found}); change the probes or the rows")


def _write_lines(path: Path, lines: list[str]) -> None:
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")


def read_rows(folder: Path, name: str) -> list[Comparison]:
    """The comparisons of a dataset artifact: `train` or `held_out`."""
    return [native.parse(json.loads(line), "") for line in lines_of(folder / f"{name}.jsonl")]
