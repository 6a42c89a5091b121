"""Build the wheel, install it alone into a clean environment, and use it far from the checkout.

    python scripts/wheel_check.py            dependencies are taken from this Python's environment: a minute
    python scripts/wheel_check.py --full     dependencies are installed, too, as for a user (needs the network)
    python scripts/wheel_check.py --demo     and `truing demo --quick` runs (minutes)

Prints what was checked; the exit code is 1 at the first thing that is wrong.
"""

import argparse
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ("pyproject.toml", "README.md", "LICENSE")
USE = """
import inspect, sys
from importlib import resources
import truing
assert "torch" not in sys.modules, "import truing imports torch"
assert sys.prefix in truing.__file__, f"{truing.__file__} is not the installed one"
for name in truing.__all__:
    getattr(truing, name)
assert (resources.files("truing") / "py.typed").is_file(), "py.typed is missing"
print(len(truing.__all__), "public names")
"""


class WheelError(Exception):
    """Something about the wheel is wrong."""


def main() -> int:
    """Build, install, check."""
    parser = argparse.ArgumentParser(description="Check the wheel in a clean environment.")
    parser.add_argument("--full", action="store_true", help="install the dependencies, too")
    parser.add_argument("--demo", action="store_true", help="run truing demo --quick")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        try:
            wheel = build(folder)
            check_files(wheel)
            python = install(wheel, folder / "venv", options.full)
            check_use(python, folder, options.demo)
        except WheelError as error:
            print(f"wheel: {error}", file=sys.stderr)
            return 1
    return 0


def build(folder: Path) -> Path:
    """The wheel of a copy of the sources: what an earlier build left in the checkout cannot get into it."""
    source = folder / "source"
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "truing", source / "truing", ignore=ignored)
    for file in SOURCES:
        shutil.copy(ROOT / file, source)
    call(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", folder / "dist", source)
    (wheel,) = (folder / "dist").glob("*.whl")
    print(f"built {wheel.name}, {wheel.stat().st_size / 1e6:.1f} MB")
    return wheel


def check_files(wheel: Path) -> None:
    """Every file of the package is in the wheel, and nothing else but its metadata."""
    expected = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "truing").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    for what, names in (("lacks", expected - packed), ("holds, besides the package,", packed - expected)):
        if names:
            raise WheelError(f"it {what} {', '.join(sorted(names))}")
    print(f"holds all {len(expected)} files of the package, and no others")


def install(wheel: Path, venv: Path, full: bool) -> Path:
    """A fresh environment with the wheel; returns its Python."""
    call(sys.executable, "-m", "venv", venv)
    python = venv / "bin" / "python"
    options = [] if full else ["--no-deps", "--no-index"]
    call(python, "-m", "pip", "install", "-q", "--disable-pip-version-check", *options, wheel)
    if not full:
        # A .pth file is read in the environment's own folder only: an editable truing among these stays unseen.
        paths = [path for path in sys.path if path.endswith("site-packages")] or [sysconfig.get_paths()["purelib"]]
        own = Path(call(python, "-c", "import sysconfig; print(sysconfig.get_paths()['purelib'])").strip())
        (own / "locked.pth").write_text("".join(f"{path}\n" for path in paths), encoding="utf-8")
    print(f"installed, {'with' if full else 'without'} its dependencies")
    return python


def check_use(python: Path, folder: Path, demo: bool) -> None:
    """Commands and imports, from an empty folder."""
    empty = folder / "empty"
    empty.mkdir()
    truing = python.with_name("truing")
    commands = [[truing, "--version"], [python, "-c", USE], [truing, "demo", "--dry-run"]]
    if demo:
        commands.append([truing, "demo", "--quick"])
    for command in commands:
        output = call(*command, cwd=empty)
        print(f"{Path(command[0]).name} {'-c …' if command[1] == '-c' else ' '.join(map(str, command[1:]))}")
        print("\n".join(f"  {line}" for line in output.strip().splitlines()[:3]))


def call(*words: object, cwd: Path | None = None) -> str:
    """Run a command outside any checkout's path; returns what it printed. Raises `WheelError` where it fails."""
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "TRUING_LEDGER")}
    done = subprocess.run(
        [str(word) for word in words], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise WheelError(f"{' '.join(map(str, words[:3]))} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
