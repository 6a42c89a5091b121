"""What may be removed from a ledger, and removing it: leftovers, workspaces, unused files of the store, and artifacts
only where it is said what to keep.

It works while no other process writes (the ledger's lock says so), and may be stopped anywhere: the index goes first
(it is made anew, and must not tell of a loss), then each artifact as a whole, before its parents.
"""

import contextlib
import os
import secrets
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from truing.core.errors import InputError, RunError
from truing.core.records import Record
from truing.ledger import folders, locks, migrate
from truing.ledger.artifacts import Artifact
from truing.ledger.disk import WRITING, sync_folder
from truing.ledger.folders import DamagedError
from truing.ledger.ledger import Ledger

LEFTOVER = "leftover of a write that was cut short"
FINISHED = "workspace of a finished step"
UNFINISHED = "workspace of an unfinished step"
UNUSED = "file of the store that no artifact's step used"
UNREACHABLE = "artifact that nothing to be kept was made from"


class Waste(Record):
    """Something that may go: its path within the ledger, why, and its size in bytes."""

    path: str
    why: str
    size: int


class Plan(Record):
    """What may go, and a sentence for each kind of thing that was left alone because too little is known of it."""

    waste: tuple[Waste, ...]
    left: tuple[str, ...]


def collect(
    ledger: Ledger, keep: Sequence[Artifact] | None = None, unfinished: bool = False, dry_run: bool = False
) -> Plan:
    """Remove what is not needed (or only say what would go). Returns what went.

    `keep` None leaves all artifacts; otherwise those go from which nothing in `keep` was made, however far up. With
    `unfinished`, the checkpoints of interrupted steps go, too. Raises `RunError` while another process writes, or where
    damage hides what a kept artifact was made from; `InputError` where nothing can be written.
    """
    try:
        with locks.alone(ledger.root / migrate.LOCK, wait=False):
            ledger.index.refresh()
            plan, artifacts = _plan(ledger, keep, unfinished)
            if not dry_run:
                if artifacts:
                    ledger.index.remove()
                for artifact in artifacts:
                    _remove_artifact(ledger, artifact)
                for path in [*_leftovers(ledger.root), *(ledger.root / waste.path for waste in plan.waste)]:
                    _remove(path)
                ledger.index.refresh()
            return plan
    except BlockingIOError:
        at_work = [holder for path in (ledger.root / "work").glob("*.lock") if (holder := locks.holder(path))]
        who = f" ({'; '.join(at_work)})" if at_work else ""
        raise RunError(
            f"{ledger.root}: another process writes to this ledger{who}; try again when it is done"
        ) from None
    except OSError as error:
        raise InputError(
            f"{error.filename or ledger.root}: cannot be removed ({error.strerror}); see that the ledger can be written"
        ) from error


def _plan(ledger: Ledger, keep: Sequence[Artifact] | None, unfinished: bool) -> tuple[Plan, list[Artifact]]:
    everything = ledger.list()
    going = [] if keep is None else _unreachable(ledger, everything, keep)
    gone = {artifact.id for artifact in going}
    waste = [(ledger.folder(artifact), UNREACHABLE) for artifact in going]
    waste += [(path, LEFTOVER) for path in _leftovers(ledger.root)]
    finished = {
        one.key[:32] for one in everything if one.key is not None and folders.complete(ledger.folder(one), one.files)
    }
    spaces = [path for path in sorted((ledger.root / "work").glob("*")) if path.is_dir()]
    waste += [(path, FINISHED) for path in spaces if path.name in finished]
    waiting = [path for path in spaces if path.name not in finished]
    left = []
    if unfinished:
        waste += [(path, UNFINISHED) for path in waiting]
    elif waiting:
        left.append(
            f"checkpoints of {len(waiting)} unfinished: their steps go on from there (--unfinished removes them)"
        )
    unused, reason = _unused(ledger, gone, waiting if not unfinished else [])
    waste += [(path, UNUSED) for path in unused]
    left += [reason] if reason else []
    listed = [Waste(path=path.relative_to(ledger.root).as_posix(), why=why, size=_size(path)) for path, why in waste]
    return Plan(waste=tuple(listed), left=tuple(left)), going


def _unreachable(ledger: Ledger, everything: Sequence[Artifact], keep: Sequence[Artifact]) -> list[Artifact]:
    """Artifacts that nothing in `keep` was made from, each before its own parents."""
    known = {artifact.id: artifact for artifact in everything}
    reached: set[str] = set()
    ahead = [artifact.id for artifact in keep]
    while ahead:
        identity = ahead.pop()
        if identity in reached:
            continue
        if identity not in known or not ledger.folder(known[identity]).is_dir():
            raise RunError(
                f"{identity[:12]} is missing or damaged, so that what it was made from is not known and could be lost; "
                "see `truing verify`"
            )
        reached.add(identity)
        ahead += [parent.artifact for parent in known[identity].parents]
    order: dict[str, Artifact] = {}

    def parents_first(artifact: Artifact) -> None:
        stack: list[tuple[Artifact, bool]] = [(artifact, False)]
        while stack:
            one, behind_it_done = stack.pop()
            if behind_it_done:
                order.setdefault(one.id, one)
            elif one.id not in order:
                stack.append((one, True))
                stack += [(known[parent.artifact], False) for parent in one.parents if parent.artifact in known]

    for artifact in everything:
        parents_first(artifact)
    return [artifact for artifact in reversed(order.values()) if artifact.id not in reached]


def _unused(ledger: Ledger, gone: set[str], waiting: Sequence[Path]) -> tuple[list[Path], str]:
    """Files of the store that no step of an artifact that stays has read or written; or none, and why."""
    files = [path for path in sorted((ledger.root / "store").glob("*/*")) if not path.name.startswith(WRITING)]
    if not files:
        return [], ""
    if waiting:
        return [], f"the store ({len(files)} files): unfinished steps may go on from it"
    used: set[str] = set()
    for folder in folders.all_folders(ledger.root):
        if folder.name in gone:
            continue
        try:
            names = folders.read_used(folder, folders.read_made(folder))
        except DamagedError:
            names = None
        if names is None:
            return [], f"the store ({len(files)} files): what {folder.name[:12]} used of it is not known"
        used |= set(names)
    return [path for path in files if path.name not in used], ""


def _leftovers(root: Path) -> list[Path]:
    found = [*(root / "staging").glob("*"), *root.glob(f"{WRITING}*"), *(root / "work").glob("*.lock")]
    for pattern in (f"store/*/{WRITING}*", f"objects/*/*/{folders.OWN}/{WRITING}*"):
        found += root.glob(pattern)
    return sorted(found)


def _remove_artifact(ledger: Ledger, artifact: Artifact) -> None:
    """Whole or not at all: what is stopped midway is a leftover in `staging`."""
    folder = ledger.folder(artifact)
    (ledger.root / "staging").mkdir(exist_ok=True)
    folder.rename(ledger.root / "staging" / secrets.token_hex(8))
    sync_folder(folder.parent)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _size(path: Path) -> int:
    return sum(_sizes(path)) if path.is_dir() else path.stat().st_size


def _sizes(folder: Path) -> Iterator[int]:
    for above, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                yield (Path(above) / name).lstat().st_size
