"""Rollouts: kept as drawn, scored afresh to the same numbers, groups as trees, ends only where they were drawn."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.train.rlhf import END, PROMPTS, REWARD, ROLLOUT, WANTED, Chat, asked, each, random_adapter, trunk
from truing.core.errors import InputError, RunError
from truing.core.records import Answer, Conversation
from truing.engine.adapters import load_adapter
from truing.engine.score import score_forest
from truing.engine.trunk import Trunk
from truing.train.rollouts import RolloutConfig, Rollouts, draw, prompt_sequences, prompts_of

CHAT: Any = Chat()


def drawn(
    on: Trunk, config: RolloutConfig = ROLLOUT, reward: Any = REWARD, seed: int = 0, iteration: int = 0
) -> Rollouts:
    sequences = prompt_sequences(on, CHAT, PROMPTS, config)
    chosen = list(zip(PROMPTS, sequences, strict=True))[: config.prompts]
    items = draw(on, CHAT, chosen, reward, config, seed, iteration)
    while True:
        try:
            next(items)
        except StopIteration as stop:
            found: Rollouts = stop.value
            return found


@pytest.mark.parametrize(("dtype", "close"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])
def test_log_probabilities_as_drawn_are_those_of_a_fresh_pass(dtype: torch.dtype, close: float, tmp_path: Path) -> None:
    on = trunk(dtype)
    first = load_adapter(on, random_adapter(on, tmp_path), "policy")
    found = drawn(on)
    fresh = score_forest(on, found.forest, None, 0).value
    assert first == 1
    assert found.drawn.dtype == dtype
    assert float((fresh - found.drawn).abs().max()) < close
    bare = score_forest(trunk(dtype), found.forest).value
    assert float((bare - found.drawn).abs().max()) > 1e-2  # of the adapter's policy, no other's


def test_the_end_is_part_of_an_answer_if_and_only_if_it_was_drawn() -> None:
    found = drawn(trunk())
    ended = [one.finished for one in found.answers]
    assert {True, False} <= set(ended)
    for number, answer in enumerate(found.answers):
        tokens = found.forest.ids[found.forest.paths[number]].tolist()
        prompt = CHAT.prompt_ids(PROMPTS[number // found.samples])
        assert tokens == [*prompt, *answer.token_ids, *([END] if answer.finished else [])]
        assert END not in answer.token_ids
        assert found.forest.scored_from[number] == len(prompt)
        assert int(found.lengths[number]) == len(answer.logprobs) == len(tokens) - len(prompt)
        assert answer.finished or len(answer.token_ids) == ROLLOUT.max_new_tokens
        last = found.forest.ids[found.forest.paths[number][-1]]
        assert (last == END) == answer.finished
        assert float(found.drawn[found.last[number]]) == answer.logprobs[-1]


def test_a_group_computes_its_prompt_once() -> None:
    found = drawn(trunk())
    prompts = {tuple(CHAT.prompt_ids(prompt)[: place + 1]) for prompt in PROMPTS[:3] for place in range(9)}
    prefixes = set(prompts)
    for number, answer in enumerate(found.answers):
        whole = (*CHAT.prompt_ids(PROMPTS[number // 4]), *answer.token_ids, *([END] if answer.finished else []))
        prefixes |= {whole[: place + 1] for place in range(len(whole))}
    assert len(found.forest) == len(prefixes)
    assert len(found.forest) < sum(len(path) for path in found.forest.paths)


def test_the_flat_form_and_the_padded_one_say_the_same() -> None:
    found = drawn(trunk())
    padded = found.padded(found.drawn)
    assert torch.equal(found.flat(padded), found.drawn)
    assert torch.allclose(padded.sum(1), found.sums(found.drawn), atol=1e-12)
    for number, answer in enumerate(found.answers):
        assert padded[number, : len(answer.logprobs)].tolist() == list(answer.logprobs)
        assert not padded[number, len(answer.logprobs) :].any()
    chosen = found.of_group([2, 0])
    assert chosen == [8, 9, 10, 11, 0, 1, 2, 3]
    expected = [value for number in chosen for value in found.answers[number].logprobs]
    assert found.drawn[found.places(chosen)].tolist() == expected
    assert found.answer[found.places(chosen)].unique_consecutive().tolist() == chosen


def test_what_is_drawn_depends_on_seed_and_iteration_and_on_nothing_else() -> None:
    def tokens(**options: Any) -> list[tuple[int, ...]]:
        return [one.token_ids for one in drawn(trunk(), **options).answers]

    assert tokens() == tokens()
    assert tokens() != tokens(seed=1)
    assert tokens() != tokens(iteration=1)
    few = RolloutConfig(prompts=1, samples=2, max_new_tokens=6, may_all_be_cut=True)
    assert tokens(config=few) == tokens()[:2]


def test_each_round_asks_every_prompt_once_in_a_new_order() -> None:
    asked_for = [number for iteration in range(10) for number in prompts_of(5, iteration, 3, seed=4)]
    rounds = [asked_for[at : at + 5] for at in range(0, 30, 5)]
    assert all(sorted(one) == list(range(5)) for one in rounds)
    assert len({tuple(one) for one in rounds}) > 1
    assert prompts_of(5, 7, 3, seed=4) == asked_for[21:24]
    assert prompts_of(2, 0, 5, seed=0).count(0) in (2, 3)


def test_scores_are_clipped_and_a_cut_answer_pays() -> None:
    config = ROLLOUT.model_copy(update={"score_clip": 0.5, "missing_end_penalty": 2.0})
    found = drawn(trunk(), config)
    for answer, raw, score in zip(found.answers, found.raw.tolist(), found.scores.tolist(), strict=True):
        assert raw == answer.token_ids.count(WANTED)
        assert score == min(raw, 0.5) - 2.0 * (not answer.finished)


def test_the_reward_is_asked_with_the_prompt_and_the_answer_as_drawn() -> None:
    seen: list[tuple[Conversation, Answer]] = []

    def noting(prompt: Conversation, answer: Answer) -> float:
        seen.append((prompt, answer))
        return 0.0

    found = drawn(trunk(), reward=each(noting))
    assert [prompt for prompt, _ in seen] == [PROMPTS[number // 4] for number in range(12)]
    assert [answer for _, answer in seen] == found.answers
    assert seen[0][1].text == " ".join(map(str, seen[0][1].token_ids))


class Always:
    """One number for every answer, unchecked."""

    version = "1"

    def __init__(self, number: float) -> None:
        self.number = number

    def score(self, rows: Any) -> list[float]:
        return [self.number for _ in rows]


class Short:
    version = "1"

    def score(self, rows: Any) -> list[float]:
        return [0.0] * (len(rows) - 1)


def test_a_reward_that_is_no_number_or_not_one_for_each_stops_with_a_sentence() -> None:
    for bad in (math.nan, math.inf):
        with pytest.raises(RunError, match=rf"the reward gave {bad} for the answer '.*checkpoint is kept"):
            drawn(trunk(), reward=Always(bad))
        with pytest.raises(RunError, match=rf"test returned {bad} for row 1 .*checkpoint is kept"):
            drawn(trunk(), reward=each(lambda _prompt, _answer, bad=bad: bad))
    with pytest.raises(RunError, match=r"test returned None for row 1 .*return a finite number for each row"):
        drawn(trunk(), reward=each(lambda _prompt, _answer: None))
    with pytest.raises(RunError, match="the reward gave 11 scores for 12 answers; it must give one for each"):
        drawn(trunk(), reward=Short())


def test_a_batch_in_which_nothing_ended_stops_unless_that_is_meant() -> None:
    config = RolloutConfig(prompts=2, samples=2, max_new_tokens=1)
    on = trunk()
    on.model.lm_head.weight.data[END] *= 0
    on.model.lm_head.weight.data *= 5
    with pytest.raises(RunError, match=r"iteration 1: none of 4 answers ended within 1 tokens.*raise"):
        drawn(on, config)
    found = drawn(on, config.model_copy(update={"may_all_be_cut": True}))
    assert found.scores.tolist() == (found.raw - 1).tolist()


def test_a_prompt_that_leaves_no_room_is_named_before_anything_is_drawn() -> None:
    prompts = [asked("1 2"), asked("1 " * 252)]
    with pytest.raises(InputError, match=r"prompt 2 takes 252 tokens.* up to 6 .*context of 256"):
        prompt_sequences(trunk(), CHAT, prompts, ROLLOUT)
    with pytest.raises(InputError, match="there are no prompts to train on"):
        prompt_sequences(trunk(), CHAT, [], ROLLOUT)
