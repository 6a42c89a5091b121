"""What an evaluation of a deployed model says of itself: sums by hand, times, and names that the server gave."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.providers.deployed import deployed
from tests.providers.server import WireServer, wire_server
from truing.core.records import Answer, Observation
from truing.evals.observed import observations, read_observations, write_observations

NOON = datetime(2026, 11, 30, 12, tzinfo=UTC)


@pytest.fixture
def server() -> Iterator[WireServer]:
    with wire_server() as started:
        yield started


def answer(minute: int, model: str | None = "served", missing: str = "", **observed: Any) -> Answer:
    values: dict[str, Any] = {
        "stop": "stop",
        "replied": True,
        "attempts": 1,
        "prompt_tokens": 10,
        "output_tokens": 4,
        "thinking_tokens": None,
        "request": {},
        **observed,
    }
    seen = Observation(time=NOON + timedelta(minutes=minute), provider="openai", reported_model=model, **values)
    return Answer(text="x", token_ids=(), logprobs=(), finished=True, least_gap=None, observed=seen, missing=missing)


def test_sums_times_and_names_by_hand(server: WireServer, tmp_path: Path) -> None:
    prices = {"tiny": {"prompt": 1.0, "output": 10.0}}
    system = deployed(server, prices=prices, system_prompt="Be brief.")
    answers = [
        answer(9, "newer"),
        answer(3, missing="filtered", attempts=3, thinking_tokens=2),
        answer(5, None, missing="filtered", output_tokens=None),
        answer(7, None, missing="no reply: cut", replied=False, prompt_tokens=None, output_tokens=None),
        answer(8),
    ]
    found = observations(answers, system, NOON + timedelta(minutes=6))
    assert (found.first, found.last) == (NOON + timedelta(minutes=3), NOON + timedelta(minutes=9))
    assert (found.answers, found.earlier, found.requests, found.untold) == (5, 2, 7, 2)
    assert (found.prompt_tokens, found.output_tokens, found.thinking_tokens) == (40, 12, 2)
    assert found.cost == pytest.approx((40 * 1 + 12 * 10) / 1e6)
    assert found.missing == {"filtered": 2, "no reply: cut": 1}
    assert found.reported_models == {"newer": 1, "served": 2, "": 1}  # who did not reply told no name
    assert found.system_prompt == "Be brief."
    assert str(found) == (
        "openai:tiny (reported as served, newer) answered from 2026-11-30T12:03:00Z to 2026-11-30T12:09:00Z"
    )
    write_observations(tmp_path, found)
    assert read_observations(tmp_path) == found


def test_without_a_price_the_cost_is_unknown_and_a_local_answer_is_no_observation(
    server: WireServer, tmp_path: Path
) -> None:
    system = deployed(server)
    assert observations([answer(0)], system, NOON).cost is None
    with pytest.raises(ValueError, match="not observed"):
        observations([answer(0).model_copy(update={"observed": None})], system, NOON)
    assert read_observations(tmp_path) is None
