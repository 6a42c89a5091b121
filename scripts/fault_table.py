"""Break the ledger at every point where it changes the disk, and count what is lost. It must be nothing.

    python scripts/fault_table.py --write           tries every point, and writes the table into docs/ledger.md
    python scripts/fault_table.py --write --every 4     tries every 4th point
    python scripts/fault_table.py --check           tries a sample; exits with 1 if anything is lost, or if the points
                                                    are no longer those of the page
    python scripts/fault_table.py --every 31 --without flush    breaks the ledger first: something must be lost

A point is one call that creates, writes, flushes, renames or removes a file or folder, or one statement that changes
the index. For each point and fault a child process runs a recipe, and is stopped there or told an error. Then the
ledger is opened as the next process would: `verify` must find nothing, every artifact whose step had been reported done
must be there byte for byte with its rows, and running the same again must give the same ids.

Power loss is a model: a file has the content, and a folder the names, that it had when it was last flushed (all
unflushed lost), or for each file and name by chance the flushed or the newest state, or half of a file (some lost). The
index's own files, which SQLite flushes, count as never flushed. Runs on Linux.
"""

import argparse
import os
import shutil
import sys
import tarfile
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from faulty_disk import ERRORS, KINDS, STOPS, WRITES, Disk, real

from truing.core.config import Config
from truing.core.errors import TruingError
from truing.ledger import disk, folders, ledger
from truing.ledger.artifacts import folder_of
from truing.ledger.garbage import collect
from truing.ledger.integrity import verify
from truing.ledger.ledger import Ledger
from truing.loops.context import Context
from truing.loops.events import StepDone
from truing.loops.recipe import StepResult, parse_recipe, run_recipe

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "ledger.md"
BEGIN, END = "<!-- faults: made by scripts/fault_table.py -->", "<!-- end of faults -->"
FORMAT_1 = ROOT / "tests" / "ledger" / "format-1.tar.gz"
STEPS = {"data": {"verb": "write"}, "sft": {"verb": "write", "of": "data"}, "eval": {"verb": "write", "of": "sft"}}
ROWS = [(f"row {number}", f"{number:064x}") for number in range(3)]
SAMPLE = 31
BROKEN = ("flush", "flush of folders", "rename")


class Write:
    """A verb that leaves a checkpoint, a file of the store, and an artifact with rows: all that real verbs do."""

    name, version, kind, config, uses_model = "write", 1, "thing", Config, False
    roles: Mapping[str, str] = {}
    optional_roles: Mapping[str, str] = {"of": "thing"}

    def reads(self, *_: Any) -> dict[str, str]:
        return {}

    def run(self, step: Any, _config: Any) -> Iterator[Any]:
        yield from ()
        disk.write_durably(step.context.ledger.workspace(step.key) / "checkpoint", b"half")
        step.context.ledger.store.put(step.name, step.name.encode())
        (step.folder / "deep").mkdir()
        handle = os.open(step.folder / "deep" / "weights", os.O_WRONLY | os.O_CREAT, 0o666)
        content = memoryview(b"weights of " + step.name.encode())
        while content:
            content = content[os.write(handle, content) :]
        os.close(handle)
        return StepResult(metrics={"score": 0.5}, rows=ROWS)


def run(root: Path, done: Callable[[str], None] = lambda _: None) -> None:
    """One recipe, twice: the second time everything is reused. `done` is told the id of each finished step."""
    for _ in range(2):
        recipe = parse_recipe(STEPS, "recipe", {"write": Write()}, lambda _: (_ for _ in ()).throw(KeyError()))
        for record in run_recipe(recipe, {"write": Write()}, Context(root, recipe.model)):
            if isinstance(record, StepDone):
                done(record.artifact.id)


def nothing(_root: Path) -> None:
    """A folder without a ledger."""


def ledger_of_format_1(root: Path) -> None:
    """As an older truing left it."""
    with tarfile.open(FORMAT_1) as tar:
        tar.extractall(root.parent, filter="data")


def cut_file(root: Path) -> None:
    """A ledger in which a file of one artifact was cut: its step runs again and takes the artifact's place."""
    run(root)
    opened = Ledger.open(root)
    (opened.folder(opened.get("sft")) / "deep" / "weights").write_bytes(b"wei")
    opened.index.close()


