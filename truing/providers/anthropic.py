"""`anthropic:MODEL`: Anthropic's messages, and every server that speaks them.

Source: the API reference, https://docs.anthropic.com/en/api/messages. It gives no log-probabilities, takes no seed, and
counts thinking among the output without telling it apart.
"""

from collections.abc import AsyncIterator
from typing import Any

import anthropic
from pydantic import BaseModel

from truing.providers.settings import RemoteConfig
from truing.providers.wire import Asker, Count, Reply, Request, failures, half, plain

ADDRESS = "https://api.anthropic.com"
ADDRESS_VARIABLE = "ANTHROPIC_BASE_URL"
KEY_VARIABLES = ("ANTHROPIC_API_KEY",)
HAS_LOGPROBS = False

_FINISHED = {"end_turn": True, "stop_sequence": True, "max_tokens": False, "model_context_window_exceeded": False}
_MISSING = {
    "refusal": "the provider's filter cut it off (refusal)",
    "tool_use": "the model called a tool instead of answering (tool_use)",
    "pause_turn": "the provider paused the turn (pause_turn)",
}


# What is read of a reply; the rest of it may be anything.


class _Block(BaseModel):
    type: str
    text: str | None = None


class _Usage(BaseModel):
    input_tokens: Count | None = None
    cache_creation_input_tokens: Count | None = None
    cache_read_input_tokens: Count | None = None
    output_tokens: Count | None = None


class _Message(BaseModel):
    model: str | None = None
    content: list[_Block]
    stop_reason: str | None = None
    usage: _Usage | None = None


class _Delta(BaseModel):
    text: str | None = None
    stop_reason: str | None = None


class _Event(BaseModel):
    type: str
    message: _Message | None = None
    delta: _Delta | None = None
    usage: _Usage | None = None


def open_asker(model: str, address: str, key: str | None, config: RemoteConfig) -> Asker:
    """A connection to the server, within the running event loop."""
    return AnthropicAsker(model, address, key, config)


class AnthropicAsker:
    """Asks by the official library."""

    def __init__(self, model: str, address: str, key: str | None, config: RemoteConfig) -> None:
        self._model, self._config = model, config
        self._client = anthropic.AsyncAnthropic(
            api_key=key or "none",  # the library insists on one
            base_url=address,
            max_retries=0,
            timeout=None,  # remote.py has one for the whole attempt
            http_client=anthropic.DefaultAsyncHttpxClient(follow_redirects=False),
        )

    async def ask(self, request: Request) -> Reply:
        """One message. Raises `FailedError`."""
        with failures(anthropic):
            found = await self._client.messages.create(**self._parameters(request), stream=self._config.stream)
            whole = await _joined(found) if self._config.stream else _Message.model_validate(plain(anthropic, found))
            return _reply(whole)

    async def close(self) -> None:
        """Close all connections."""
        await self._client.close()

    def _parameters(self, request: Request) -> dict[str, Any]:
        parameters: dict[str, Any] = {
            "model": self._model,
            "max_tokens": request.max_new_tokens,
            "messages": [{"role": turn.role, "content": turn.content} for turn in request.turns],
        }
        if request.system is not None:
            parameters["system"] = request.system
        if request.temperature is not None:
            # The library has no name for it any more: newer models refuse it, older ones and other servers take it.
            parameters["extra_body"] = {"temperature": request.temperature}
        return parameters


async def _joined(stream: AsyncIterator[Any]) -> _Message:
    """The message whose pieces a stream brings. Raises `FailedError` where its end is not there."""
    text, stop, model = "", None, None
    usage: dict[str, Any] = {}
    async for raw in stream:
        event = _Event.model_validate(plain(anthropic, raw))
        if event.message is not None:
            model = event.message.model
        for told in (event.message and event.message.usage, event.usage):  # the later counts are the whole ones
            usage |= told.model_dump(exclude_none=True) if told else {}
        if event.delta is not None:
            text += event.delta.text or ""
            stop = event.delta.stop_reason or stop
    if stop is None:
        raise half()
    return _Message(model=model, content=[_Block(type="text", text=text)], stop_reason=stop, usage=_Usage(**usage))


def _reply(found: _Message) -> Reply:
    usage, stop = found.usage or _Usage(), found.stop_reason
    prompt = usage.input_tokens
    if prompt is not None:
        prompt += (usage.cache_creation_input_tokens or 0) + (usage.cache_read_input_tokens or 0)
    return Reply(
        text="".join(block.text or "" for block in found.content if block.type == "text"),
        finished=_FINISHED.get(stop or ""),
        stop=stop,
        missing=_MISSING.get(stop or "", ""),
        model=found.model,
        prompt_tokens=prompt,
        output_tokens=usage.output_tokens,
    )
