"""Which names mean a deployed model, and what is said where it cannot be opened."""

import sys

import pytest

from tests.providers.deployed import need
from truing.core.errors import InputError
from truing.providers.names import PROVIDERS, is_deployed, open_deployed, refuse_deployed
from truing.providers.settings import RemoteConfig

LOCAL = RemoteConfig(base_url="http://127.0.0.1:9")


@pytest.mark.parametrize(
    ("name", "deployed"),
    [
        ("openai:gpt", True),
        ("anthropic:claude", True),
        ("gemini:flash", True),
        ("openai:org/model:7b", True),
        ("openai:", True),
        ("openai", False),
        ("hf:openai/model", False),
        ("smollm2-135m", False),
        ("./openai:model", False),
    ],
)
def test_a_name_means_a_deployed_model_only_by_its_provider(name: str, deployed: bool) -> None:
    assert is_deployed(name) is deployed


def test_the_models_name_is_all_that_follows_the_first_colon() -> None:
    need("openai")
    assert open_deployed("openai:org/model:7b", LOCAL).name == "openai:org/model:7b"


@pytest.mark.parametrize("provider", PROVIDERS)
def test_without_a_model_the_form_is_told(provider: str) -> None:
    with pytest.raises(InputError, match=f"'{provider}: ' names no model; write {provider}:MODEL"):
        open_deployed(f"{provider}: ", LOCAL)


@pytest.mark.parametrize(
    ("provider", "library"), [("openai", "openai"), ("anthropic", "anthropic"), ("gemini", "google.genai")]
)
def test_without_its_library_the_command_that_installs_it_is_told(
    provider: str, library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    monkeypatch.delitem(sys.modules, f"truing.providers.{provider}", raising=False)
    with pytest.raises(InputError, match=f"{provider}:tiny: .* run pip install 'truing.{provider}.'"):
        open_deployed(f"{provider}:tiny", LOCAL)


def test_what_needs_weights_refuses_a_deployed_model_and_no_other() -> None:
    refuse_deployed("smollm2-135m", "this")
    with pytest.raises(InputError, match="this needs weights or log-probabilities, and openai:gpt is a deployed model"):
        refuse_deployed("openai:gpt", "this")
