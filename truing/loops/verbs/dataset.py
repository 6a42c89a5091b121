"""Comparisons, validated and split: training rows, a part held out by topic, the probes with their overlap check."""

import json
from collections.abc import Collection, Generator, Iterable, Mapping
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np
from pydantic import Field, field_validator

from truing.core.config import Config
from truing.core.digest import digest, digest_file
from truing.core.errors import InputError
from truing.core.records import Comparison, Probe, Record
from truing.core.twins import sample
from truing.data import formats, native
from truing.data.duplicates import find_duplicates, find_leaks
from truing.data.native import lines_of
from truing.data.overlap import Overlap, measure_overlap
from truing.data.rows import AS_IT_IS, Ask
from truing.data.split import by_content, by_topics
from truing.data.statistics import describe
from truing.loops.context import Context
from truing.loops.recipe import Step, StepResult
from truing.starter import STARTER, comparison_files, probe_files

IMPORT = "import"  # the kind of what `truing data import` makes
IMPORTED = "comparisons.jsonl"  # the file that holds it
BAD = "bad.jsonl"  # and the one that keeps the rows that were set aside
HELD_OUT = "held_out"
BENIGN = "benign_twin"  # the group of what should be helped, as its harmful twins should not

Row = TypeVar("Row", Comparison, Probe)


class DatasetConfig(Config):
    """`source` is `starter` (the comparisons that come with truing) or a file of any format that truing reads, told
    from its rows or named by `format`, with its `columns` and `pairs` (see `data.rows.Ask`). `probes` is a file of
    probes, `starter`, or `held_out`: the held-out rows themselves.

    `held_out` is the share of the rows, or from 1 on their number, that training does not see: whole topics drawn by
    the seed, or with `split = "content"` whole groups of equal prompts, pairs and topics, by the hash of their prompts.
    `limit` and `probe_limit` keep that many rows and probe pairs (chosen by the seed, whole twin pairs together): for
    quick runs. `benign_twins` is the share of the training rows of the group `benign_twin` that is kept, drawn by the
    seed; what a smaller share keeps, a larger one keeps, too.
    """

    source: str | None = None
    format: str | None = None
    columns: dict[str, str] = Field(default_factory=dict)
    pairs: Literal["best-worst", "all"] = "best-worst"
    probes: str | None = STARTER
    held_out: float = Field(default=0.05, ge=0)
    split: Literal["topics", "content"] = "topics"
    limit: int | None = Field(default=None, ge=1)
    probe_limit: int | None = Field(default=None, ge=1)
    benign_twins: float = Field(default=1.0, ge=0, le=1)

    @field_validator("held_out")
    @classmethod
    def _share_or_number(cls, value: float) -> float:
        if value > 1 and value != int(value):
            raise ValueError("must be a share below 1, or a whole number of rows")
        return value


class Dataset:
    """The verb `dataset`. Rows come from `source`, or from what `truing data import` made, in the role `imported`. With
    a dataset in the role `apart_from`, rows are left out that share a prompt, pair or topic with any of its own."""

    name, version, kind = "dataset", 2, "dataset"
    config: type[Config] = DatasetConfig
    roles: Mapping[str, str] = {}
    optional_roles: Mapping[str, str] = {"imported": IMPORT, "apart_from": "dataset"}
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
            "probes": probe_files(config.probes) if config.probes not in (None, "", HELD_OUT) else [],
        }
        for key, paths in files.items():
            for path in paths:
                if not path.is_file():
                    what = f'a file of {"comparisons" if key == "source" else "probes"}, or "{STARTER}"'
                    raise InputError(f'{key} = "{path}": there is no such file; give the path of {what}')
        return {"files": digest([[path.name, digest_file(path)] for paths in files.values() for path in paths])}

    def run(self, step: Step, config: DatasetConfig) -> Generator[Record, None, StepResult]:
        """Write train.jsonl, held_out.jsonl, probes.jsonl, statistics.json, duplicates.json and overlap.json."""
        source = comparison_files(config.source) if config.source is not None else []
        files = source or [step.parent_folder("imported") / IMPORTED]
        ask = Ask(columns=config.columns, pairs=config.pairs) if source else AS_IT_IS
        rows = load_all(files, config.format if source else None, ask)
        if "apart_from" in step.parents:
            rows = apart(rows, step.parent_folder("apart_from"))
        rows = keep_some(rows, config.limit, step.seed)
        if config.held_out > len(rows):
            raise InputError(f"held_out = {config.held_out:g}: there are only {len(rows)} rows")
        train, held_out = split(rows, config, step.seed)
        if config.benign_twins < 1:
            train = fewer_benign(train, config.benign_twins, step.seed)
            kept = {id(row) for row in (*train, *held_out)}
            rows = [row for row in rows if id(row) in kept]
        own = config.probes == HELD_OUT
        probes = probes_of(held_out) if own else load_probes(config.probes) if config.probes else []
        probes = keep_some(probes, config.probe_limit, step.seed)
        for name, part in (("train", train), ("held_out", held_out)):
            _write_lines(step.folder / f"{name}.jsonl", [native.line(row) for row in part])
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
        metrics |= write_duplicates(step.folder, rows, train, held_out)
        if probes and not own:  # held-out rows are of one kind with training: `duplicates.json` compares them
            overlap = yield from measure_overlap(rows, probes)
            (step.folder / "overlap.json").write_text(overlap.model_dump_json(indent=1), encoding="utf-8")
            refuse_leak(overlap)
            metrics |= {
                "nearest_probe_cosine": overlap.cosine.similarity,
                "nearest_probe_trigram": overlap.trigram.similarity,
            }
        return StepResult(metrics=metrics, rows=[(row.id, row.sha256) for row in rows])


