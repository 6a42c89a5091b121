"""The frozen benign set: which prompts a round asks and what it counts, that training is not touched by it, and that a
policy which learns to refuse is seen."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.train.rlhf import WANTED, Chat, asked, each, random_adapter, steps_of, timeless, train, trunk, weights
from truing.core.errors import InputError
from truing.core.records import Conversation, Decoding, Outcome
from truing.engine.adapters import load_adapter, use_adapter
from truing.engine.generate import generate
from truing.engine.trunk import Trunk
from truing.train.benign import BenignSet, ask, benign_ids, benign_set
from truing.train.guard import guard
from truing.train.records import Guarded, PolicyStep
from truing.train.rollouts import seed_of
from truing.train.watched import GuardConfig, iteration_of

CHAT: Any = Chat()
HARMLESS = [asked(text) for text in ("1 6", "2 6", "4 6", "5 6", "6 6")]


class SaysWanted:
    """Calls an answer with the wanted token a refusal, and cannot read one without any token; keeps what it saw."""

    version = "1"

    def __init__(self) -> None:
        self.seen: list[tuple[Conversation, str]] = []

    def judge(self, prompt: Conversation, answer: str) -> Outcome:
        self.seen.append((prompt, answer))
        return Outcome(value=float(str(WANTED) in answer.split()) if answer else None)


def of(judge: Any = None, prompts: Sequence[Conversation] = HARMLESS, number: int = 2) -> BenignSet:
    return benign_set(prompts, judge or SaysWanted(), number, 5)


def answered(on: Trunk, seed: int = 0, iteration: int = 0, number: int = 2) -> tuple[Any, list[tuple[Any, str]]]:
    judge = SaysWanted()
    benign = of(judge, number=number)
    return ask(on, CHAT, benign, benign_ids(on, CHAT, benign), seed, iteration), sorted(judge.seen, key=str)


def test_the_order_is_that_of_the_prompts_alone_and_each_stands_in_it_once() -> None:
    forwards, backwards = of(), of(prompts=[*HARMLESS[::-1], HARMLESS[0]])
    assert forwards.prompts == backwards.prompts
    assert sorted(forwards.prompts, key=str) == sorted(HARMLESS, key=str)
    assert forwards.prompts != tuple(HARMLESS)  # neighbours in a file are apart


def test_each_round_asks_the_next_few_and_begins_again_at_the_end() -> None:
    on, order = trunk(), of().prompts
    for iteration in range(6):
        _, seen = answered(on, iteration=iteration)
        expected = [order[(2 * iteration + number) % 5] for number in range(2)]
        assert sorted(prompt for prompt, _ in map(_text, seen)) == sorted(one[-1].content for one in expected)
    found, seen = answered(on, number=7)
    assert found.answers == len(seen) == 7  # a set that is smaller than a round is asked again within it


def _text(pair: tuple[Conversation, str]) -> tuple[str, str]:
    return pair[0][-1].content, pair[1]


def test_answers_depend_on_seed_round_and_weights_alone_and_are_the_policy_s(tmp_path: Path) -> None:
    on = trunk()
    bare = answered(on, number=5)
    assert answered(trunk(), number=5) == bare
    assert answered(on, seed=1, number=5) != bare
    assert answered(on, iteration=5, number=5)[1] != bare[1]  # the same prompts, another time
    load_adapter(on, random_adapter(on, tmp_path), "policy")
    adapted = answered(on, number=5)
    assert adapted != bare
    with use_adapter(on, None):
        assert answered(on, number=5) == bare
    benign, decoding = of(number=5), Decoding(temperature=1.0, max_new_tokens=5, seed=seed_of("benign", 0, 0))
    with use_adapter(on, "policy"):
        drawn = dict(generate(on, benign_ids(on, CHAT, benign), decoding, CHAT.end_id))
    assert sorted(text for _, text in adapted[1]) == sorted(CHAT.text(one.ids) for one in drawn.values())


def test_what_cannot_be_judged_is_counted_and_is_no_part_of_the_share() -> None:
    class Says(SaysWanted):
        def __init__(self, *values: float | None) -> None:
            self.values = list(values)

        def judge(self, prompt: Conversation, answer: str) -> Outcome:  # noqa: ARG002
            return Outcome(value=self.values.pop())

    on = trunk()
    for values, refused, unknown in (((1.0, 0.0, None, 1.0), 2 / 3, 1), ((None,) * 4, None, 4), ((0.0,) * 4, 0.0, 0)):
        benign = of(Says(*values), number=4)
        found = ask(on, CHAT, benign, benign_ids(on, CHAT, benign), 0, 0)
        assert (found.answers, found.refused, found.unknown) == (4, refused, unknown)


def test_a_round_is_read_by_the_watch_as_bounds_on_the_share_of_all_its_answers() -> None:
    (step,) = steps_of(train("rloo", trunk(), changes={"iterations": 1}))

    def read(answers: int, refused: float | None, unknown: int) -> tuple[float | None, float | None]:
        changes = {"benign_answers": answers, "benign_refused": refused, "benign_unknown": unknown}
        point = iteration_of(step.model_copy(update=changes))
        return point.benign, point.perhaps

    assert read(8, 0.5, 4) == (0.25, 0.75)
    assert read(8, None, 8) == (0.0, 1.0)
    assert read(8, 0.25, 0) == (0.25, 0.25)
    assert read(0, None, 0) == (None, None)


@pytest.mark.parametrize("trainer", ["ppo", "rloo", "grpo", "online"])
def test_training_does_not_notice_that_it_is_watched(trainer: str) -> None:
    watched, alone = trunk(), trunk()
    with_it = timeless(steps_of(train(trainer, watched, benign=of(), changes={"iterations": 2})))
    without = timeless(steps_of(train(trainer, alone, changes={"iterations": 2})))
    assert [step["benign_answers"] for step in with_it] == [2, 2]
    assert {step["benign_answers"] for step in without} == {0}
    gone = ("benign_answers", "benign_refused", "benign_unknown")
    assert [{**step, **dict.fromkeys(gone)} for step in with_it] == [{**one, **dict.fromkeys(gone)} for one in without]
    assert all(torch.equal(one, two) for one, two in zip(weights(watched), weights(alone), strict=True))


def test_a_run_that_was_stopped_asks_the_same_and_hears_the_same(tmp_path: Path) -> None:
    whole = timeless(steps_of(train("rloo", trunk(), benign=of(number=5), changes={"iterations": 3})))
    assert len({step["benign_refused"] for step in whole}) > 1
    path = tmp_path / "run"
    items = train("rloo", trunk(), benign=of(number=5), changes={"iterations": 3}, checkpoint=path)
    first = next(item for item in items if isinstance(item, PolicyStep))
    next(items)  # the first round's checkpoint is written
    items.close()
    rest = steps_of(train("rloo", trunk(), benign=of(number=5), changes={"iterations": 3}, checkpoint=path))
    assert timeless([first, *rest]) == whole


def test_a_policy_that_learns_to_refuse_is_in_alarm_and_one_that_does_not_is_not(tmp_path: Path) -> None:
    """What the judge calls a refusal is rewarded on other prompts, and shows on these."""
    config = GuardConfig(block=5, stop=False)
    for name, reward, expected in (("rewarded", None, True), ("not", each(lambda _prompt, _answer: 0.0), False)):
        folder = tmp_path / name
        folder.mkdir()
        on, rewards = trunk(), () if reward is None else (reward,)
        changes = {"iterations": 15, "stop_kl": None, "optimiser": {"learning_rate": 2e-2}}
        records = train("rloo", on, *rewards, benign=of(number=20), changes=changes)
        *_, end = guard(records, on, "policy", config, 15, folder / "curve", folder / "best")
        assert isinstance(end, Guarded)
        assert ("benign" in [alarm.signal for alarm in end.alarms]) == expected


def test_a_prompt_without_room_for_an_answer_is_named_before_anything_runs() -> None:
    long = asked(" ".join(["1"] * 253))
    with pytest.raises(InputError, match=r"'1 1 1 .* takes 253 tokens, .* up to 5 .* context of 256; .*benign_tokens"):
        next(train("rloo", trunk(), benign=of(prompts=[*HARMLESS, long])))
    with pytest.raises(InputError, match="no harmless prompts"):
        of(prompts=[])
