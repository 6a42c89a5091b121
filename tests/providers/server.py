"""A server on the loopback that speaks the three wire formats, streamed and whole, and errs as it is told.

What it says next stands in `script`, one entry a request in the order in which they come; after that it answers `says`
to all. `seen` are the requests, each with the time of its arrival.
"""

import json
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Says:
    """A good reply. `stop` is in the words of the format that is asked for; `also` goes into the message or the top."""

    text: str | None = "Because of the air."
    stop: str | None = None
    model: str | None = "served-2026-11"
    prompt_tokens: int = 11
    output_tokens: int = 7
    thinking_tokens: int | None = None
    usage: bool = True
    logprobs: tuple[float, ...] | None = None
    refusal: str | None = None
    blocked: str | None = None
    delay: float = 0.0


@dataclass(frozen=True)
class Status:
    """An error status, with a body in the format's own shape or in one's own."""

    status: int
    message: str = "told to fail"
    headers: dict[str, str] = field(default_factory=dict)
    body: str | None = None


@dataclass(frozen=True)
class Body:
    """Status 200 with any body."""

    body: str
    kind: str = "application/json"


@dataclass(frozen=True)
class Cut:
    """A good reply whose connection breaks after this share of its bytes."""

    share: float = 0.5


@dataclass(frozen=True)
class Ended:
    """A streamed reply that ends in order, but without its last events."""


@dataclass(frozen=True)
class Hang:
    """Nothing comes."""


@dataclass(frozen=True)
class Echo:
    """A good reply that tells the request's headers: a careless gateway."""

    status: int = 200


@dataclass(frozen=True)
class Seen:
    """One request."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]
    time: float

    @property
    def question(self) -> str:
        """The last turn's text."""
        if "contents" in self.body:
            return str(self.body["contents"][-1]["parts"][0]["text"])
        return _plain(self.body["messages"][-1]["content"])


def _plain(content: Any) -> str:
    return content if isinstance(content, str) else str(content[0]["text"])


Entry = Says | Status | Body | Cut | Ended | Hang | Echo


