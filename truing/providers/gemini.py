"""`gemini:MODEL`: Google's Gemini API (generateContent).

Source: the API reference, https://ai.google.dev/api/generate-content. Thinking is told apart, and billed as output.
"""

import re
from collections.abc import AsyncIterator, Mapping
from typing import Any

import google.genai
import httpx2
from google.genai import errors, types
from pydantic import BaseModel, Field

from truing.providers.settings import RemoteConfig
from truing.providers.wire import Asker, Count, Reply, Request, cut, garbage, half, refused

ADDRESS = "https://generativelanguage.googleapis.com"
ADDRESS_VARIABLE = "GOOGLE_GEMINI_BASE_URL"
KEY_VARIABLES = ("GEMINI_API_KEY", "GOOGLE_API_KEY")
HAS_LOGPROBS = True

_FINISHED = {"STOP": True, "MAX_TOKENS": False}
_UNKNOWN = ("FINISH_REASON_UNSPECIFIED", "OTHER", "LANGUAGE")  # every other reason is a filter or a tool
_ROLES = {"user": "user", "assistant": "model"}


# What is read of a reply; the rest of it may be anything.


class _Part(BaseModel):
    text: str | None = None
    thought: bool | None = None


class _Content(BaseModel):
    parts: list[_Part] | None = None


class _Token(BaseModel):
    log_probability: float = Field(allow_inf_nan=False)


class _Logprobs(BaseModel):
    chosen_candidates: list[_Token] | None = None


class _Candidate(BaseModel):
    content: _Content | None = None
    finish_reason: str | None = None
    logprobs_result: _Logprobs | None = None


class _Feedback(BaseModel):
    block_reason: str | None = None


class _Usage(BaseModel):
    prompt_token_count: Count | None = None
    candidates_token_count: Count | None = None
    thoughts_token_count: Count | None = None


class _Response(BaseModel):
    model_version: str | None = None
    candidates: list[_Candidate] | None = None
    prompt_feedback: _Feedback | None = None
    usage_metadata: _Usage | None = None


def open_asker(model: str, address: str, key: str | None, config: RemoteConfig) -> Asker:
    """A connection to the server, within the running event loop."""
    return GeminiAsker(model, address, key, config)


class GeminiAsker:
    """Asks by the official library."""

    def __init__(self, model: str, address: str, key: str | None, config: RemoteConfig) -> None:
        self._model, self._config = model, config
        # Without a timeout, since remote.py has one for the whole attempt; without retry_options, which is to ask once.
        self._http = httpx2.AsyncClient(follow_redirects=False, timeout=None)
        options = types.HttpOptions(base_url=address, httpx_async_client=self._http)
        self._client = google.genai.Client(vertexai=False, api_key=key or "none", http_options=options)

    async def ask(self, request: Request) -> Reply:
        """One generated content. Raises `FailedError`."""
        models = self._client.aio.models
        try:
            if self._config.stream:
                return _reply(await _joined(await models.generate_content_stream(**self._parameters(request))))
            return _reply(_read(await models.generate_content(**self._parameters(request))))
        except errors.APIError as error:
            headers: Mapping[str, str] = getattr(error.response, "headers", None) or {}
            raise refused(error.code, str(error.message or error.status), headers, _delay(error.details)) from None
        except httpx2.TransportError as error:
            raise cut(error) from None
        except ValueError as error:
            raise garbage(str(error)) from None

    async def close(self) -> None:
        """Close all connections."""
        await self._http.aclose()
        self._client.close()

    def _parameters(self, request: Request) -> dict[str, Any]:
        config = types.GenerateContentConfig(
            system_instruction=request.system,
            max_output_tokens=request.max_new_tokens,
            temperature=request.temperature,
            seed=request.seed,
            response_logprobs=self._config.logprobs or None,
            automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
        )
        contents = [types.Content(role=_ROLES[one.role], parts=[types.Part(text=one.content)]) for one in request.turns]
        return {"model": self._model, "contents": contents, "config": config}


def _read(found: Any) -> _Response:
    return _Response.model_validate(found.model_dump(mode="json", exclude_none=True))


async def _joined(stream: AsyncIterator[Any]) -> _Response:
    """The response whose pieces a stream brings. Raises `FailedError` where its end is not there."""
    parts: list[_Part] = []
    tokens: list[_Token] = []
    whole, stop = _Response(), None
    async for raw in stream:
        piece = _read(raw)
        whole = whole.model_copy(update={name: value for name, value in piece if value is not None})
        for candidate in (piece.candidates or [])[:1]:
            parts += (candidate.content.parts or []) if candidate.content else []
            tokens += (candidate.logprobs_result.chosen_candidates or []) if candidate.logprobs_result else []
            stop = candidate.finish_reason or stop
    if whole.prompt_feedback is not None and whole.prompt_feedback.block_reason:
        return whole
    if stop is None:
        raise half()
    logprobs = _Logprobs(chosen_candidates=tokens)
    joined = _Candidate(content=_Content(parts=parts), finish_reason=stop, logprobs_result=logprobs)
    return whole.model_copy(update={"candidates": [joined]})


def _reply(found: _Response) -> Reply:
    usage, blocked = found.usage_metadata or _Usage(), found.prompt_feedback and found.prompt_feedback.block_reason
    if not found.candidates and not blocked:
        raise garbage("it holds neither an answer nor a reason why there is none")
    candidate = found.candidates[0] if found.candidates else _Candidate()
    stop = blocked or candidate.finish_reason
    if blocked:
        missing = f"the provider's filter stopped the prompt ({blocked})"
    elif stop is None or stop in _FINISHED or stop in _UNKNOWN:
        missing = ""
    else:
        missing = f"the provider cut it off ({stop})"
    parts = (candidate.content.parts or []) if candidate.content else []
    text = "".join(part.text or "" for part in parts if not part.thought)
    written, thinking = usage.candidates_token_count, usage.thoughts_token_count
    if written is None and not text and usage.prompt_token_count is not None:
        written = 0  # the format leaves out a count of nothing
    logprobs = candidate.logprobs_result.chosen_candidates if candidate.logprobs_result else None
    return Reply(
        text=text,
        finished=None if blocked else _FINISHED.get(stop or ""),
        stop=stop,
        missing=missing,
        model=found.model_version,
        prompt_tokens=usage.prompt_token_count,
        output_tokens=None if written is None else written + (thinking or 0),
        thinking_tokens=thinking,
        logprobs=tuple(token.log_probability for token in logprobs or ()),
    )


def _delay(details: Any) -> float | None:
    """The seconds to wait that stand in an error's body (google.rpc.RetryInfo), if they do."""
    found = re.search(r"'retryDelay': '([0-9.]+)s'", str(details))
    return float(found[1]) if found else None
