"""How a deployed model is asked: address, key, pace, retries, budget. Imports no provider's library.

A key itself is never a setting: only the name of the environment variable that holds it. So it cannot come into a
recipe, the ledger, an id or a message.
"""

import os
import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from truing.core.config import Config
from truing.core.errors import InputError

_VARIABLE = re.compile(r"[A-Z][A-Z0-9_]*")
_HOST = re.compile(r"[\w.-]+")


class Price(Config):
    """What a million tokens cost, in any one currency. Tokens that a provider bills at a discount cost the full price
    here."""

    prompt: float = Field(ge=0, allow_inf_nan=False)
    output: float = Field(ge=0, allow_inf_nan=False)


class RemoteConfig(Config):
    """`base_url`: the server, if not the provider's own. `key_env`: the environment variable that holds the key;
    without it the provider's usual one, and none at all for a server of one's own. `system_prompt` goes before every
    dialogue that has none of its own.

    `stream` reads answers as they are written; `logprobs` asks for log-probabilities; `omit` leaves out parameters that
    a model refuses. `token_limit`: under which name the longest answer is sent in OpenAI's format (None: the newer one
    to OpenAI, the older one to others).

    One attempt may take `timeout` seconds. What may be retried is, up to `retries` times: after the time that the
    server asks for, or after a random time of up to `backoff` seconds, doubled each time, never more than
    `longest_wait`; a server that asks for more is not asked again. After `failures_in_a_row` requests without any reply
    between them the run stops.

    `budget_tokens` and `budget_cost` stop the run before they are exceeded; `prices` are by the model's name.
    """

    base_url: str | None = None
    key_env: str | None = None
    system_prompt: str | None = None
    stream: bool = False
    logprobs: bool = False
    omit: tuple[Literal["temperature", "seed"], ...] = ()
    token_limit: Literal["max_tokens", "max_completion_tokens"] | None = None
    concurrency: int = Field(default=8, ge=1, le=1024)
    timeout: float = Field(default=120.0, gt=0, allow_inf_nan=False)
    retries: int = Field(default=5, ge=0)
    backoff: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    longest_wait: float = Field(default=60.0, gt=0, allow_inf_nan=False)
    failures_in_a_row: int = Field(default=16, ge=1)
    requests_per_minute: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    tokens_per_minute: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    budget_tokens: int | None = Field(default=None, ge=1)
    budget_cost: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    prices: Mapping[str, Price] = {}

    @model_validator(mode="before")
    @classmethod
    def _holds_no_secret(cls, values: Any) -> Any:
        """Before anything else, and as a matter of the whole: such a message shows no value."""
        if isinstance(values, Mapping):
            variable, address = values.get("key_env"), values.get("base_url")
            if variable is not None and not (isinstance(variable, str) and _VARIABLE.fullmatch(variable)):
                raise ValueError(
                    "key_env must be the NAME of an environment variable (capitals, digits, _), never the key itself"
                )
            if address is not None:
                _check_address(address)
        return values


def _check_address(address: Any) -> None:
    """Raise `ValueError`, which does not repeat the address: a key may stand in it."""
    example = "such as http://localhost:8000/v1"
    if not isinstance(address, str) or not address.isprintable() or " " in address:
        raise ValueError(f"base_url must be an address {example}, without a space")
    if not address.lower().startswith(("http://", "https://")):
        raise ValueError(f"base_url must be an address that begins with http:// or https://, {example}")
    try:
        parts = urlsplit(address)
        host, port = parts.hostname or "", parts.port
        known = port != 0 and (":" in host or (_HOST.fullmatch(host) and host.encode("idna")))
    except ValueError:  # a port that is no number, half a bracket, a name that no server can have
        known = False
    if not known:
        raise ValueError(f"base_url must name a server, and a port only as a number up to 65535, {example}")
    if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
        raise ValueError("base_url must hold no user, password, query or fragment; a key is named by key_env")


def find_address(config: RemoteConfig, own: str, variable: str) -> str:
    """The server to ask: the setting, else the provider's own environment variable, else the provider. Raises
    `InputError` where the variable holds no address."""
    address = config.base_url or os.environ.get(variable) or own
    try:
        _check_address(address)
    except ValueError as error:
        raise InputError(f"{variable}: {str(error).replace('base_url', 'it')}") from None
    return address.rstrip("/")


def find_key(config: RemoteConfig, address: str, own: str, variables: Sequence[str]) -> str | None:
    """The key to send, or None. The provider's usual key goes to the provider alone, unless `key_env` names it. Raises
    `InputError`, which never shows a value."""
    if config.key_env is not None:
        if not os.environ.get(config.key_env):
            raise InputError("key_env names an environment variable that is not set; export it, or name another one")
        return os.environ[config.key_env]
    if address != own:
        return None
    for variable in variables:
        if os.environ.get(variable):
            return os.environ[variable]
    raise InputError(f"{variables[0]} is not set; export your key under that name, or name its variable by key_env")
