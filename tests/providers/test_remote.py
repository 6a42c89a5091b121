"""What all providers share, by each one's own library over a socket: retries, pace, budget, secrets, the end of a
run."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from tests.providers.conftest import ask
from tests.providers.deployed import GREEDY, WARM, deployed, each_format, one
from tests.providers.server import Body, Cut, Echo, Ended, Hang, Says, Seen, Status, WireServer, wire_server
from truing.core.errors import InputError, RunError
from truing.core.protocols import Sampler
from truing.core.records import Message

SECRET = "sk-live-0123456789abcdef"
PROMPTS = [ask(f"question {number}") for number in range(12)]


@pytest.fixture
def server() -> Iterator[WireServer]:
    with wire_server() as started:
        yield started


def test_it_is_a_sampler(server: WireServer) -> None:
    sampler: Sampler = deployed(server)
    assert list(sampler.sample([], GREEDY)) == []
    assert server.seen == []


@each_format
def test_what_may_pass_is_asked_again_until_there_is_an_answer(server: WireServer, provider: str, stream: bool) -> None:
    server.script += [Status(500), Status(529), Cut(), Hang(), Says("At last.")]
    system = deployed(server, provider, stream=stream, timeout=1.0)
    answer = one(system)
    assert (answer.text, answer.finished, answer.missing) == ("At last.", True, "")
    assert answer.observed is not None
    assert answer.observed.attempts == len(server.seen) == 5
    spending = system.spending
    assert (spending.requests, spending.answers, spending.missing) == (5, 1, 0)
    # The cut reply and the one that never came may have been billed; an error status is not.
    assert (spending.untold, spending.prompt_tokens, spending.output_tokens) == (2, 11, 7)


@each_format
def test_a_server_that_asks_to_wait_is_left_alone_for_that_time(
    server: WireServer, provider: str, stream: bool
) -> None:
    server.script.append(Status(429, headers={"Retry-After-Ms": "300"}))
    list(deployed(server, provider, stream=stream, concurrency=1).sample(PROMPTS[:2], GREEDY))
    first, again, other = server.seen
    assert [one.question for one in (first, again, other)] == ["question 0", "question 0", "question 1"]
    assert again.time - first.time >= 0.3


def test_whole_seconds_to_wait_are_heeded_and_too_many_are_not_waited_for(server: WireServer) -> None:
    server.script += [Status(429, headers={"Retry-After": "1"}), Says(), Status(429, headers={"Retry-After": "600"})]
    system = deployed(server)
    assert one(system).missing == ""
    assert server.seen[1].time - server.seen[0].time >= 1.0
    assert one(system).missing.startswith("no reply: the server is not able to answer (status 429")
    assert len(server.seen) == 3


@each_format
def test_what_would_not_pass_is_asked_once_and_recorded(server: WireServer, provider: str, stream: bool) -> None:
    kind = "text/event-stream" if stream else "application/json"
    broken = "data: {broken\r\n\r\n" if stream else "{broken"
    server.script += [
        Status(400, "the prompt is too long"),
        Body(broken, kind),
        Body("<html>welcome</html>", "text/html"),
        Body("[1, 2]" if not stream else "data: [1, 2]\r\n\r\n", kind),
        Body("{}" if not stream else "", kind),
    ]
    system = deployed(server, provider, stream=stream, concurrency=1, retries=0)
    found = dict(system.sample(PROMPTS[:5], GREEDY))
    assert len(server.seen) == 5
    assert "status 400: the prompt is too long" in found[0].missing or "the prompt is too long" in found[0].missing
    for number in range(5):
        answer = found[number]
        assert answer.missing.startswith("no reply: ")
        assert (answer.text, answer.finished, answer.logprobs) == ("", None, ())
        assert answer.observed is not None
        assert not answer.observed.replied
        assert answer.observed.output_tokens is None
    assert system.spending.missing == 5
    assert system.spending.untold == 4  # all but the refused one may have been billed


@each_format
def test_garbage_is_not_asked_for_again(server: WireServer, provider: str, stream: bool) -> None:
    event = "event: message_start\r\ndata: {broken\r\n\r\n"
    server.script.append(Body(event, "text/event-stream") if stream else Body("{broken"))
    assert one(deployed(server, provider, stream=stream)).missing.startswith("no reply: the reply cannot be read")
    assert len(server.seen) == 1


@pytest.mark.parametrize("provider", ["openai", "anthropic", "gemini"])
def test_a_stream_without_its_end_is_half_an_answer_and_asked_for_again(server: WireServer, provider: str) -> None:
    server.script += [Ended(), Says("Whole.")]
    answer = one(deployed(server, provider, stream=True))
    assert (answer.text, len(server.seen)) == ("Whole.", 2)
    server.script += [Ended()]
    half = one(deployed(server, provider, stream=True, retries=0))
    assert (half.text, half.missing) == ("", "no reply: the stream ended before the answer did")


@each_format
def test_a_server_that_only_fails_leaves_every_answer_missing(server: WireServer, provider: str, stream: bool) -> None:
    server.says = lambda _: Status(503, "overloaded")
    system = deployed(server, provider, stream=stream, retries=2)
    found = dict(system.sample(PROMPTS[:2], GREEDY))
    assert [found[number].missing for number in (0, 1)] == [
        "no reply: the server is not able to answer (status 503: overloaded)"
    ] * 2
    assert len(server.seen) == 6


@each_format
def test_a_wrong_key_ends_the_run_and_the_key_is_nowhere(
    server: WireServer, provider: str, stream: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server tells the headers that it got: it did get the key, and no message has it."""
    monkeypatch.setenv("MY_KEY", SECRET)
    server.says = lambda _: Echo(401)
    system = deployed(server, provider, stream=stream, key_env="MY_KEY")
    with pytest.raises(InputError, match="the server refuses the key") as raised:
        list(system.sample(PROMPTS, GREEDY))
    assert SECRET in str(server.seen[0].headers)
    assert SECRET not in str(raised.value)
    assert SECRET not in str(system.spending) + system.identity


