"""Best of n: the answer with the most reward is the best, whatever order they finish in, and nothing is drawn twice."""

import random
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from truing.core.errors import InputError
from truing.core.records import Answer, Conversation, Decoding, Message, Observation, Progress
from truing.judges.rewards import FunctionReward, SumReward
from truing.loops.best_of import Sampled, SampleFile, best_of, keys_of

DECODING = Decoding(temperature=1.0, max_new_tokens=4)


def prompt(text: str) -> Conversation:
    return (Message(role="user", content=text),)


PROMPTS = [prompt("one"), prompt("two"), prompt("three")]


class Scripted:
    """Answers with its prompt and the number of the draw, in a shuffled order; can be killed after some answers."""

    def __init__(self, until: int | None = None) -> None:
        self.until, self.asked = until, 0

    def sample(self, prompts: Sequence[Conversation], decoding: Decoding) -> Iterator[tuple[int, Answer]]:
        assert decoding == DECODING
        order = list(range(len(prompts)))
        random.Random(0).shuffle(order)
        for place in order:
            if self.asked == self.until:
                raise KeyboardInterrupt
            self.asked += 1
            draw = sum(earlier == prompts[place] for earlier in prompts[:place])
            text = f"{prompts[place][-1].content} {draw}"
            yield place, Answer(text=text, token_ids=(1, 2), logprobs=(-1.0, -0.5), finished=draw > 0, least_gap=1.0)


class Served:
    """A deployed model: of the second draw of every prompt, and of all draws of "two", there is no whole answer."""

    def __init__(self, replied: bool = True) -> None:
        self.replied = replied

    def sample(self, prompts: Sequence[Conversation], decoding: Decoding) -> Iterator[tuple[int, Answer]]:
        assert decoding == DECODING
        for place, prompt in enumerate(prompts):
            draw = sum(earlier == prompt for earlier in prompts[:place])
            missing = "the filter" if draw == 1 or prompt[-1].content == "two" else ""
            observed = Observation(
                time=datetime(2026, 11, 30, tzinfo=UTC),
                provider="openai",
                reported_model="served",
                stop="stop",
                replied=self.replied or not missing,
                attempts=1,
                prompt_tokens=3,
                output_tokens=None if missing else 9,
                thinking_tokens=None if draw == 0 else 4,
                request={},
            )
            yield (
                place,
                Answer(
                    text=f"{draw}",
                    token_ids=(),
                    logprobs=(-1.0,) if draw == 2 else (),
                    finished=None,
                    least_gap=None,
                    observed=observed,
                    missing=missing,
                ),
            )


def nearest(two: int) -> FunctionReward:
    """The draw with this number has the most reward."""
    return FunctionReward(lambda rows: [-abs(int(a.text[-1]) - two) for _, a in rows], "nearest", f"{two}")


def run(
    system: Scripted | Served, reward: FunctionReward | SumReward, prompts: Sequence[Conversation], n: int
) -> list[Sampled]:
    keys = keys_of(prompts, "system", reward, n, DECODING)
    return [one for one in best_of(system, reward, prompts, keys, n, DECODING) if isinstance(one, Sampled)]


def test_each_prompt_keeps_all_its_draws_in_order_and_names_the_best() -> None:
    found = {one.prompt: one for one in run(Scripted(), nearest(2), PROMPTS, 4)}
    assert set(found) == set(PROMPTS)
    for asked, one in found.items():
        assert [c.answer for c in one.candidates] == [f"{asked[-1].content} {draw}" for draw in range(4)]
        assert [c.reward for c in one.candidates] == [-2, -1, 0, -1]
        assert one.best == 2
        assert [c.finished for c in one.candidates] == [False, True, True, True]
        assert {(c.tokens, c.logprob) for c in one.candidates} == {(2, -1.5)}


def test_of_equal_rewards_the_first_draw_is_the_best_and_one_answer_is_its_own_best() -> None:
    equal = FunctionReward(lambda rows: [1.0] * len(rows), "equal", "1")
    assert [one.best for one in run(Scripted(), equal, PROMPTS, 3)] == [0, 0, 0]
    assert [one.best for one in run(Scripted(), equal, PROMPTS, 1)] == [0, 0, 0]


def test_the_parts_of_a_sum_are_kept_with_each_answer() -> None:
    reward = SumReward({"near": (1.0, nearest(1)), "far": (-2.0, nearest(0))})
    (one,) = run(Scripted(), reward, PROMPTS[:1], 3)
    assert [c.parts for c in one.candidates] == [
        {"near": -1, "far": 0},
        {"near": 0, "far": -1},
        {"near": -1, "far": -2},
    ]
    assert [c.reward for c in one.candidates] == [-1, 2, 3]


def test_a_missing_answer_has_no_reward_and_is_never_the_best() -> None:
    """The reward would have liked it best; no function is asked about it."""
    first, none, third = run(Served(), nearest(1), PROMPTS, 3)
    assert [c.reward for c in first.candidates] == [-1, None, -1]
    assert (first.best, first.rewards) == (0, [-1, -1])
    assert [c.missing for c in first.candidates] == ["", "the filter", ""]
    assert (none.best, none.rewards) == (None, [])
    assert third.best == 0


