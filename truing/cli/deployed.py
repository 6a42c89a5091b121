"""What the command line says of a deployed model: the option `--remote`, and how settings come from it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from truing.core.config import apply_overrides, read_toml
from truing.core.errors import InputError
from truing.providers.settings import RemoteConfig

Remote = Annotated[
    list[str] | None,
    typer.Option(
        "--remote",
        metavar="KEY=VALUE|FILE",
        help="How a deployed model is asked (docs/providers.md): a setting such as base_url=http://localhost:8000/v1, "
        "or a TOML file of settings. May be repeated.",
    ),
]
Model = Annotated[
    str,
    typer.Option(
        help="smollm2-135m, hf:OWNER/NAME, a folder, a GGUF file, or a deployed model: openai:MODEL, anthropic:MODEL, "
        "gemini:MODEL."
    ),
]


def remote_config(remote: list[str] | None) -> RemoteConfig:
    """The settings of files and options, later ones over earlier ones. Raises `InputError`, which does not repeat what
    cannot be read: it might be a key."""
    values: dict[str, object] = {}
    for text in remote or []:
        key, equals, _ = text.partition("=")
        if equals and all(part.strip() for part in key.split(".")):
            values = apply_overrides(values, [text])
        elif text.endswith(".toml"):
            values.update(read_toml(Path(text)))
        else:
            raise InputError("--remote: write it as KEY=VALUE, or name a TOML file (*.toml)")
    return RemoteConfig.parse(values, "--remote")


def refuse_local_options(name: str, given: Mapping[str, object]) -> None:
    """Raise `InputError` where something was given that means nothing to a deployed model."""
    wrong = [option for option, value in given.items() if value is not None]
    if wrong:
        raise InputError(
            f"{' and '.join(wrong)}: {name} is a deployed model, for which this means nothing; leave it out"
        )