def write_duplicates(
    folder: Path, rows: list[Comparison], train: list[Comparison], held_out: list[Comparison]
) -> dict[str, int]:
    """Write duplicates.json: rows that are alike, and held-out rows that a training row gives away. Returns how many
    rows are more than needed, and how many are given away."""
    groups, leaks = find_duplicates(rows), find_leaks(train, held_out)
    found = {"duplicates": [one.model_dump() for one in groups], "leaks": [one.model_dump() for one in leaks]}
    (folder / "duplicates.json").write_text(json.dumps(found, indent=1), encoding="utf-8")
    return {"duplicates": sum(len(group.rows) - 1 for group in groups), "held_out_leaks": len(leaks)}


def load_all(files: Iterable[Path], format_name: str | None = None, ask: Ask = AS_IT_IS) -> list[Comparison]:
    """Every comparison of some files. Raises `InputError` saying how many rows are bad, and the first of them."""
    rows: list[Comparison] = []
    for file in files:
        good, bad = formats.load(file, format_name, ask)
        if bad:
            first = bad[0]
            raise InputError(
                f"{file}: {len(bad)} bad row{'s' * (len(bad) > 1)}, the first in {first.unit} {first.line}: "
                f"{first.reason}; see all with `truing data validate {file}`, "
                f"or set them aside with `truing data import {file} --max-bad {len(bad)}`"
            )
        rows.extend(good)
    return rows


def apart(rows: list[Comparison], folder: Path) -> list[Comparison]:
    """The rows that share no prompt, pair or topic with any row of the dataset in `folder`, held-out ones included.
    Raises `InputError` where none is left."""
    seen = {mark for name in ("train", HELD_OUT) for row in read_rows(folder, name) for mark in _marks(row)}
    kept = [row for row in rows if not seen & _marks(row)]
    if not kept:
        raise InputError(
            f"apart_from: each of the {len(rows)} rows shares its prompt, pair or topic with that dataset; give that "
            "one fewer rows (limit), or this one others"
        )
    return kept


def _marks(row: Comparison) -> set[tuple[str, str]]:
    """What makes rows kin."""
    marks = {"prompt": digest(list(row.prompt)), "pair": row.pair, "topic": row.topic}
    return {(what, mark) for what, mark in marks.items() if mark}


def load_probes(source: str) -> list[Probe]:
    """Every probe of a source."""
    return [probe for file in probe_files(source) for probe in native.read_probes(file)]


def keep_some(rows: list[Row], limit: int | None, seed: int) -> list[Row]:
    """About `limit` rows, with twins together; the order stays."""
    return [rows[number] for number in sample([row.pair or row.id for row in rows], limit, seed)]


def fewer_benign(rows: list[Comparison], share: float, seed: int) -> list[Comparison]:
    """The rows with only a share of those of the group `benign_twin`, drawn by the seed; the order stays."""
    places = [place for place, row in enumerate(rows) if row.group == BENIGN]
    left_out = np.random.default_rng(seed).permutation(places)[round(share * len(places)) :]
    gone = set(left_out.tolist())
    return [row for place, row in enumerate(rows) if place not in gone]


def probes_of(held_out: list[Comparison]) -> list[Probe]:
    """Held-out rows as probes of the group `held_out`: does training favour the better answer? Rows that no answer won
    say nothing about that."""
    return [
        Probe(
            id=row.id,
            group=HELD_OUT,
            topic=row.topic,
            prompt=row.prompt,
            pair=row.pair,
            chosen=row.chosen,
            rejected=row.rejected,
        )
        for row in held_out
        if not (row.tie or row.both_bad)
    ]


def split(rows: list[Comparison], config: DatasetConfig, seed: int) -> tuple[list[Comparison], list[Comparison]]:
    """(training, held out), as the configuration wants it."""
    if config.split == "content":
        return by_content(rows, config.held_out)
    return by_topics(rows, config.held_out, seed)


def refuse_leak(overlap: Overlap) -> None:
    """Raise `InputError` where probes are not held out from training."""
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
    return [native.one(json.loads(line)) for line in lines_of(folder / f"{name}.jsonl")]