def full_of_waste(root: Path) -> None:
    """Leftovers, a finished workspace, and artifacts to be removed with all that is behind them."""
    run(root)
    opened = Ledger.open(root)
    (root / "staging" / "left").mkdir()
    parents: list[Any] = []
    for name in ("old", "older"):
        opened.workspace(opened.get("sft").key or "")
        with opened.begin() as staging:
            (staging / "file").write_text(name)
            made = opened.commit(
                staging, kind="k", verb="v", verb_version=1, name=name, config={}, parents=parents, seed=0, rows=ROWS
            )
        parents = [ledger.Parent(role="of", artifact=made.id)]
    opened.index.close()


def gc(root: Path, done: Callable[[str], None] = lambda _: None) -> None:
    """Keep the evaluation and what it was made from."""
    opened = Ledger.open(root, create=False)
    collect(opened, keep=[opened.get("eval")])
    for artifact in opened.list():
        done(artifact.id)


SCENARIOS: dict[str, tuple[Callable[[Path], None], Callable[..., None]]] = {
    "a recipe in a new ledger": (nothing, run),
    "a ledger of format 1 is opened": (ledger_of_format_1, run),
    "a damaged artifact is made again": (cut_file, run),
    "gc": (full_of_waste, gc),
}


def attempt(top: Path, start: Path, case: "Case", at: int, fault: str) -> str | None:
    """One fault at one point, in a child. Returns what went wrong with the ledger; None where it survived."""
    lost, told = top.with_name("lost"), top.with_name("told")
    for folder in (top, lost):
        shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(start, top)
    told.write_bytes(b"")
    child = os.fork()
    if child == 0:
        os._exit(_child(top, lost, told, case, at, fault))
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code not in (0, 9):
        return f"the process ended with {code}, and no clear sentence"
    where = lost if lost.exists() else top
    try:
        return case.wrong(where / ".truing", [*case.before, *told.read_text().split()])
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def _child(top: Path, lost: Path, told: Path, case: "Case", at: int, fault: str) -> int:
    handle = real["open"](told, os.O_WRONLY | os.O_APPEND)
    try:
        with Disk(top, lost, at, fault, seed=at).watched():
            case.work(top / ".truing", lambda identity: real["write"](handle, f"{identity}\n".encode()))
    except TruingError as error:
        return 4 if "\n" in str(error) else 0
    except BaseException as error:
        print(f"{fault}, point {at}: {type(error).__name__}: {error}", file=sys.stderr)
        return 5
    return 0


class Case:
    """A scenario, and what is there when nothing fails: the ids that a run gives, and every artifact's rows."""

    def __init__(self, name: str, folder: Path) -> None:
        prepare, self.work = SCENARIOS[name]
        self.start = folder / "start"
        shutil.rmtree(self.start, ignore_errors=True)
        self.start.mkdir()
        prepare(self.start / ".truing")
        self.damaged, self.before = self._look(folder, "before", lambda _root, _done: None)
        self.ids: list[str] = []
        _, self.rows = self._look(folder, "after", lambda root, done: self.work(root, done))
        self.before = {identity: rows for identity, rows in self.before.items() if identity in self.rows}
        shutil.rmtree(folder / "points", ignore_errors=True)
        shutil.copytree(self.start, folder / "points")
        counted = Disk(folder / "points", folder / "none")
        with counted.watched():
            self.work(folder / "points" / ".truing")
        self.points = counted.seen

    def _look(self, folder: Path, name: str, work: Callable[..., None]) -> tuple[set[str], dict[str, Any]]:
        shutil.rmtree(folder / name, ignore_errors=True)
        shutil.copytree(self.start, folder / name)
        root = folder / name / ".truing"
        if not root.exists() and name == "before":
            return set(), {}
        work(root, lambda identity: self.ids.append(identity))
        opened = Ledger.open(root)
        damaged = {problem.artifact for problem in verify(opened)}
        return damaged, {one.id: opened.rows(one) for one in opened.list() if one.id not in damaged}

    def wrong(self, root: Path, acknowledged: Sequence[str]) -> str | None:
        """What is wrong with a ledger after a fault, and after the same was run again."""
        opened = Ledger.open(root)
        problems = [problem for problem in verify(opened) if problem.artifact not in self.damaged]
        if problems:
            return f"verify: {problems[0].artifact[:12]} {problems[0].what}"
        self._missing(opened, acknowledged)
        opened.index.close()
        ids: list[str] = []
        self.work(root, ids.append)
        again = Ledger.open(root)
        self._missing(again, list(self.rows))
        if ids != self.ids:
            return "running again gave other ids"
        if verify(again):
            return f"after running again, verify: {verify(again)[0].what}"
        collect(again)
        left = [*root.glob("staging/*"), *root.rglob(f"{disk.WRITING}*")]
        return f"gc left {left[0]}" if left else None

    def _missing(self, opened: Ledger, identities: Sequence[str]) -> None:
        for identity in identities:
            if not folders.intact(folder_of(opened.root, identity)):
                raise AssertionError(f"{identity[:12]} had been acknowledged and is not whole")
            if opened.rows(opened.get(identity)) != self.rows[identity]:
                raise AssertionError(f"{identity[:12]} has other rows")


