"""Kept answers equal fresh ones, are asked for once, outlive a killed run, and are never another system's."""

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.providers.conftest import Scripted, Stopped, ask
from truing.core.protocols import MemoryStore, Sampler, Scorer, Store
from truing.core.records import Answer, Conversation, Decoding, Message
from truing.engine.trunk import Trunk
from truing.providers.local import LocalSystem
from truing.providers.stored import Stored, StoredReward

GREEDY, WARM = Decoding(), Decoding(temperature=1.0, seed=3)
PROMPTS = [ask(text) for text in ("a", "b", "c", "a", "d")]
ROWS = [(ask("a"), "yes"), (ask("b"), "no"), (ask("a"), "")]


def stored(system: Scripted, store: Store, identity: str = "one") -> Stored:
    return Stored(system, system, identity, store)


def texts(answers: Iterator[tuple[int, Any]]) -> dict[int, str]:
    """Each prompt's answer; no prompt may be answered twice."""
    found = list(answers)
    assert len({number for number, _ in found}) == len(found)
    return {number: answer.text for number, answer in found}


def test_it_is_a_sampler_and_a_scorer() -> None:
    system = stored(Scripted(), MemoryStore())
    sampler: Sampler = system
    scorer: Scorer = system
    assert list(sampler.sample([], GREEDY)) == []
    assert list(scorer.score([])) == []


@pytest.mark.parametrize("decoding", [GREEDY, WARM])
def test_a_second_run_gives_the_same_and_asks_for_nothing(decoding: Decoding) -> None:
    store, bare, again = MemoryStore(), Scripted(), Scripted()
    first = dict(stored(Scripted(), store).sample(PROMPTS, decoding))
    assert first == dict(bare.sample(PROMPTS, decoding))
    assert dict(stored(again, store).sample(PROMPTS, decoding)) == first
    assert again.asked == []
    scores = dict(stored(Scripted(), store).score(ROWS))
    assert scores == dict(bare.score(ROWS))
    assert dict(stored(again, store).score(ROWS)) == scores
    assert again.scored == []


@pytest.mark.parametrize("decoding", [GREEDY, WARM])
@pytest.mark.parametrize("killed_after", range(6))
def test_a_killed_run_goes_on_with_what_is_missing(decoding: Decoding, killed_after: int) -> None:
    """A missing one of two equal prompts is drawn beside its twin, so that it gets its own draw."""
    store, rest = MemoryStore(), Scripted()
    kept: dict[int, str] = {}
    try:
        for number, answer in stored(Scripted(stops_after=killed_after), store).sample(PROMPTS, decoding):
            kept[number] = answer.text
    except Stopped:
        assert len(kept) == killed_after
    whole = texts(stored(rest, store).sample(PROMPTS, decoding))
    assert whole == texts(Scripted().sample(PROMPTS, decoding))
    assert kept.items() <= whole.items()
    missing = {PROMPTS[number][-1].content for number in range(5) if number not in kept}
    assert rest.asked == [prompt[-1].content for prompt in PROMPTS if prompt[-1].content in missing]


def test_an_answer_is_kept_before_it_is_handed_on() -> None:
    """So a reader that dies while it looks at an answer loses none."""
    store, rest = MemoryStore(), Scripted()
    answers = stored(Scripted(), store).sample(PROMPTS, GREEDY)
    next(answers)
    del answers
    list(stored(rest, store).sample(PROMPTS, GREEDY))
    assert rest.asked == ["a", "b", "c", "a"]


@given(
    before=st.lists(st.sampled_from("abc"), max_size=6),
    after=st.lists(st.sampled_from("abc"), max_size=6),
    killed_after=st.integers(0, 6),
)
def test_whatever_was_kept_results_equal_the_bare_systems(
    before: list[str], after: list[str], killed_after: int
) -> None:
    store = MemoryStore()
    try:
        list(stored(Scripted(stops_after=killed_after), store).sample([ask(text) for text in before], WARM))
    except Stopped:
        assert killed_after < len(before)
    prompts = [ask(text) for text in after]
    assert texts(stored(Scripted(), store).sample(prompts, WARM)) == texts(Scripted().sample(prompts, WARM))