def test_what_a_deployed_model_did_not_tell_is_unknown() -> None:
    (one,) = run(Served(), nearest(0), PROMPTS[:1], 3)
    assert [c.tokens for c in one.candidates] == [9, None, 5]  # without thinking, where that is told apart
    assert [c.logprob for c in one.candidates] == [None, None, -1.0]
    assert [c.finished for c in one.candidates] == [None, None, None]
    assert all(c.observed is not None for c in one.candidates)


def test_the_parts_of_a_sum_stand_with_the_answers_that_are_there() -> None:
    reward = SumReward({"near": (1.0, nearest(1)), "far": (-2.0, nearest(0))})
    (one,) = run(Served(), reward, PROMPTS[:1], 3)
    assert [c.parts for c in one.candidates] == [{"near": -1, "far": 0}, {}, {"near": -1, "far": -2}]


@pytest.mark.parametrize("replied", [True, False])
def test_only_a_prompt_without_any_reply_is_sampled_again(tmp_path: Path, replied: bool) -> None:
    """What a filter stopped was answered; what never came was not, and a later line takes its place."""
    path, keys = tmp_path / "out.jsonl", keys_of(PROMPTS[:1], "system", nearest(2), 2, DECODING)
    (one,) = run(Served(replied), nearest(2), PROMPTS[:1], 2)
    SampleFile(path, keys).add(one)
    assert (keys[0] in SampleFile(path, keys).kept) is replied
    (better,) = run(Scripted(), nearest(2), PROMPTS[:1], 2)
    SampleFile(path, keys).add(better)
    assert SampleFile(path, keys).kept == {keys[0]: better}


def test_progress_counts_every_answer() -> None:
    keys = keys_of(PROMPTS, "system", nearest(0), 2, DECODING)
    records = list(best_of(Scripted(), nearest(0), PROMPTS, keys, 2, DECODING))
    assert [(r.done, r.total) for r in records if isinstance(r, Progress)] == [(done, 6) for done in range(1, 7)]


def test_without_randomness_more_than_one_answer_is_refused() -> None:
    greedy = Decoding(temperature=0.0)
    with pytest.raises(InputError, match="at temperature 0 all 2 answers to a prompt are the same"):
        next(best_of(Scripted(), nearest(0), PROMPTS, ["a", "b", "c"], 2, greedy))
    with pytest.raises(ValueError, match="a prompt stands twice"):
        next(best_of(Scripted(), nearest(0), PROMPTS * 2, ["a"] * 6, 2, DECODING))


def test_a_killed_run_goes_on_and_ends_as_one_that_was_not_killed(tmp_path: Path) -> None:
    whole = {one.key: one for one in run(Scripted(), nearest(2), PROMPTS, 4)}
    keys = keys_of(PROMPTS, "system", nearest(2), 4, DECODING)
    for until in range(13):
        path = tmp_path / f"{until}.jsonl"
        for attempt in range(2):
            file = SampleFile(path, keys)
            left = [number for number, key in enumerate(keys) if key not in file.kept]
            system = Scripted(until if attempt == 0 else None)
            asked = [PROMPTS[number] for number in left]
            try:
                for one in best_of(system, nearest(2), asked, [keys[number] for number in left], 4, DECODING):
                    if isinstance(one, Sampled):
                        file.add(one)
            except KeyboardInterrupt:
                assert attempt == 0
            if attempt == 1:
                assert system.asked == 4 * len(left)  # what was kept is not drawn again
        assert SampleFile(path, keys).kept == whole


def test_a_line_that_was_cut_is_taken_away_and_done_again(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    keys = keys_of(PROMPTS, "system", nearest(2), 2, DECODING)
    file = SampleFile(path, keys)
    for one in run(Scripted(), nearest(2), PROMPTS, 2):
        file.add(one)
    content = path.read_bytes()
    path.write_bytes(content[:-5])
    again = SampleFile(path, keys)
    assert len(again.kept) == 2
    assert path.read_bytes() == content[: content[:-1].rfind(b"\n") + 1]


def test_every_setting_is_part_of_the_key() -> None:
    def key(**changes: object) -> str:
        settings = {"identity": "system", "reward": nearest(2), "n": 4, "decoding": DECODING, **changes}
        return keys_of([prompt("one")], **settings)[0]  # type: ignore[arg-type]

    others = {
        "identity": "another",
        "reward": nearest(1),
        "n": 5,
        "decoding": DECODING.model_copy(update={"seed": 1}),
    }
    assert len({key(), *(key(**{name: value}) for name, value in others.items())}) == 5


def test_a_file_of_other_settings_or_of_something_else_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    file = SampleFile(path, keys_of(PROMPTS, "system", nearest(2), 2, DECODING))
    for one in run(Scripted(), nearest(2), PROMPTS, 2):
        file.add(one)
    before = path.read_bytes()
    with pytest.raises(
        InputError, match=r"out\.jsonl, line 1: made from another prompt, model, reward or setting; choose"
    ):
        SampleFile(path, keys_of(PROMPTS, "another", nearest(2), 2, DECODING))
    assert path.read_bytes() == before
    path.write_text('{"prompt": "a"}\n')
    with pytest.raises(InputError, match=r"out\.jsonl, line 1: not written by `truing sample`"):
        SampleFile(path, ["a"])
    with pytest.raises(InputError, match="there is no folder"):
        SampleFile(tmp_path / "absent" / "out.jsonl", ["a"])
    with pytest.raises(InputError, match="cannot be read"):
        SampleFile(tmp_path, ["a"])
