"""An old answer is never handed out as one of now; a killed run pays for no answer twice; no draw is drawn again."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta

import pytest

from tests.providers.conftest import Stopped, ask
from truing.core.protocols import MemoryStore, Sampler
from truing.core.records import Answer, Conversation, Decoding, Observation
from truing.providers.observed import Observed

NOON = datetime(2026, 11, 30, 12, tzinfo=UTC)
GREEDY, WARM = Decoding(), Decoding(temperature=1.0, seed=3)
PROMPTS = [ask(text) for text in ("a", "b", "a")]


class Served:
    """A deployed model whose answers tell the time, the seed, and which equal prompt they are for."""

    def __init__(self, time: datetime, stops_after: int | None = None, replied: bool = True) -> None:
        self.time, self.stops_after, self.replied = time, stops_after, replied
        self.asked: list[str] = []

    def sample(
        self, prompts: Sequence[Conversation], decoding: Decoding, keep: Callable[[tuple[int, Answer]], None], /
    ) -> Iterator[tuple[int, Answer]]:
        for number, prompt in enumerate(prompts):
            if len(self.asked) == self.stops_after:
                raise Stopped
            self.asked.append(prompt[-1].content)
            draw = sum(earlier == prompt for earlier in prompts[:number])
            observed = Observation(
                time=self.time,
                provider="openai",
                reported_model="served",
                stop="stop",
                replied=self.replied,
                attempts=1,
                prompt_tokens=1,
                output_tokens=1,
                thinking_tokens=None,
                request={"seed": decoding.seed},
            )
            text = f"{prompt[-1].content} {self.time:%H:%M} {decoding.seed} {draw}"
            answer = Answer(
                text=text,
                token_ids=(),
                logprobs=(),
                finished=True,
                least_gap=None,
                observed=observed,
                missing="" if self.replied else "no reply",
            )
            keep((number, answer))
            yield number, answer


def read(system: Served, store: MemoryStore, since: datetime, decoding: Decoding = GREEDY) -> dict[int, Answer]:
    sampler: Sampler = Observed(system, "one", store, since)
    return dict(sampler.sample(PROMPTS, decoding))


def test_an_older_answer_is_asked_for_anew_and_then_the_newer_one_is_kept() -> None:
    store, later, never = MemoryStore(), Served(NOON + timedelta(hours=1)), Served(NOON, stops_after=0)
    read(Served(NOON), store, NOON)
    assert read(never, store, NOON)[0].text == "a 12:00 0 0"  # the negative control: within the named time it is kept
    found = read(later, store, NOON + timedelta(minutes=1))
    assert len(later.asked) == 3
    assert {answer.observed.time for answer in found.values() if answer.observed} == {NOON + timedelta(hours=1)}
    assert read(never, store, NOON)[0].text == "a 13:00 0 0"


@pytest.mark.parametrize("killed_after", range(4))
def test_a_killed_run_goes_on_with_what_is_missing_and_every_draw_is_its_own(killed_after: int) -> None:
    store, rest = MemoryStore(), Served(NOON)
    with contextlib.suppress(Stopped):
        read(Served(NOON, stops_after=killed_after), store, NOON, WARM)
    found = read(rest, store, NOON, WARM)
    assert len(rest.asked) == 3 - killed_after
    assert len({answer.text for answer in found.values()}) == 3


def test_what_was_not_answered_is_not_kept() -> None:
    store, again = MemoryStore(), Served(NOON)
    assert read(Served(NOON, replied=False), store, NOON)[0].missing == "no reply"
    read(again, store, NOON)
    assert len(again.asked) == 3


def test_another_identity_or_decoding_is_another_answer() -> None:
    store, other, warm = MemoryStore(), Served(NOON), Served(NOON)
    read(Served(NOON), store, NOON)
    list(Observed(other, "two", store, NOON).sample(PROMPTS, GREEDY))
    read(warm, store, NOON, WARM)
    assert (len(other.asked), len(warm.asked)) == (3, 3)


def test_a_time_without_a_zone_is_no_time() -> None:
    with pytest.raises(ValueError, match="needs a time zone"):
        Observed(Served(NOON), "one", MemoryStore(), datetime(2026, 11, 30))


def test_what_was_handed_out_is_known_once_with_its_prompt_whether_kept_or_not() -> None:
    store, system = MemoryStore(), Served(NOON)
    first = Observed(system, "one", store, NOON)
    list(first.sample(PROMPTS[:1], GREEDY))
    second = Observed(system, "one", store, NOON)
    for _ in range(2):  # two tasks with equal questions ask once
        list(second.sample(PROMPTS, GREEDY))
    assert [prompt for prompt, _ in second.given.values()] == PROMPTS
    assert [answer.text for _, answer in second.given.values()] == ["a 12:00 0 0", "b 12:00 0 0", "a 12:00 1000003 0"]
    assert len(system.asked) == 3
