"""A pace that no minute exceeds, and a budget that is never exceeded, whatever answers turn out to take."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.providers.conftest import ask
from truing.core.errors import InputError
from truing.core.records import Message
from truing.providers.limits import Budget, Pace, Spending, Tokens, most_tokens
from truing.providers.settings import RemoteConfig

PRICES = {"m": {"prompt": 2.0, "output": 10.0}}


def budget(**values: object) -> Budget:
    return Budget(RemoteConfig.parse(values, "test"), "m")


@given(
    rate=st.floats(1, 600),
    arrivals=st.lists(st.floats(0, 200), max_size=40),
)
def test_no_minute_holds_more_requests_than_the_rate(rate: float, arrivals: list[float]) -> None:
    pace = Pace(rate, None)
    starts = [pace.reserve(now, 1) for now in sorted(arrivals)]
    assert all(start >= now for start, now in zip(starts, sorted(arrivals), strict=True))
    for start in starts:
        assert sum(start <= other < start + 60 - 1e-6 for other in starts) <= math.ceil(rate)


@given(requests=st.lists(st.integers(1, 400), min_size=1, max_size=40))
def test_no_minute_holds_more_tokens_than_the_rate_and_one_request(requests: list[int]) -> None:
    pace = Pace(None, 1000)
    starts = [pace.reserve(0.0, tokens) for tokens in requests]
    for start in starts:
        within = [tokens for other, tokens in zip(starts, requests, strict=True) if start <= other < start + 60 - 1e-6]
        assert sum(within) <= 1000 + within[-1]


def test_without_rates_nothing_waits_and_with_both_the_slower_one_counts() -> None:
    free = Pace(None, None)
    assert [free.reserve(3.0, 10**6) for _ in range(3)] == [3.0, 3.0, 3.0]
    both = Pace(60, 600)  # a second a request, a tenth of a second a token
    assert [both.reserve(0.0, tokens) for tokens in (1, 50, 1)] == [0.0, 1.0, 6.0]


def test_a_pause_is_never_shortened() -> None:
    pace = Pace(None, None)
    pace.hold(9.0)
    pace.hold(4.0)
    assert pace.held_until == 9.0


def test_the_most_that_a_request_can_take_is_its_bytes_its_turns_and_the_limit() -> None:
    assert most_tokens(ask("naïve"), 5) == Tokens(6 + 16, 5)
    two = (Message(role="system", content="ab"), *ask("c"))
    assert most_tokens(two, 5) == Tokens(3 + 32, 5)


@given(seed=st.integers(0, 10**6), limit=st.integers(1, 3000), at_once=st.integers(1, 6))
def test_a_budget_is_never_exceeded_whatever_the_answers_take(seed: int, limit: int, at_once: int) -> None:
    """Answers take at most what was held back for them; some tell no usage, some are not billed."""
    chance = random.Random(seed)
    spent = budget(budget_tokens=limit, budget_cost=limit * 8e-6, prices=PRICES)
    under_way: list[Tokens] = []
    truly = Tokens()
    for _ in range(60):
        most = Tokens(chance.randint(1, 90), chance.randint(1, 90))
        if len(under_way) < at_once and spent.fits(*under_way, most):
            under_way.append(most)
        elif under_way:
            most = under_way.pop(chance.randrange(len(under_way)))
            took = Tokens(chance.randint(0, most.prompt), chance.randint(0, most.output))
            told, billed = chance.random() < 0.6, chance.random() < 0.7
            spent.settle(most, took if told else None, billed)
            truly = truly.plus(took) if told or billed else truly
        assert sum(truly) <= limit
        assert (spent.cost(truly) or 0) <= limit * 8e-6 + 1e-12


def test_a_block_of_requests_fits_as_a_whole_or_not_at_all() -> None:
    spent = budget(budget_tokens=10)
    assert spent.fits(Tokens(3, 2), Tokens(3, 2))
    assert not spent.fits(Tokens(3, 2), Tokens(3, 2), Tokens(0, 1))
    spent.settle(Tokens(3, 2), None, billed=False)
    assert spent.fits(Tokens(5, 5))
    spent.settle(Tokens(3, 2), None)
    assert spent.fits(Tokens(5, 0))
    assert not spent.fits(Tokens(5, 1))


def test_costs_are_by_the_million_and_an_unknown_price_is_no_cost_of_zero() -> None:
    assert budget(prices=PRICES).cost(Tokens(500_000, 100_000)) == pytest.approx(2.0)
    assert budget(prices={"other": PRICES["m"]}).cost(Tokens(1, 1)) is None
    assert budget().fits(Tokens(10**9, 10**9))  # no limit was set
    with pytest.raises(InputError, match="budget_cost needs the price of 'm'; prices are set for other"):
        budget(budget_cost=1.0, prices={"other": PRICES["m"]})


def test_what_was_spent_reads_as_a_line() -> None:
    known = Spending(requests=2, answers=2, prompt_tokens=20, output_tokens=9, cost_at_least=0.5, cost_at_most=0.5)
    assert str(known) == "2 requests, 2 answers, 0 missing; 20 prompt and 9 output tokens; cost 0.5"
    unsure = known.model_copy(update={"untold": 1, "untold_at_most": 40, "cost_at_most": 0.75, "thinking_tokens": 4})
    assert "9 output tokens (4 of them thinking)" in str(unsure)
    assert "of 1 requests no usage was told (at most 40 tokens); cost 0.5 to 0.75" in str(unsure)
    assert str(Spending()).endswith("cost unknown (no price is set)")
