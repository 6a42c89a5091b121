"""Settings of a deployed model: a key is named, never shown, and goes to nobody whom it is not for."""

from typing import Any

import pytest

from truing.core.errors import InputError
from truing.providers.settings import RemoteConfig, find_address, find_key

SECRET = "sk-live-0123456789abcdef"
OWN = "https://api.example.com/v1"
VARIABLES = ("EXAMPLE_API_KEY", "OTHER_API_KEY")


@pytest.fixture(autouse=True)
def _no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*VARIABLES, "MINE", "EXAMPLE_BASE_URL"):
        monkeypatch.delenv(name, raising=False)


def parse(**values: Any) -> RemoteConfig:
    return RemoteConfig.parse(values, "--remote")


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"key_env": SECRET}, "--remote: key_env must be the NAME of an environment variable"),
        ({"key_env": [SECRET]}, "--remote: key_env must be the NAME of an environment variable"),
        ({"api_key": SECRET}, "--remote: unknown key 'api_key'"),
        ({"base_url": f"https://me:{SECRET}@host/v1"}, "--remote: base_url must hold no user, password"),
        ({"base_url": f"https://host/v1?key={SECRET}"}, "--remote: base_url must hold no user, password"),
        ({"base_url": f"ftp://{SECRET}"}, "--remote: base_url must be an address that begins with http:// or https://"),
        (
            {"base_url": f"{SECRET}:8000/v1"},
            "--remote: base_url must be an address that begins with http:// or https://",
        ),
        ({"base_url": 7}, "--remote: base_url must be an address such as http://localhost:8000/v1, without a space"),
        ({"base_url": "http://a host/v1"}, "--remote: base_url must be an address such as http://localhost:8000/v1, w"),
        ({"base_url": "http://host\n/v1"}, "--remote: base_url must be an address such as http://localhost:8000/v1, w"),
        (
            {"base_url": f"http://{SECRET}:port/v1"},
            "--remote: base_url must name a server, and a port only as a number",
        ),
        ({"base_url": "http://host:99999/v1"}, "--remote: base_url must name a server, and a port only as a number up"),
        ({"base_url": "http://host:0/v1"}, "--remote: base_url must name a server"),
        ({"base_url": "http:///v1"}, "--remote: base_url must name a server"),
        ({"base_url": "http://a..b/v1"}, "--remote: base_url must name a server"),
        ({"base_url": "http://[::1/v1"}, "--remote: base_url must name a server"),
        ({"base_url": "http://*/v1"}, "--remote: base_url must name a server"),
        ({"concurrency": 0}, "--remote: 'concurrency' is 0"),
        ({"prices": {"m": {"prompt": -1, "output": 0}}}, "--remote: 'prices.m.prompt' is -1"),
        ({"timeuot": 3}, "--remote: unknown key 'timeuot'; did you mean 'timeout'?"),
    ],
)
def test_what_is_wrong_is_said_and_no_secret_with_it(values: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError) as raised:
        parse(**values)
    assert str(raised.value).startswith(sentence)
    assert SECRET not in str(raised.value)


def test_the_providers_own_key_goes_to_the_provider_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTHER_API_KEY", SECRET)
    assert find_key(parse(), OWN, OWN, VARIABLES) == SECRET
    assert find_key(parse(), "http://localhost:8000/v1", OWN, VARIABLES) is None
    monkeypatch.setenv("MINE", "mine-12345")
    assert find_key(parse(key_env="MINE"), "http://localhost:8000/v1", OWN, VARIABLES) == "mine-12345"
    assert find_key(parse(key_env="MINE"), OWN, OWN, VARIABLES) == "mine-12345"


def test_a_key_that_is_not_there_is_an_error_that_names_what_to_do() -> None:
    with pytest.raises(InputError, match="EXAMPLE_API_KEY is not set; export your key under that name"):
        find_key(parse(), OWN, OWN, VARIABLES)
    with pytest.raises(InputError, match="key_env names an environment variable that is not set") as raised:
        find_key(parse(key_env="SKLIVE0123456789"), OWN, OWN, VARIABLES)
    assert "SKLIVE" not in str(raised.value)  # it may be a key after all


def test_the_setting_comes_before_the_variable_and_the_variable_before_the_provider(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert find_address(parse(), OWN, "EXAMPLE_BASE_URL") == OWN
    monkeypatch.setenv("EXAMPLE_BASE_URL", "http://gateway:80/v1/")
    assert find_address(parse(), OWN, "EXAMPLE_BASE_URL") == "http://gateway:80/v1"
    assert find_address(parse(base_url="http://mine"), OWN, "EXAMPLE_BASE_URL") == "http://mine"
    monkeypatch.setenv("EXAMPLE_BASE_URL", f"http://me:{SECRET}@gateway")
    with pytest.raises(InputError, match="EXAMPLE_BASE_URL: it must hold no user") as raised:
        find_address(parse(), OWN, "EXAMPLE_BASE_URL")
    assert SECRET not in str(raised.value)


@pytest.mark.parametrize(
    "address",
    ["http://localhost:8000/v1", "HTTPS://API.Example.com", "http://[::1]:8000/v1", "http://my_host", "https://ünï.de"],
)
def test_every_address_that_a_library_can_call_is_taken(address: str) -> None:
    assert find_address(parse(base_url=address), OWN, "EXAMPLE_BASE_URL") == address