@each_format
def test_an_echoed_key_is_taken_out_of_the_answer_and_said(
    server: WireServer, provider: str, stream: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_KEY", SECRET)
    server.says = lambda _: Echo()
    answer = one(deployed(server, provider, stream=stream, key_env="MY_KEY"))
    assert "[key]" in answer.text
    assert answer.missing == "the reply held the key, which was taken out"
    assert SECRET not in answer.model_dump_json()


@pytest.mark.parametrize("provider", ["openai", "anthropic", "gemini"])
def test_no_usual_key_goes_to_a_server_of_ones_own(
    server: WireServer, provider: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "GEMINI_API_KEY", "GOOGLE_API_KEY")
    for name in usual:
        monkeypatch.setenv(name, SECRET)
    one(deployed(server, provider))
    assert SECRET not in str(server.seen)


@pytest.mark.parametrize("provider", ["openai", "anthropic", "gemini"])
def test_a_redirection_is_told_and_never_followed(server: WireServer, provider: str) -> None:
    with wire_server() as elsewhere:
        server.says = lambda seen: Status(307, headers={"Location": elsewhere.url + seen.path})
        with pytest.raises(InputError, match="the server sends us elsewhere"):
            one(deployed(server, provider))
        assert elsewhere.seen == []


@pytest.mark.parametrize("provider", ["openai", "anthropic", "gemini"])
def test_where_nobody_listens_the_connection_fails_and_nothing_was_billed(provider: str) -> None:
    with wire_server() as closed:
        pass
    system = deployed(closed, provider, retries=1)
    assert one(system).missing.startswith("no reply: the connection failed")
    assert (system.spending.requests, system.spending.untold) == (2, 0)


@each_format
def test_no_more_requests_are_under_way_than_allowed_and_not_one_less(
    server: WireServer, provider: str, stream: bool
) -> None:
    server.says = lambda seen: Says(seen.question, delay=0.1)
    found = dict(deployed(server, provider, stream=stream, concurrency=4).sample(PROMPTS, GREEDY))
    assert server.most_at_once == 4
    assert [found[number].text for number in range(12)] == [f"question {number}" for number in range(12)]


def test_questions_are_asked_in_order(server: WireServer) -> None:
    list(deployed(server, concurrency=1).sample(PROMPTS, GREEDY))
    assert [one.question for one in server.seen] == [f"question {number}" for number in range(12)]


def test_equal_prompts_are_different_draws_and_the_same_in_another_run(server: WireServer) -> None:
    for _ in range(2):
        list(deployed(server, concurrency=1).sample([PROMPTS[0]] * 3, WARM))
    seeds = [one.body["seed"] for one in server.seen]
    assert len(set(seeds[:3])) == 3
    assert seeds[:3] == seeds[3:]
    list(deployed(server).sample(PROMPTS[:1], GREEDY))
    assert "seed" not in server.seen[-1].body  # nothing is drawn


def test_what_a_model_refuses_is_left_out_and_that_is_recorded(server: WireServer) -> None:
    answer = one(deployed(server, omit=["temperature", "seed"]), decoding=WARM)
    assert not {"temperature", "seed"} & set(server.seen[0].body)
    assert answer.observed is not None
    assert (answer.observed.request["temperature"], answer.observed.request["seed"]) == (None, None)


def test_a_system_prompt_counts_only_where_the_dialogue_has_none(server: WireServer) -> None:
    own = (Message(role="system", content="own"), *ask("Hi!"))
    list(deployed(server, system_prompt="given", concurrency=1).sample([ask("Hi!"), own], GREEDY))
    assert [one.body["messages"][0]["content"] for one in server.seen] == ["given", "own"]


def test_a_dialogue_that_cannot_be_asked_is_refused_before_anything_is(server: WireServer) -> None:
    late = (*ask("a"), Message(role="system", content="b"), *ask("c"))
    answered = (*ask("a"), Message(role="assistant", content="b"))
    for prompt in (late, answered, (Message(role="system", content="b"),)):
        with pytest.raises(InputError, match="prompt 2: a deployed model is asked by turns"):
            list(deployed(server).sample([ask("Hi!"), prompt], GREEDY))
    assert server.seen == []


def test_the_pace_holds_requests_back(server: WireServer) -> None:
    """One a minute: when the first answer is there, nothing else was asked. Without a pace all are asked at once."""
    for pace, asked in ({"requests_per_minute": 1}, 1), ({"tokens_per_minute": 22}, 1), ({}, 4):
        server.seen.clear()
        server.says = lambda _: Says(delay=0.3)
        answers = deployed(server, **pace).sample(PROMPTS[:4], GREEDY)
        next(answers)
        answers.close()
        assert len(server.seen) == asked


@each_format
def test_a_budget_stops_the_run_with_every_answer_that_was_paid_for(
    server: WireServer, provider: str, stream: bool
) -> None:
    """Each answer takes 18 tokens, and may take 46: 10 bytes, 16 for the turn, 20 for the answer."""
    system = deployed(server, provider, stream=stream, budget_tokens=120, concurrency=3)
    found: list[tuple[int, Any]] = []
    with pytest.raises(RunError, match="the budget of 120 tokens has no room for the next prompt: 90 tokens are spent"):
        found.extend(system.sample(PROMPTS, GREEDY))
    assert sorted(number for number, _ in found) == [0, 1, 2, 3, 4]
    assert len(server.seen) == 5
    assert system.spending.prompt_tokens + system.spending.output_tokens == 90 <= 120
    with pytest.raises(RunError, match="the budget of 120 tokens"):
        list(system.sample(PROMPTS, GREEDY))  # it holds for all that the system is asked
    assert len(server.seen) == 5


def test_a_budget_in_money_is_kept_and_equal_prompts_are_paid_for_together(server: WireServer) -> None:
    price = {"tiny": {"prompt": 1e6, "output": 1e6}}  # a token costs 1
    system = deployed(server, budget_cost=150, prices=price, concurrency=8)
    found: list[tuple[int, Any]] = []
    with pytest.raises(RunError, match="the budget of a cost of 150"):
        found.extend(system.sample([prompt for prompt in PROMPTS for _ in range(3)], GREEDY))
    assert sorted(number for number, _ in found) == [0, 1, 2]  # 54 are spent, and three more may take 138
    assert system.spending.cost_at_most == system.spending.cost_at_least == 54


def test_usage_that_is_not_told_counts_as_all_that_it_can_have_been(server: WireServer) -> None:
    server.says = lambda _: Says(usage=False)
    system = deployed(server, budget_tokens=100, prices={"tiny": {"prompt": 1, "output": 2}}, concurrency=1)
    with pytest.raises(RunError, match="92 tokens are spent"):
        list(system.sample(PROMPTS, GREEDY))
    spending = system.spending
    assert (spending.untold, spending.untold_at_most, spending.output_tokens) == (2, 92, 0)
    assert spending.cost_at_least == 0
    assert spending.cost_at_most == pytest.approx((2 * 26 * 1 + 2 * 20 * 2) / 1e6)


def test_many_failures_in_a_row_stop_the_run_and_a_reply_between_them_does_not(server: WireServer) -> None:
    server.says = lambda _: Status(400, "no")
    system = deployed(server, failures_in_a_row=3, concurrency=1)
    with pytest.raises(
        RunError, match="3 requests in a row brought no reply, the last: the server refuses the request"
    ):
        list(system.sample(PROMPTS, GREEDY))
    assert len(server.seen) == 3
    server.says = lambda seen: Status(400, "no") if seen.question[-1] in "02468" else Says()
    assert len(list(deployed(server, failures_in_a_row=2, concurrency=1).sample(PROMPTS, GREEDY))) == 12


@each_format
def test_whoever_stops_reading_ends_the_requests(server: WireServer, provider: str, stream: bool) -> None:
    def says(seen: Seen) -> Says | Hang:
        return Says() if seen.question == "question 0" else Hang()

    server.says = says
    system = deployed(server, provider, stream=stream, concurrency=3)
    answers = system.sample(PROMPTS, GREEDY)
    assert next(answers)[0] == 0
    answers.close()
    assert "requests" not in [thread.name for thread in threading.enumerate()]
    asked = len(server.seen)
    assert asked < len(PROMPTS)
    assert system.spending.untold == system.spending.requests - 1  # what was given up may have been billed


def test_a_system_that_was_left_can_be_asked_again_with_what_its_budget_still_has(server: WireServer) -> None:
    server.script += [Says(), Hang(), Hang()]
    system = deployed(server, budget_tokens=300, concurrency=3)
    answers = system.sample(PROMPTS, GREEDY)
    next(answers)
    answers.close()
    assert one(system).missing == ""


def test_no_part_of_a_key_stays_where_a_long_message_is_cut(
    server: WireServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_KEY", SECRET)
    system = deployed(server, key_env="MY_KEY", concurrency=1, failures_in_a_row=1000)
    lengths = range(180, 320, 5)
    server.script += [Status(400, f"{'x' * length}{SECRET} is wrong") for length in lengths]
    found = [answer.missing for _, answer in system.sample([ask("a")] * len(lengths), WARM)]
    assert len(found) == len(lengths)
    assert all(SECRET[:6] not in missing for missing in found)
    assert any("[key]" in missing for missing in found)
    assert any("…" in missing for missing in found)


def test_the_identity_holds_what_answers_depend_on_and_not_how_they_are_fetched(server: WireServer) -> None:
    plain = deployed(server).identity
    assert deployed(server, concurrency=2, stream=True, budget_tokens=5, retries=1).identity == plain
    others = [
        deployed(server, omit=["seed"]),
        deployed(server, logprobs=True),
        deployed(server, system_prompt="be brief"),
        deployed(server, base_url="http://127.0.0.1:1/v1"),
    ]
    assert len({plain, *(other.identity for other in others)}) == 5


def test_every_answer_is_kept_as_it_comes_however_slow_its_reader_is(server: WireServer) -> None:
    kept: list[int] = []
    answers = deployed(server).sample(PROMPTS, GREEDY, lambda came: kept.append(came[0]))
    next(answers)  # and then the reader takes its time
    for _ in range(1000):
        if len(kept) == len(PROMPTS):
            break
        server.closing.wait(0.02)
    assert sorted(kept) == list(range(12))
    assert len(list(answers)) == 11


def test_what_cannot_be_kept_stops_the_run_with_the_disks_own_error(server: WireServer) -> None:
    def keep(_came: Any) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left on device"):
        list(deployed(server, concurrency=2).sample(PROMPTS, GREEDY, keep))
    assert len(server.seen) < len(PROMPTS)
