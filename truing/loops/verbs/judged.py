"""Answers that people called good or bad, one by one, for training by `unpaired`. Nothing of them is held out."""

import json
from collections.abc import Collection, Generator, Mapping
from pathlib import Path

from pydantic import Field

from truing.core.config import Config
from truing.core.digest import digest_file
from truing.core.errors import InputError
from truing.core.records import Comparison, Judged, Record
from truing.core.twins import sample
from truing.data import native
from truing.data.native import lines_of
from truing.data.overlap import measure_overlap
from truing.data.rows import BadRow
from truing.data.unpaired import judged_line, parse, read_judged
from truing.loops.context import Context
from truing.loops.recipe import Step, StepResult
from truing.loops.verbs.dataset import refuse_leak

_FILE = "judged.jsonl"


class JudgedConfig(Config):
    """`source` is a file of rows with `prompt`, `completion` and a truth `label`. `limit` keeps so many, drawn by the
    seed."""

    source: str
    limit: int | None = Field(default=None, ge=1)


class JudgedAnswers:
    """The verb `judged`. With a dataset in the role `probes`, its probes must be held out from these answers' prompts,
    as from a dataset's own."""

    name, version, kind = "judged", 1, "judged"
    config: type[Config] = JudgedConfig
    roles: Mapping[str, str] = {}
    optional_roles: Mapping[str, str] = {"probes": "dataset"}
    uses_model = False

    def reads(self, config: JudgedConfig, _roles: Collection[str], _context: Context) -> Mapping[str, str]:
        """The hash of the source file. Raises `InputError` if there is none."""
        path = Path(config.source)
        if not path.is_file():
            raise InputError(f'source = "{path}": there is no such file; give the path of a file of judged answers')
        return {"files": digest_file(path)}

    def run(self, step: Step, config: JudgedConfig) -> Generator[Record, None, StepResult]:
        """Write judged.jsonl, and overlap.json where there are probes to check."""
        rows = load_judged(Path(config.source))
        rows = [rows[number] for number in sample(range(len(rows)), config.limit, step.seed)]
        written = "".join(json.dumps(judged_line(row), ensure_ascii=False) + "\n" for row in rows)
        (step.folder / _FILE).write_text(written, encoding="utf-8")
        if "probes" in step.parents:
            probes = native.read_probes(step.parent_folder("probes") / "probes.jsonl")
            overlap = yield from measure_overlap([_as_comparison(row) for row in rows], list(probes))
            (step.folder / "overlap.json").write_text(overlap.model_dump_json(indent=1), encoding="utf-8")
            refuse_leak(overlap)
        good = sum(row.good for row in rows)
        metrics = {"rows": len(rows), "good": good, "bad": len(rows) - good}
        return StepResult(metrics=metrics, rows=[(row.id, row.sha256) for row in rows])


def load_judged(path: Path) -> list[Judged]:
    """Every judged answer of a file. Raises `InputError` saying how many rows are bad, and the first of them."""
    found = list(read_judged(path))
    bad = [row for row in found if isinstance(row, BadRow)]
    if bad:
        raise InputError(
            f"{path}: {len(bad)} bad row{'s' * (len(bad) > 1)}, the first in {bad[0].unit} {bad[0].line}: "
            f"{bad[0].reason}; repair them, or leave them out"
        )
    if not found:
        raise InputError(f"{path}: the file is empty")
    return [row for row in found if isinstance(row, Judged)]


def read_judged_rows(folder: Path) -> list[Judged]:
    """The answers of a judged artifact."""
    return [row for line in lines_of(folder / _FILE) for row in parse(json.loads(line), "")]


def _as_comparison(row: Judged) -> Comparison:
    """A row whose prompt can be compared with probes: no answer won."""
    return Comparison(id=row.id, prompt=row.prompt, chosen=row.completion, rejected=row.completion, tie=True)
