"""Anthropic's format: what is sent, and what each reply means, whole and streamed."""

from collections.abc import Iterator

import pytest

from tests.providers.conftest import ask
from tests.providers.deployed import WARM, deployed, need, one
from tests.providers.server import Body, Says, WireServer, wire_server
from truing.core.errors import InputError
from truing.core.records import Message

whole_and_streamed = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])


@pytest.fixture
def server() -> Iterator[WireServer]:
    with wire_server() as started:
        yield started


@whole_and_streamed
def test_a_dialogue_is_sent_turn_by_turn_and_the_answer_carries_what_was_told(server: WireServer, stream: bool) -> None:
    dialogue = (*ask("Hi!"), Message(role="assistant", content="Hello."), *ask("Why?"))
    server.script.append(Says("Because."))
    ((_, answer),) = deployed(server, "anthropic", stream=stream, system_prompt="be brief").sample([dialogue], WARM)
    (seen,) = server.seen
    assert seen.path == "/v1/messages"
    assert seen.body["messages"] == [
        {"role": "user", "content": "Hi!"},
        {"role": "assistant", "content": "Hello."},
        {"role": "user", "content": "Why?"},
    ]
    sent = {"model": "tiny", "system": "be brief", "temperature": 1.0, "max_tokens": 20}
    assert {key: seen.body[key] for key in sent} == sent
    assert "seed" not in seen.body  # the format has none
    assert (answer.text, answer.finished, answer.missing, answer.logprobs) == ("Because.", True, "", ())
    observed = answer.observed
    assert observed is not None
    assert (observed.provider, observed.reported_model, observed.stop) == ("anthropic", "served-2026-11", "end_turn")
    assert (observed.prompt_tokens, observed.output_tokens, observed.thinking_tokens) == (11, 7, None)


@whole_and_streamed
@pytest.mark.parametrize(
    ("says", "finished", "missing"),
    [
        (Says(stop="stop_sequence"), True, ""),
        (Says(stop="max_tokens"), False, ""),
        (Says(stop="something_new"), None, ""),
        (Says(stop="refusal"), None, "the provider's filter cut it off (refusal)"),
        (Says(None, stop="tool_use"), None, "the model called a tool instead of answering (tool_use)"),
        (Says(None), True, "the reply is empty (stop reason: end_turn)"),
        (Says(""), True, "the reply is empty (stop reason: end_turn)"),
    ],
    ids=["sequence", "length", "unknown", "filter", "tool", "no content", "empty"],
)
def test_each_end_means_what_it_says(
    server: WireServer, stream: bool, says: Says, finished: bool | None, missing: str
) -> None:
    server.script.append(says)
    answer = one(deployed(server, "anthropic", stream=stream))
    assert (answer.text, answer.finished, answer.missing) == (says.text or "", finished, missing)


def test_usage_that_is_not_told_is_unknown(server: WireServer) -> None:
    server.script.append(Says(usage=False))
    answer = one(deployed(server, "anthropic"))
    assert answer.observed is not None
    assert (answer.observed.prompt_tokens, answer.observed.output_tokens) == (None, None)


def test_tokens_read_from_a_cache_are_tokens_of_the_prompt_and_thinking_is_no_text(server: WireServer) -> None:
    content = '[{"type": "thinking", "thinking": "hm", "signature": "s"}, {"type": "text", "text": "Yes."}]'
    usage = '{"input_tokens": 5, "cache_creation_input_tokens": 2, "cache_read_input_tokens": 3, "output_tokens": 9}'
    told = f'"model": "m", "content": {content}, "stop_reason": "end_turn", "usage": {usage}'
    server.script.append(Body(f'{{"id": "m1", "type": "message", "role": "assistant", {told}}}'))
    answer = one(deployed(server, "anthropic"))
    assert answer.text == "Yes."
    assert answer.observed is not None
    assert (answer.observed.prompt_tokens, answer.observed.output_tokens) == (10, 9)


def test_log_probabilities_are_refused_where_the_format_has_none(server: WireServer) -> None:
    need("anthropic")
    with pytest.raises(InputError, match="anthropic:tiny: anthropic gives no log-probabilities; leave logprobs out"):
        deployed(server, "anthropic", logprobs=True)
    assert server.seen == []
