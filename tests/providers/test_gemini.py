"""Gemini's format: what is sent, and what each reply means, whole and streamed."""

from collections.abc import Iterator

import pytest

from tests.providers.conftest import ask
from tests.providers.deployed import WARM, deployed, one
from tests.providers.server import Body, Says, Status, WireServer, wire_server
from truing.core.records import Message

whole_and_streamed = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])


@pytest.fixture
def server() -> Iterator[WireServer]:
    with wire_server() as started:
        yield started


@whole_and_streamed
def test_a_dialogue_is_sent_turn_by_turn_and_the_answer_carries_what_was_told(server: WireServer, stream: bool) -> None:
    dialogue = (*ask("Hi!"), Message(role="assistant", content="Hello."), *ask("Why?"))
    server.script.append(Says("Because.", thinking_tokens=4, logprobs=(-0.5, -0.25)))
    system = deployed(server, "gemini", stream=stream, logprobs=True, system_prompt="be brief")
    ((_, answer),) = system.sample([dialogue], WARM)
    (seen,) = server.seen
    method = "streamGenerateContent?alt=sse" if stream else "generateContent"
    assert seen.path.endswith(f"/models/tiny:{method}")
    assert [(turn["role"], turn["parts"][0]["text"]) for turn in seen.body["contents"]] == [
        ("user", "Hi!"),
        ("model", "Hello."),
        ("user", "Why?"),
    ]
    assert seen.body["systemInstruction"]["parts"][0]["text"] == "be brief"
    sent = {"temperature": 1.0, "maxOutputTokens": 20, "responseLogprobs": True}
    assert {key: seen.body["generationConfig"][key] for key in sent} == sent
    assert answer.observed is not None
    assert seen.body["generationConfig"]["seed"] == answer.observed.request["seed"]
    assert (answer.text, answer.finished, answer.missing) == ("Because.", True, "")
    assert answer.logprobs == (-0.5, -0.25)
    observed = answer.observed
    assert (observed.provider, observed.reported_model, observed.stop) == ("gemini", "served-2026-11", "STOP")
    assert (observed.prompt_tokens, observed.output_tokens, observed.thinking_tokens) == (11, 7, 4)


@whole_and_streamed
@pytest.mark.parametrize(
    ("says", "finished", "missing"),
    [
        (Says(stop="MAX_TOKENS"), False, ""),
        (Says(stop="OTHER"), None, ""),
        (Says(stop="SAFETY"), None, "the provider cut it off (SAFETY)"),
        (Says(stop="RECITATION"), None, "the provider cut it off (RECITATION)"),
        (Says(None), True, "the reply is empty (stop reason: STOP)"),
    ],
    ids=["length", "other", "safety", "recitation", "empty"],
)
def test_each_end_means_what_it_says(
    server: WireServer, stream: bool, says: Says, finished: bool | None, missing: str
) -> None:
    server.script.append(says)
    answer = one(deployed(server, "gemini", stream=stream))
    assert (answer.text, answer.finished, answer.missing) == (says.text or "", finished, missing)


@whole_and_streamed
def test_a_prompt_that_the_filter_stopped_has_no_answer_and_says_so(server: WireServer, stream: bool) -> None:
    server.script.append(Says(None, blocked="PROHIBITED_CONTENT"))
    answer = one(deployed(server, "gemini", stream=stream))
    assert (answer.text, answer.finished) == ("", None)
    assert answer.missing == "the provider's filter stopped the prompt (PROHIBITED_CONTENT)"
    assert answer.observed is not None
    assert answer.observed.replied


def test_usage_that_is_not_told_is_unknown(server: WireServer) -> None:
    server.script.append(Says(usage=False))
    answer = one(deployed(server, "gemini"))
    assert answer.observed is not None
    assert (answer.observed.prompt_tokens, answer.observed.output_tokens) == (None, None)


def test_thinking_is_no_text_and_a_count_of_nothing_is_left_out(server: WireServer) -> None:
    parts = '[{"text": "hm", "thought": true}, {"text": "Yes."}]'
    usage = '"usageMetadata": {"promptTokenCount": 5, "candidatesTokenCount": 2, "thoughtsTokenCount": 3}'
    told = f'{{"candidates": [{{"content": {{"role": "model", "parts": {parts}}}, "finishReason": "STOP"}}], {usage}}}'
    server.script += [
        Body(told),
        Body('{"candidates": [{"finishReason": "MAX_TOKENS"}], "usageMetadata": {"promptTokenCount": 5}}'),
    ]
    system = deployed(server, "gemini")
    answer, nothing = one(system), one(system)
    assert answer.text == "Yes."
    assert answer.observed is not None
    assert (answer.observed.output_tokens, answer.observed.thinking_tokens) == (5, 3)
    assert nothing.observed is not None
    assert (nothing.observed.prompt_tokens, nothing.observed.output_tokens) == (5, 0)
    assert nothing.missing == "the reply is empty (stop reason: MAX_TOKENS)"


def test_a_wait_that_stands_in_the_body_is_heeded(server: WireServer) -> None:
    info = '{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "0.3s"}'
    body = f'{{"error": {{"code": 429, "message": "slow down", "status": "TOLD", "details": [{info}]}}}}'
    server.script.append(Status(429, body=body))
    assert one(deployed(server, "gemini")).missing == ""
    assert server.seen[1].time - server.seen[0].time >= 0.3
