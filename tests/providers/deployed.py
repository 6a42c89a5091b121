"""Deployed models behind a server on the loopback, by each provider's own library."""

import importlib.util
from typing import Any

import pytest

from tests.providers.server import WireServer
from truing.core.records import Answer, Decoding
from truing.providers.names import PROVIDERS, open_deployed
from truing.providers.remote import RemoteSystem
from truing.providers.settings import RemoteConfig

LIBRARIES = {"openai": "openai", "anthropic": "anthropic", "gemini": "google.genai"}
FORMATS = [(provider, stream) for provider in PROVIDERS for stream in (False, True)]
GREEDY, WARM = Decoding(max_new_tokens=20), Decoding(temperature=1.0, max_new_tokens=20, seed=3)

each_format = pytest.mark.parametrize(
    ("provider", "stream"), FORMATS, ids=[f"{name}-{'streamed' if stream else 'whole'}" for name, stream in FORMATS]
)


def need(provider: str) -> None:
    """Skip the test where the provider's library is not installed."""
    name = LIBRARIES[provider]
    if importlib.util.find_spec(name.partition(".")[0]) is None or importlib.util.find_spec(name) is None:
        pytest.skip(f"the library {name} is not installed: pip install 'truing[{provider}]' to run this test")


def deployed(
    server: WireServer, provider: str = "openai", *, system_prompt: str | None = None, **settings: Any
) -> RemoteSystem:
    """A model named tiny at the server; back-off is short."""
    need(provider)
    address = server.url + ("/v1" if provider == "openai" else "")
    values = {"base_url": address, "backoff": 0.01, "timeout": 60.0, **settings}
    return open_deployed(f"{provider}:tiny", RemoteConfig.parse(values, "test"), system_prompt)


def one(system: RemoteSystem, text: str = "Why?", decoding: Decoding = GREEDY) -> Answer:
    """The answer to one question."""
    from tests.providers.conftest import ask

    ((number, answer),) = system.sample([ask(text)], decoding)
    assert number == 0
    return answer
