"""Both orders of a pair, a judge that goes by place, and the win rate of known verdicts."""

import json
from collections.abc import Callable
from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.judges.test_asked import PROMPT, Model
from truing.judges.pairwise import (
    PairwiseJudge,
    Preference,
    position_bias,
    preference,
    read_place,
    win_rate,
)

verdicts = st.lists(st.sampled_from(["a", "b", "tie", None]), min_size=1, max_size=30)


def better(first: str) -> Callable[[dict[str, str]], str]:
    """A model that likes the longer answer, if asked to be fair; or always one place."""

    def reply(seen: dict[str, str]) -> str:
        if first != "longer":
            return json.dumps({"better": first})
        one, other = len(seen["first"]), len(seen["second"])
        return json.dumps({"better": "tie" if one == other else "first" if one > other else "second"})

    return reply


def test_a_fair_judge_gives_the_same_verdict_whichever_answer_stands_first() -> None:
    judge = PairwiseJudge(Model(better("longer")), "Which is longer?", "made up")
    rows = [(PROMPT, "aaa", "b"), (PROMPT, "a", "bbb"), (PROMPT, "aa", "bb")]
    assert [one.better for one in judge.compare(rows)] == ["a", "b", "tie"]
    assert [one.better for one in judge.compare([(p, b, a) for p, a, b in rows])] == ["b", "a", "tie"]
    assert position_bias(judge.compare(rows)).first_both == 0


@pytest.mark.parametrize(("place", "first"), [("first", 20), ("second", 0)])
def test_a_judge_that_goes_by_place_gives_ties_and_is_found_out(place: str, first: int) -> None:
    found = PairwiseJudge(Model(better(place)), "Which?", "made up").compare([(PROMPT, "a", "b")] * 20)
    assert {one.better for one in found} == {"tie"}
    bias = position_bias(found)
    assert (bias.first_both, bias.second_both, bias.pairs) == (first, 20 - first, 20)
    assert bias.p == pytest.approx(2 / 2**20)


def test_one_reply_that_is_none_makes_the_pair_unknown() -> None:
    replies = iter(["I prefer the first.", json.dumps({"better": "first"})])
    (found,) = PairwiseJudge(Model(lambda _: next(replies)), "Which?", "made up").compare([(PROMPT, "a", "b")])
    assert found.better is None
    assert position_bias([found]).unknown == 1


@given(st.sampled_from([0, 1, 2, None]), st.sampled_from([0, 1, 2, None]))
def test_exchanging_the_answers_exchanges_the_verdict(first: int | None, second: int | None) -> None:
    other = {"a": "b", "b": "a", "tie": "tie", None: None}
    assert preference(second, first).better == other[preference(first, second).better]


@given(st.text())
def test_no_reply_whatever_is_taken_for_a_place_by_accident(reply: str) -> None:
    assert read_place(reply) is None


def test_a_pair_that_does_not_fit_in_one_order_is_unknown() -> None:
    judge = PairwiseJudge(Model(better("longer")), "Which?", "made up", misfit=lambda *_: "is too long")
    assert [one.better for one in judge.compare([(PROMPT, "a", "b")])] == [None]


def said(better: Literal["a", "b", "tie"] | None) -> Preference:
    return preference(*{"a": (1, 2), "b": (2, 1), "tie": (0, 0), None: (None, 1)}[better])


@settings(max_examples=25, deadline=None)
@given(verdicts)
def test_both_sides_win_rates_make_one(found: list[Literal["a", "b", "tie"] | None]) -> None:
    """Exchanging the systems turns rate and interval around a half, and changes neither ties nor the p-value."""
    other: dict[str | None, Literal["a", "b", "tie"] | None] = {"a": "b", "b": "a", "tie": "tie", None: None}
    ours = win_rate([said(one) for one in found], range(len(found)))
    theirs = win_rate([said(other[one]) for one in found], range(len(found)))
    assert (ours.ties, ours.unknown, ours.p) == (theirs.ties, theirs.unknown, pytest.approx(theirs.p))
    if ours.rate is None:
        assert theirs.rate is None
        return
    assert ours.rate + (theirs.rate or 0.0) == pytest.approx(1)
    assert ours.low is not None
    assert ours.high is not None
    assert 0 <= ours.low <= ours.rate <= ours.high <= 1


def test_a_judge_by_place_gives_exactly_a_half_whoever_is_better() -> None:
    rows = [(PROMPT, "much better", "b")] * 30
    found = win_rate(PairwiseJudge(Model(better("first")), "Which?", "made up").compare(rows), range(30))
    assert (found.rate, found.p, found.wins_a, found.wins_b) == (0.5, 1.0, 0, 0)
    assert found.bias.first_both == 30


def test_a_judge_by_a_coin_finds_no_winner_at_its_level() -> None:
    """The negative control: of 200 such comparisons about 5% are called decided at most."""
    random = np.random.default_rng(0)
    decided = 0
    for _ in range(200):
        replies = random.integers(1, 3, size=(40, 2)).tolist()
        decided += win_rate([preference(*one) for one in replies], range(40)).p < 0.05
    assert decided <= 0.08 * 200


def test_alike_prompts_are_no_new_evidence() -> None:
    """Ten prompts, each ten times: as pairs of their own they would seem to decide it."""
    found = [said("a" if number < 70 else "b") for number in range(100)]
    alone, together = (win_rate(found, groups) for groups in (range(100), [number // 10 for number in range(100)]))
    assert alone.p < 0.001 < together.p
    assert (together.low or 0) < (alone.low or 0)
