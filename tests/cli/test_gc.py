"""gc as it is typed; and every verb on a disk that is full or cannot be written: one sentence, and nothing lost."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Truing
from truing.ledger.integrity import verify
from truing.ledger.ledger import Ledger

ROW = '{"id": "r", "prompt": "?", "chosen": "yes", "rejected": "no"}\n'


@pytest.fixture
def imported(truing: Truing, tmp_path: Path) -> Path:
    (tmp_path / "rows.jsonl").write_text(ROW)
    (tmp_path / "more.jsonl").write_text(ROW.replace("yes", "maybe"))
    assert truing("data", "import", "rows.jsonl", "--name", "one")[0] == 0
    assert truing("data", "import", "more.jsonl", "--name", "two")[0] == 0
    return tmp_path / ".truing"


def test_gc_says_what_goes_and_a_dry_run_removes_nothing(truing: Truing, imported: Path) -> None:
    assert truing("gc")[1] == "there is nothing to remove\n"
    (imported / "staging" / "left").mkdir()
    code, out, err = truing("gc", "--dry-run")
    assert (code, err) == (0, "")
    assert "staging/left  leftover of a write that was cut short  0 bytes" in out
    assert "would go: 1 × leftover" in out
    assert json.loads(truing("gc", "--dry-run", "--json")[1])["waste"][0]["path"] == "staging/left"
    assert truing("gc")[1] == "removed: 1 × leftover of a write that was cut short (0 bytes)\n"
    assert not (imported / "staging" / "left").exists()


def test_artifacts_go_only_where_it_is_said_what_to_keep(truing: Truing, imported: Path) -> None:
    assert len(Ledger.open(imported).list()) == 2
    assert truing("gc", "--keep-newest")[1] == "there is nothing to remove\n"
    code, out, _ = truing("gc", "--keep", "two")
    assert code == 0
    assert "removed: 1 × artifact that nothing to be kept was made from" in out
    assert [artifact.name for artifact in Ledger.open(imported).list()] == ["two"]
    assert truing("verify")[:2] == (0, "1 artifact checked, all well\n")
    assert truing("gc", "--keep", "none such")[0] == 2


def test_gc_beside_a_run_is_one_sentence(truing: Truing, imported: Path) -> None:
    with Ledger.open(imported).step("0" * 64):
        code, out, err = truing("gc")
    assert (code, out) == (3, "")
    assert err.count("\n") == 1
    assert f"(process {os.getpid()} on " in err


Mounted = Callable[[str, str], subprocess.CompletedProcess[str]]


@pytest.fixture
def mounted(tmp_path: Path) -> Mounted:
    """Runs a shell script in tmp_path with a file system of its own mounted first: a bind mount or a small tmpfs."""

    def run(mount: str, script: str) -> subprocess.CompletedProcess[str]:
        words = ["unshare", "--mount", "sh", "-ec", f"{mount}\n{script}"]
        here = Path(__file__).resolve().parents[2]
        environment = {**os.environ, "PYTHONPATH": str(here), "T": f"{sys.executable} -m truing.cli.app"}
        return subprocess.run(
            words, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=120
        )

    if shutil.which("unshare") is None or run("mount -t tmpfs tmpfs .", "true").returncode != 0:
        pytest.skip("needs the right to mount (root in a container that allows it)")
    return run


def truing_in(script: str) -> str:
    """`truing WORDS` in a script calls this checkout."""
    program = "import sys; from truing.cli.app import main; sys.argv[0] = 'truing'; main()"
    return f'truing() {{ {sys.executable} -c "{program}" "$@" || echo "exit $?"; }}\n{script}'


def test_a_read_only_folder_can_be_read_and_what_writes_says_so(imported: Path, mounted: Mounted) -> None:
    readonly = "mount --bind .truing .truing; mount -o remount,ro,bind .truing"
    done = mounted(readonly, truing_in("truing ls; truing show one; truing trace two --rows; truing verify"))
    assert (done.returncode, done.stderr) == (0, "")
    assert "exit" not in done.stdout
    assert "2 artifacts checked, all well" in done.stdout
    assert imported.is_dir()
    done = mounted(readonly, truing_in("truing data import rows.jsonl; truing gc"))
    assert done.stdout == "exit 2\nexit 2\n"
    assert "cannot be written here (Read-only file system); name another with --ledger" in done.stderr
    assert done.stderr.count("\n") == 2


@pytest.mark.usefixtures("imported")
def test_a_full_disk_is_one_sentence_and_loses_nothing(mounted: Mounted, tmp_path: Path) -> None:
    many = "".join(ROW.replace('"r"', f'"r{number}"') for number in range(8000))
    (tmp_path / "many.jsonl").write_text(many)
    small = "mkdir disk; mount -t tmpfs -o size=600k tmpfs disk; cp -r .truing disk"
    script = (
        "truing --ledger disk/.truing data import many.jsonl; truing --ledger disk/.truing verify; cp -r disk saved"
    )
    done = mounted(small, truing_in(script))
    assert "exit 3\n2 artifacts checked, all well" in done.stdout, done
    assert "No space left on device; what was finished is kept" in done.stderr
    assert done.stderr.count("\n") == 1
    saved = Ledger.open(tmp_path / "saved" / ".truing")
    assert verify(saved) == []
    assert sorted(artifact.name for artifact in saved.list()) == ["one", "two"]
