"""Names of deployed models: `openai:MODEL`, `anthropic:MODEL`, `gemini:MODEL`. Nothing is imported, and nobody asked,
unless such a name is given."""

from importlib import import_module
from typing import TYPE_CHECKING

from truing.core.errors import InputError
from truing.providers.settings import RemoteConfig, find_address, find_key

if TYPE_CHECKING:
    from truing.providers.remote import RemoteSystem

PROVIDERS = {"anthropic": "anthropic", "gemini": "google-genai", "openai": "openai"}  # each with its library


def is_deployed(name: str) -> bool:
    """Whether a model's name means one that somebody serves: its answers can be had, its weights cannot."""
    provider, colon, _ = name.partition(":")
    return bool(colon) and provider in PROVIDERS


def refuse_deployed(name: str, what: str) -> None:
    """Raise `InputError` for the name of a deployed model, where `what` needs its weights."""
    if is_deployed(name):
        raise InputError(
            f"{what} needs weights or log-probabilities, and {name} is a deployed model, which gives only answers; "
            "name a local model, or ask this one with `truing eval --task`, `truing sample` or `truing chat`"
        )


def open_deployed(name: str, config: RemoteConfig, system_prompt: str | None = None) -> "RemoteSystem":
    """The model that a name means; a system prompt that is given stands in for the settings' own. Connects to nothing
    yet. Raises `InputError` where the provider's library or the key is missing, or a setting has no meaning for it."""
    from truing.providers.remote import RemoteSystem

    provider, _, model = name.partition(":")
    if not model.strip():
        raise InputError(f"{name!r} names no model; write {provider}:MODEL")
    try:
        module = import_module(f"truing.providers.{provider}")
    except ImportError as error:
        raise InputError(
            f"{name}: the library of {provider} cannot be imported ({error}); run pip install 'truing[{provider}]'"
        ) from None
    address = find_address(config, module.ADDRESS, module.ADDRESS_VARIABLE)
    key = find_key(config, address, module.ADDRESS, module.KEY_VARIABLES)
    if config.logprobs and not module.HAS_LOGPROBS:
        raise InputError(f"{name}: {provider} gives no log-probabilities; leave logprobs out")
    return RemoteSystem(
        provider,
        model,
        address,
        config,
        lambda: module.open_asker(model, address, key, config),
        key=key,
        system_prompt=config.system_prompt if system_prompt is None else system_prompt,
    )
