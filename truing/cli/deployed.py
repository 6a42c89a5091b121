"""What the command line says of a deployed model: the option `--remote`, how settings come from it, and when the
answers came."""

import textwrap
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from truing.cli.progress import counted
from truing.core.config import apply_overrides, read_toml
from truing.core.errors import InputError
from truing.providers.names import is_deployed
from truing.providers.settings import RemoteConfig

if TYPE_CHECKING:
    from truing.evals.observed import Observations
    from truing.loops.context import Deployed

_REASONS, _SYSTEM_PROMPT = 5, 160

Remote = Annotated[
    list[str] | None,
    typer.Option(
        "--remote",
        metavar="KEY=VALUE|FILE",
        help="How a deployed model is asked (docs/providers.md): a setting such as base_url=http://localhost:8000/v1, "
        "or a TOML file of settings. May be repeated.",
    ),
]
Since = Annotated[
    str | None,
    typer.Option(
        metavar="TIME",
        help="Of a deployed model, count answers that came since this time (2026-11-30T12:00:00Z), instead of asking "
        "everything anew.",
    ),
]
Resume = Annotated[
    bool,
    typer.Option("--resume", help="Of a deployed model, go on with the last run of this command, if it was stopped."),
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


def asked_how(model: str, remote: list[str] | None, since: str | None, resume: bool) -> "Deployed | None":
    """How a model is asked that somebody serves; None for a local one. Raises `InputError` where the options do not go
    together."""
    given = {"--remote": remote or None, "--since": since, "--resume": resume or None}
    if not is_deployed(model):
        if wrong := [option for option, value in given.items() if value is not None]:
            many = len(wrong) > 1
            raise InputError(
                f"{' and '.join(wrong)} {'are' if many else 'is'} for deployed models, and {model} is a local one; "
                f"leave {'them' if many else 'it'} out"
            )
        return None
    from truing.loops.context import Deployed

    if since is not None and resume:
        raise InputError("--since and --resume are two ways to say which answers count; leave one out")
    return Deployed(remote_config(remote), None if since is None else _time(since), resume)


def _time(text: str) -> datetime:
    """Raises `InputError` for what is no time, has no zone, or lies ahead."""
    example = "write it with its zone, for example 2026-11-30T12:00:00Z"
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise InputError(f"--since {text!r} is no time; {example}") from None
    if time.tzinfo is None:
        raise InputError(f"--since {text!r} has no time zone; {example}")
    if time > datetime.now(UTC):
        raise InputError(f"--since {text!r} lies ahead; name the time from which on answers count")
    return time.astimezone(UTC)


def observed_lines(found: "Observations | None") -> Iterator[str]:
    """When a deployed model answered, what that took, and why answers are missing. Nothing for a local model."""
    if found is None:
        return
    yield f"{found}, at {found.base_url}: an observation of that time"
    if found.system_prompt is not None:
        yield f"  system prompt: {textwrap.shorten(found.system_prompt, _SYSTEM_PROMPT, placeholder='…')}"
    thinking = f" ({found.thinking_tokens} of them thinking)" if found.thinking_tokens else ""
    untold = f", of {found.untold} answers not told" if found.untold else ""
    cost = "cost unknown (no price is set)" if found.cost is None else f"cost {found.cost:.6g}"
    yield (
        f"  {counted(found.answers, 'answer')} by {counted(found.requests, 'request')}: "
        f"{found.prompt_tokens} prompt and {found.output_tokens} output tokens{thinking}{untold}; {cost}"
    )
    if found.earlier:
        yield f"  {found.earlier} of them came before this run began; this run: {found.spending}"
    if found.missing:
        count = sum(found.missing.values())
        yield f"  {counted(count, 'answer')} {'is' if count == 1 else 'are'} missing, the items unknown:"
    for reason, count in list(found.missing.items())[:_REASONS]:
        yield f"    {count}: {reason}"
    if len(found.missing) > _REASONS:
        yield f"    and {len(found.missing) - _REASONS} more reasons (observed.json)"
