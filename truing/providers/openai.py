"""`openai:MODEL`: OpenAI's chat completions, and every server that speaks them (vLLM, Ollama, a gateway of one's own).

Source: the API reference, https://platform.openai.com/docs/api-reference/chat. What it does not know: thinking that a
server leaves inside the text stays there.
"""

from collections.abc import AsyncIterator
from typing import Any

import openai
from pydantic import BaseModel, Field

from truing.providers.settings import RemoteConfig
from truing.providers.wire import Asker, Count, Reply, Request, failures, half, plain

ADDRESS = "https://api.openai.com/v1"
ADDRESS_VARIABLE = "OPENAI_BASE_URL"
KEY_VARIABLES = ("OPENAI_API_KEY",)
HAS_LOGPROBS = True

_FINISHED = {"stop": True, "length": False}
_MISSING = {
    "content_filter": "the provider's filter cut it off (content_filter)",
    "tool_calls": "the model called a tool instead of answering (tool_calls)",
    "function_call": "the model called a tool instead of answering (function_call)",
    "error": "the server broke the answer off (error)",
    "abort": "the server broke the answer off (abort)",
}


# What is read of a reply; the rest of it may be anything.


class _Details(BaseModel):
    reasoning_tokens: Count | None = None


class _Usage(BaseModel):
    prompt_tokens: Count | None = None
    completion_tokens: Count | None = None
    completion_tokens_details: _Details | None = None


class _Token(BaseModel):
    logprob: float = Field(allow_inf_nan=False)


class _Logprobs(BaseModel):
    content: list[_Token] | None = None


class _Message(BaseModel):
    content: str | None = None
    refusal: str | None = None


class _Choice(BaseModel):
    message: _Message
    finish_reason: str | None = None
    logprobs: _Logprobs | None = None


class _Completion(BaseModel):
    model: str | None = None
    choices: list[_Choice] = Field(min_length=1)
    usage: _Usage | None = None


class _Piece(BaseModel):
    delta: _Message = _Message()
    finish_reason: str | None = None
    logprobs: _Logprobs | None = None


class _Chunk(BaseModel):
    model: str | None = None
    choices: list[_Piece] = []
    usage: _Usage | None = None


def open_asker(model: str, address: str, key: str | None, config: RemoteConfig) -> Asker:
    """A connection to the server, within the running event loop."""
    return OpenAIAsker(model, address, key, config)


class OpenAIAsker:
    """Asks by the official library."""

    def __init__(self, model: str, address: str, key: str | None, config: RemoteConfig) -> None:
        self._model, self._config = model, config
        self._limit = config.token_limit or ("max_completion_tokens" if address == ADDRESS else "max_tokens")
        self._client = openai.AsyncOpenAI(
            api_key=key or "none",  # the library insists on one
            base_url=address,
            max_retries=0,
            timeout=None,  # remote.py has one for the whole attempt
            http_client=openai.DefaultAsyncHttpxClient(follow_redirects=False),
        )

    async def ask(self, request: Request) -> Reply:
        """One chat completion. Raises `FailedError`."""
        with failures(openai):
            found = await self._client.chat.completions.create(**self._parameters(request))
            whole = await _joined(found) if self._config.stream else _Completion.model_validate(plain(openai, found))
            return _reply(whole)

    async def close(self) -> None:
        """Close all connections."""
        await self._client.close()

    def _parameters(self, request: Request) -> dict[str, Any]:
        messages = [{"role": turn.role, "content": turn.content} for turn in request.turns]
        if request.system is not None:
            messages.insert(0, {"role": "system", "content": request.system})
        parameters: dict[str, Any] = {"model": self._model, "messages": messages, self._limit: request.max_new_tokens}
        if request.temperature is not None:
            parameters["temperature"] = request.temperature
        if request.seed is not None:
            parameters["seed"] = request.seed
        if self._config.logprobs:
            parameters["logprobs"] = True
        if self._config.stream:
            parameters |= {"stream": True, "stream_options": {"include_usage": True}}
        return parameters


async def _joined(stream: AsyncIterator[Any]) -> _Completion:
    """The completion whose pieces a stream brings. Raises `FailedError` where its end is not there."""
    text, refusal, stop, model, usage = "", "", None, None, None
    tokens: list[_Token] = []
    async for raw in stream:
        chunk = _Chunk.model_validate(plain(openai, raw))
        model, usage = chunk.model or model, chunk.usage or usage
        for piece in chunk.choices[:1]:
            text += piece.delta.content or ""
            refusal += piece.delta.refusal or ""
            stop = piece.finish_reason or stop
            tokens += (piece.logprobs.content or []) if piece.logprobs else []
    if stop is None:
        raise half()
    message = _Message(content=text, refusal=refusal or None)
    choice = _Choice(message=message, finish_reason=stop, logprobs=_Logprobs(content=tokens))
    return _Completion(model=model, choices=[choice], usage=usage)


def _reply(found: _Completion) -> Reply:
    choice, usage = found.choices[0], found.usage or _Usage()
    stop, message, details = choice.finish_reason, choice.message, usage.completion_tokens_details
    missing = _MISSING.get(stop or "", "")
    if message.refusal:
        missing = f"the provider refused in the model's place: {message.refusal}"
    return Reply(
        text=message.content or "",
        finished=_FINISHED.get(stop or ""),
        stop=stop,
        missing=missing,
        model=found.model,
        prompt_tokens=usage.prompt_tokens,
        output_tokens=usage.completion_tokens,
        thinking_tokens=details.reasoning_tokens if details else None,
        logprobs=tuple(token.logprob for token in (choice.logprobs.content or [])) if choice.logprobs else (),
    )