@pytest.mark.parametrize(
    "decoding",
    [Decoding(seed=1), Decoding(temperature=1.0), Decoding(max_new_tokens=3)],
    ids=["seed", "temperature", "max_new_tokens"],
)
def test_the_decoding_is_part_of_the_key(decoding: Decoding) -> None:
    store, other = MemoryStore(), Scripted()
    list(stored(Scripted(), store).sample(PROMPTS, GREEDY))
    assert texts(stored(other, store).sample(PROMPTS, decoding)) == texts(Scripted().sample(PROMPTS, decoding))
    assert len(other.asked) == len(PROMPTS)


def test_the_identity_is_part_of_the_key_so_no_system_reads_anothers_results() -> None:
    store = MemoryStore()
    other = Scripted(answer="other {}".format, score=lambda *_: [0.0])
    list(stored(Scripted(), store).sample(PROMPTS, GREEDY))
    list(stored(Scripted(), store).score(ROWS))
    kept = stored(other, store, identity="two")
    assert texts(kept.sample(PROMPTS, GREEDY))[1] == "other b"
    assert dict(kept.score(ROWS)) == {0: [0.0], 1: [0.0], 2: [0.0]}
    wrongly = stored(other, store, identity="one")  # the negative control: under the first one's name
    assert texts(wrongly.sample(PROMPTS, GREEDY))[1] == "answer to b"


def test_the_whole_dialogue_is_part_of_the_key() -> None:
    store, system = MemoryStore(), Scripted()
    question = Message(role="user", content="a")
    for before in ((), (Message(role="system", content="s"),), (Message(role="system", content="t"),)):
        list(stored(system, store).sample([(*before, question)], GREEDY))
        list(stored(system, store).score([((*before, question), "yes")]))
    assert (len(system.asked), len(system.scored)) == (3, 3)


def test_equal_prompts_are_different_draws() -> None:
    store, more = MemoryStore(), Scripted()
    one = texts(stored(Scripted(), store).sample([ask("a")], WARM))
    three = texts(stored(more, store).sample([ask("a")] * 3, WARM))
    assert three[0] == one[0]
    assert len(set(three.values())) == 3


def test_a_killed_scoring_keeps_no_half_of_a_batch() -> None:
    store, rest = MemoryStore(), Scripted()
    with pytest.raises(Stopped):
        list(stored(Scripted(stops_after=2), store).score(ROWS))
    assert dict(stored(rest, store).score(ROWS)) == dict(Scripted().score(ROWS))
    assert len(rest.scored) == 3


def test_another_order_of_rows_is_another_batch() -> None:
    store = MemoryStore()
    list(stored(Scripted(), store).score(ROWS))
    assert dict(stored(Scripted(), store).score(ROWS[::-1])) == dict(Scripted().score(ROWS[::-1]))


def test_the_real_model_stored_is_the_real_model(real_trunk: Trunk) -> None:
    """Text, log-probabilities and all: JSON keeps every bit of a float."""
    system, store = LocalSystem(real_trunk), MemoryStore()
    prompts, decoding = [ask("Hi!"), ask("What is two plus two?")], Decoding(max_new_tokens=6)
    fresh = dict(Stored(system, system, "bare", store).sample(prompts, decoding))
    nothing = Scripted(stops_after=0)
    assert (
        dict(stored(nothing, store, "bare").sample(prompts, decoding))
        == fresh
        == dict(system.sample(prompts, decoding))
    )
    assert nothing.asked == []


class Counted:
    """A reward of an answer's length that notes how often it was asked."""

    def __init__(self, version: str) -> None:
        self.version, self.asked = version, 0

    def score(self, rows: Sequence[tuple[Conversation, Answer]]) -> list[float]:
        self.asked += 1
        return [len(answer.text) / 3 for _, answer in rows]


def test_kept_rewards_are_those_of_the_same_reward_and_answers() -> None:
    store, reward, other = MemoryStore(), Counted("one"), Counted("two")
    answers = [(ask(text), answer) for text in "ab" for _, answer in Scripted().sample([ask(text)], WARM)]
    first = StoredReward(reward, store).score(answers)
    assert first == reward.score(answers)
    assert StoredReward(reward, store).score(answers) == first
    assert reward.asked == 2
    assert StoredReward(reward, store).version == "one"
    StoredReward(reward, store).score(answers[:1])
    StoredReward(other, store).score(answers)
    assert (reward.asked, other.asked) == (3, 1)
