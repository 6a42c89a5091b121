"""OpenAI's format: what is sent, and what each reply means, whole and streamed."""

from collections.abc import Iterator

import pytest

from tests.providers.conftest import ask
from tests.providers.deployed import GREEDY, WARM, deployed, need, one
from tests.providers.server import Says, Status, WireServer, wire_server
from truing.core.records import Message
from truing.providers.settings import RemoteConfig
from truing.providers.wire import Request

whole_and_streamed = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])


@pytest.fixture
def server() -> Iterator[WireServer]:
    with wire_server() as started:
        yield started


@whole_and_streamed
def test_a_dialogue_is_sent_turn_by_turn_and_the_answer_carries_what_was_told(server: WireServer, stream: bool) -> None:
    dialogue = (*ask("Hi!"), Message(role="assistant", content="Hello."), *ask("Why?"))
    server.script.append(Says("Because.", thinking_tokens=4, logprobs=(-0.5, -0.25)))
    system = deployed(server, stream=stream, logprobs=True, system_prompt="be brief")
    ((_, answer),) = system.sample([dialogue], WARM)
    (seen,) = server.seen
    assert seen.path == "/v1/chat/completions"
    assert seen.body["messages"] == [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "Hi!"},
        {"role": "assistant", "content": "Hello."},
        {"role": "user", "content": "Why?"},
    ]
    sent = {"model": "tiny", "temperature": 1.0, "max_tokens": 20, "logprobs": True}
    assert {key: seen.body[key] for key in sent} == sent
    assert (answer.text, answer.finished, answer.missing) == ("Because.", True, "")
    assert answer.logprobs == (-0.5, -0.25)
    assert (answer.token_ids, answer.least_gap) == ((), None)  # not known
    observed = answer.observed
    assert observed is not None
    assert (observed.provider, observed.reported_model, observed.stop) == ("openai", "served-2026-11", "stop")
    assert (observed.prompt_tokens, observed.output_tokens, observed.thinking_tokens) == (11, 7, 4)
    assert observed.request == {
        "model": "tiny",
        "base_url": f"{server.url}/v1",
        "max_new_tokens": 20,
        "temperature": 1.0,
        "seed": seen.body["seed"],
        "stream": stream,
    }
    assert system.spending.thinking_tokens == 4


@whole_and_streamed
@pytest.mark.parametrize(
    ("says", "finished", "missing"),
    [
        (Says(stop="stop"), True, ""),
        (Says(stop="length"), False, ""),
        (Says(stop="something_new"), None, ""),
        (Says(stop="content_filter"), None, "the provider's filter cut it off (content_filter)"),
        (Says(None, stop="tool_calls"), None, "the model called a tool instead of answering (tool_calls)"),
        (Says(None, refusal="I may not."), True, "the provider refused in the model's place: I may not."),
        (Says(""), True, "the reply is empty (stop reason: stop)"),
        (Says(" \n", stop="length"), False, "the reply is empty (stop reason: length)"),
        (Says(usage=False), True, ""),
        (Says(model=None), True, ""),
    ],
    ids=["stop", "length", "unknown", "filter", "tool", "refusal", "empty", "empty and cut", "no usage", "no name"],
)
def test_each_end_means_what_it_says(
    server: WireServer, stream: bool, says: Says, finished: bool | None, missing: str
) -> None:
    server.script.append(says)
    answer = one(deployed(server, stream=stream))
    assert (answer.text, answer.finished, answer.missing) == (says.text or "", finished, missing)
    assert answer.observed is not None
    assert answer.observed.replied
    assert answer.observed.reported_model == says.model
    told = (11, 7) if says.usage else (None, None)
    assert (answer.observed.prompt_tokens, answer.observed.output_tokens) == told
    assert answer.observed.thinking_tokens is None


def test_the_answers_limit_goes_by_the_name_that_the_server_knows(server: WireServer) -> None:
    one(deployed(server, token_limit="max_completion_tokens"))
    one(deployed(server))
    assert [{"max_tokens", "max_completion_tokens"} & set(seen.body) for seen in server.seen] == [
        {"max_completion_tokens"},
        {"max_tokens"},
    ]
    need("openai")
    from truing.providers.openai import ADDRESS, OpenAIAsker

    asker = OpenAIAsker("tiny", ADDRESS, "key", RemoteConfig())
    assert asker._parameters(Request(None, ask("a"), 9, 0.0, None))["max_completion_tokens"] == 9


def test_an_error_inside_a_stream_is_no_answer(server: WireServer) -> None:
    from tests.providers.server import Body

    event = 'data: {"error": {"message": "overloaded", "type": "server_error", "code": null, "param": null}}\n\n'
    server.script += [Body(event, "text/event-stream"), Says("Then.")]
    answer = one(deployed(server, stream=True))
    assert (answer.text, len(server.seen)) == ("Then.", 2)


def test_a_model_that_is_not_there_ends_the_run(server: WireServer) -> None:
    server.says = lambda _: Status(404, "The model `tiny` does not exist")
    from truing.core.errors import InputError

    with pytest.raises(InputError, match=r"no such model or address .status 404: The model `tiny` does not exist"):
        list(deployed(server).sample([ask("a")] * 3, GREEDY))
