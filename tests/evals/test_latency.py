"""Latency by a made-up clock: a system whose times are known gives these times back."""

from collections.abc import Iterator, Sequence

import pytest

from truing.core.records import Answer, Conversation, Decoding, Message
from truing.evals.latency import Timed, machine, measure, summarised

PROMPTS = [(Message(role="user", content="?" * length),) for length in range(1, 31)]


class Steady:
    """Takes `prefill` seconds a letter of the prompt to the first token and `each` seconds for every further one."""

    def __init__(self, prefill: float, each: float, length: int = 9, missing: str = "") -> None:
        self.prefill, self.each, self.length, self.missing = prefill, each, length, missing
        self.now = 100.0
        self.asked: list[int] = []

    def sample(self, prompts: Sequence[Conversation], decoding: Decoding) -> Iterator[tuple[int, Answer]]:
        assert len(prompts) == 1, "one at a time"
        self.asked.append(decoding.max_new_tokens)
        tokens = min(self.length, decoding.max_new_tokens)
        self.now += self.prefill * len(prompts[0][0].content) + self.each * (tokens - 1)
        ids = tuple(range(tokens))
        yield 0, Answer(text="", token_ids=ids, logprobs=(), finished=False, least_gap=None, missing=self.missing)


def timed(system: Steady, tokens: int = 9) -> list[Timed]:
    return list(measure(system, PROMPTS, tokens, clock=lambda: system.now))


def test_a_steady_systems_times_and_pace_are_found() -> None:
    system = Steady(prefill=0.01, each=0.05)
    found = timed(system)
    assert [one.first for one in found] == pytest.approx([0.01 * len(prompt[0].content) for prompt in PROMPTS])
    assert [one.pace for one in found] == pytest.approx([20.0] * 30)
    assert system.asked == [1] + [1, 9] * 30, "one is asked beforehand and not counted"
    first = summarised(found, lambda one: one.first)["p50"]
    assert first.value == pytest.approx(0.155)
    assert (first.low, first.high) == (pytest.approx(0.1), pytest.approx(0.21))


def test_an_answer_of_one_token_has_no_pace_and_a_missing_one_no_time() -> None:
    assert {one.pace for one in timed(Steady(0.01, 0.05, length=1))} == {None}
    missing = timed(Steady(0.01, 0.05, missing="the filter"))
    assert {one.pace for one in missing} == {None}
    assert summarised(missing, lambda one: one.first)["p95"].value is None


def test_few_prompts_do_not_bound_p95() -> None:
    found = timed(Steady(0.01, 0.05))
    assert summarised(found, lambda one: one.whole)["p95"].high is None


def test_the_machine_is_named() -> None:
    found = machine("cpu", 2)
    assert (found.device, found.threads) == ("cpu", 2)
    assert found.system
    assert found.cores >= 1