class WireServer:
    """`url` is its address. `most_at_once` is how many requests were under way together."""

    def __init__(self) -> None:
        self.script: deque[Entry] = deque()
        self.says: Callable[[Seen], Entry] = lambda _: Says()
        self.seen: list[Seen] = []
        self.most_at_once = self.under_way = 0
        self.closing = threading.Event()
        self.lock = threading.Lock()
        handler = type("Handler", (_Handler,), {"owner": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    def next(self, seen: Seen) -> Entry:
        with self.lock:
            self.seen.append(seen)
            return self.script.popleft() if self.script else self.says(seen)

    def close(self) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@contextmanager
def wire_server() -> Iterator[WireServer]:
    server = WireServer()
    try:
        yield server
    finally:
        server.close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    owner: WireServer

    def log_message(self, *_: object) -> None:
        pass

    def do_POST(self) -> None:
        owner = self.owner
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        headers = {name.lower(): value for name, value in self.headers.items()}
        seen = Seen(self.path, headers, body, time.monotonic())
        entry = owner.next(seen)
        with owner.lock:
            owner.under_way += 1
            owner.most_at_once = max(owner.most_at_once, owner.under_way)
        try:
            self._reply(seen, entry)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True
        finally:
            with owner.lock:
                owner.under_way -= 1

    def _reply(self, seen: Seen, entry: Entry) -> None:
        streamed = bool(seen.body.get("stream")) or "streamGenerateContent" in seen.path
        if isinstance(entry, Hang):
            self.owner.closing.wait(30)
            self.close_connection = True
        elif isinstance(entry, Status):
            text = entry.body if entry.body is not None else json.dumps(_error(seen, entry))
            self._send(entry.status, text.encode(), "application/json", entry.headers)
        elif isinstance(entry, Body):
            self._send(200, entry.body.encode(), entry.kind)
        elif isinstance(entry, Echo):
            told = json.dumps(seen.headers)
            if entry.status == 200:
                self._send_good(seen, Says(text=told, model=told), streamed, 1.0)
            else:
                self._send(entry.status, json.dumps(_error(seen, Status(entry.status, told))).encode())
        elif isinstance(entry, Says):
            self.owner.closing.wait(entry.delay)
            self._send_good(seen, entry, streamed, 1.0)
        elif isinstance(entry, Ended):
            events = _events(seen, Says())
            self._send(200, "".join(events[: len(events) // 2]).encode(), "text/event-stream")
        else:
            self._send_good(seen, Says(), streamed, entry.share)

    def _send_good(self, seen: Seen, says: Says, streamed: bool, share: float) -> None:
        if streamed:
            content, kind = "".join(_events(seen, says)).encode(), "text/event-stream"
        else:
            content, kind = json.dumps(_whole(seen, says)).encode(), "application/json"
        self._send(200, content, kind, share=share)

    def _send(
        self,
        status: int,
        content: bytes,
        kind: str = "application/json",
        headers: dict[str, str] | None = None,
        share: float = 1.0,
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content[: int(len(content) * share)])
        self.wfile.flush()
        if share < 1:
            self.close_connection = True


def _error(seen: Seen, entry: Status) -> dict[str, Any]:
    if "contents" in seen.body:
        return {"error": {"code": entry.status, "message": entry.message, "status": "TOLD"}}
    if seen.path.endswith("/messages"):
        return {"type": "error", "error": {"type": "told", "message": entry.message}}
    return {"error": {"message": entry.message, "type": "told", "param": None, "code": None}}


def _whole(seen: Seen, says: Says) -> dict[str, Any]:
    if "contents" in seen.body:
        return _gemini(says)
    return _anthropic(says) if seen.path.endswith("/messages") else _openai(says)


def _events(seen: Seen, says: Says) -> list[str]:
    if "contents" in seen.body:
        return _gemini_events(says)
    return _anthropic_events(says) if seen.path.endswith("/messages") else _openai_events(says)


def _pieces(text: str | None) -> list[str]:
    text = text or ""
    return [text[at : at + 5] for at in range(0, len(text), 5)]


def _openai(says: Says) -> dict[str, Any]:
    message = {"role": "assistant", "content": says.text, "refusal": says.refusal}
    choice: dict[str, Any] = {"index": 0, "message": message, "finish_reason": says.stop or "stop", "logprobs": None}
    if says.logprobs is not None:
        choice["logprobs"] = {"content": [_openai_logprob(value) for value in says.logprobs], "refusal": None}
    found = {"id": "c1", "object": "chat.completion", "created": 1, "model": says.model, "choices": [choice]}
    return {**found, "usage": _openai_usage(says)} if says.usage else found


def _openai_logprob(value: float) -> dict[str, Any]:
    return {"token": "a", "logprob": value, "bytes": None, "top_logprobs": []}


def _openai_usage(says: Says) -> dict[str, Any]:
    usage: dict[str, Any] = {
        "prompt_tokens": says.prompt_tokens,
        "completion_tokens": says.output_tokens,
        "total_tokens": says.prompt_tokens + says.output_tokens,
    }
    if says.thinking_tokens is not None:
        usage["completion_tokens_details"] = {"reasoning_tokens": says.thinking_tokens}
    return usage


def _openai_events(says: Says) -> list[str]:
    top = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": says.model}

    def chunk(delta: dict[str, Any], stop: str | None = None, logprobs: Any = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "finish_reason": stop, "logprobs": logprobs}
        return {**top, "choices": [choice], "usage": None}

    chunks = [chunk({"role": "assistant", "content": ""})]
    chunks += [chunk({"content": piece}) for piece in _pieces(says.text)]
    if says.refusal:
        chunks.append(chunk({"refusal": says.refusal}))
    for value in says.logprobs or ():
        chunks.append(chunk({"content": ""}, logprobs={"content": [_openai_logprob(value)], "refusal": None}))
    chunks.append(chunk({}, says.stop or "stop"))
    if says.usage:
        chunks.append({**top, "choices": [], "usage": _openai_usage(says)})
    return [*(f"data: {json.dumps(one)}\n\n" for one in chunks), "data: [DONE]\n\n"]


def _anthropic(says: Says) -> dict[str, Any]:
    found: dict[str, Any] = {
        "id": "m1",
        "type": "message",
        "role": "assistant",
        "model": says.model,
        "content": [] if says.text is None else [{"type": "text", "text": says.text}],
        "stop_reason": says.stop or "end_turn",
        "stop_sequence": None,
    }
    usage = {"input_tokens": says.prompt_tokens, "output_tokens": says.output_tokens}
    return {**found, "usage": usage} if says.usage else found


def _anthropic_events(says: Says) -> list[str]:
    whole = _anthropic(replace(says, text=None))
    begun = {**whole, "stop_reason": None}
    if says.usage:
        begun["usage"] = {"input_tokens": says.prompt_tokens, "output_tokens": 1}
    events: list[dict[str, Any]] = [{"type": "message_start", "message": begun}]
    if says.text is not None:
        events.append({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}})
        for piece in _pieces(says.text):
            events.append({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": piece}})
        events.append({"type": "content_block_stop", "index": 0})
    last = {"type": "message_delta", "delta": {"stop_reason": whole["stop_reason"], "stop_sequence": None}}
    events.append({**last, "usage": {"output_tokens": says.output_tokens}} if says.usage else last)
    events.append({"type": "message_stop"})
    return [f"event: {one['type']}\ndata: {json.dumps(one)}\n\n" for one in events]


def _gemini(says: Says, text: str | None = None, last: bool = True) -> dict[str, Any]:
    said = says.text if text is None else text
    found: dict[str, Any] = {"modelVersion": says.model, "responseId": "r1"}
    if says.blocked is not None:
        found["promptFeedback"] = {"blockReason": says.blocked}
    else:
        parts = [] if said is None else [{"text": said}]
        candidate: dict[str, Any] = {"content": {"role": "model", "parts": parts}, "index": 0}
        if last:
            candidate["finishReason"] = says.stop or "STOP"
        if says.logprobs is not None and last:
            chosen = [{"token": "a", "tokenId": 1, "logProbability": value} for value in says.logprobs]
            candidate["logprobsResult"] = {"chosenCandidates": chosen, "topCandidates": []}
        found["candidates"] = [candidate]
    if says.usage and last:
        thinking = {} if says.thinking_tokens is None else {"thoughtsTokenCount": says.thinking_tokens}
        written = says.output_tokens - (says.thinking_tokens or 0)
        found["usageMetadata"] = {"promptTokenCount": says.prompt_tokens, "candidatesTokenCount": written, **thinking}
    return found


def _gemini_events(says: Says) -> list[str]:
    pieces = [_gemini(says, piece, last=False) for piece in _pieces(says.text)] if says.blocked is None else []
    chunks = [*pieces, _gemini(says, "")]
    return [f"data: {json.dumps(one)}\r\n\r\n" for one in chunks]
