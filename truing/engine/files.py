"""Where a model's files are, and which weights they hold. Imports no torch: a step that is reused needs only this."""

import hashlib
from pathlib import Path

from truing.core.digest import digest_file
from truing.core.errors import InputError
from truing.engine import embedded


def locate(name: str) -> Path:
    """The folder of a model's files: made, found or fetched. Raises `InputError` when it cannot be had."""
    if name == embedded.ALIAS:
        return embedded.embedded_model()
    if name.startswith("hf:"):
        return _fetch(name.removeprefix("hf:"))
    path = Path(name)
    if path.is_file() and path.suffix == ".gguf":
        return embedded.from_gguf(path)
    if (path / "config.json").is_file():
        return path
    raise InputError(
        f"model {name!r}: neither a known alias ({embedded.ALIAS}), nor hf:OWNER/NAME, nor a folder with config.json, "
        "nor a .gguf file"
    )


def _fetch(repository: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(
            snapshot_download(repository, allow_patterns=["*.json", "*.safetensors", "*.jinja", "*.model", "*.txt"])
        )
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        first_line = str(error).strip().splitlines()[0]
        raise InputError(
            f"model hf:{repository} could not be fetched ({first_line}); check the name and the network"
        ) from None


def weights_hash(folder: Path) -> str:
    """One hash for a folder's safetensors files. Raises `InputError` where there is none."""
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise InputError(f"{folder}: there is no .safetensors file; truing does not load pickled weights")
    return hashlib.sha256("".join(digest_file(file) for file in files).encode()).hexdigest()