def broken(what: str) -> None:
    """Take one of the ledger's precautions away: the suite must notice."""
    if what == "flush":
        folders.sync_file = lambda _: None
    elif what == "flush of folders":
        ledger.sync_folder = lambda _: None
    elif what == "rename":
        ledger.Ledger._place = _copy_into_place  # type: ignore[method-assign]


def _copy_into_place(self: Ledger, staging: Path, identity: str, _made: Any) -> None:
    """What a rename is for: file after file, each flushed, and a stop between two leaves half an artifact."""
    target = folder_of(self.root, identity)
    for path in sorted(staging.rglob("*")):
        if path.is_file():
            copy = target / path.relative_to(staging)
            copy.parent.mkdir(parents=True, exist_ok=True)
            disk.write_durably(copy, path.read_bytes())


def faults_of(point: str) -> tuple[str, ...]:
    """What can happen at a point."""
    return (*STOPS, *ERRORS, *(WRITES if point == "write" else ()))


def table(every: int, report: Callable[[str], None], scenarios: Sequence[str] = tuple(SCENARIOS)) -> tuple[str, int]:
    """The page's table, trying every so manyth point; and how many were lost."""
    lines = ["| scenario | kind of point | points | faults tried | survived | lost |", "|---|---|---|---|---|---|"]
    lost = tried = points = 0
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None) as folder:
        for name in scenarios:
            case = Case(name, Path(folder))
            counts: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
            for at, point in enumerate(case.points):
                count = counts[KINDS[point]]
                count[0] += 1
                for fault in faults_of(point) if at % every == 0 else ():
                    wrong = attempt(Path(folder) / "top", case.start, case, at, fault)
                    count[1] += 1
                    count[2] += wrong is not None
                    if wrong:
                        report(f"{name}, point {at} ({point}), {fault}: {wrong}")
            for kind in dict.fromkeys(KINDS.values()):
                number, faults, gone = counts[kind]
                if number:
                    lines.append(f"| {name} | {kind} | {number} | {faults} | {faults - gone} | {gone} |")
            points, tried, lost = (
                total + sum(count[place] for count in counts.values())
                for place, total in enumerate((points, tried, lost))
            )
    lines.append(f"| all | | {points} | {tried} | {tried - lost} | {lost} |")
    return "\n".join(lines), lost


def main(arguments: Sequence[str] | None = None) -> int:
    """Try the points; the exit code is 1 where something was lost, or where the page's numbers of points are others."""
    parser = argparse.ArgumentParser(description="Break the ledger at every point where it changes the disk.")
    parser.add_argument("--check", action="store_true", help="try a sample, and hold the page's points to these")
    parser.add_argument("--every", type=int, default=1, help="try every so manyth point only")
    parser.add_argument("--without", choices=BROKEN, help="take this precaution away first")
    parser.add_argument("--write", action="store_true", help="write the table into docs/ledger.md")
    parser.add_argument("--only", choices=SCENARIOS, help="one scenario alone")
    chosen = parser.parse_args(arguments)
    if chosen.without:
        broken(chosen.without)
    made, lost = table(
        SAMPLE if chosen.check else chosen.every, print, [chosen.only] if chosen.only else tuple(SCENARIOS)
    )
    print(made)
    page = PAGE.read_text("utf-8") if PAGE.is_file() else f"{BEGIN}\n{END}\n"
    before, _, rest = page.partition(BEGIN)
    inside, _, after = rest.partition(END)
    if chosen.check and points_of(inside) != points_of(made):
        print("docs/ledger.md has other points; run `python scripts/fault_table.py`", file=sys.stderr)
        return 1
    if chosen.write and not lost:
        PAGE.write_text(f"{before}{BEGIN}\n{made}\n{END}{after}", "utf-8")
    return int(lost > 0)


def points_of(text: str) -> list[list[str]]:
    """The table's first three columns: what a sample can be held against."""
    return [line.split("|")[1:4] for line in text.splitlines() if line.startswith("|")]


if __name__ == "__main__":
    sys.exit(main())
