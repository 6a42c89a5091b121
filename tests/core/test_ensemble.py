"""Combined rewards, counted by hand, and what must hold whatever the scores."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from truing.core.ensemble import combine

SCORES = np.array([[1.0, -2.0, 5.0], [3.0, -2.0, 1.0]])


def test_mean_worst_and_mean_less_variance() -> None:
    assert combine(SCORES, "mean").tolist() == [2.0, -2.0, 3.0]
    assert combine(SCORES, "min").tolist() == [1.0, -2.0, 1.0]
    assert combine(SCORES, "mean_minus_variance", 0.5).tolist() == [1.5, -2.0, 1.0]


@given(st.lists(st.floats(-100, 100), min_size=1, max_size=8), st.floats(0, 10))
def test_doubt_never_raises_a_reward_and_one_member_or_members_that_agree_have_none(
    values: list[float], weight: float
) -> None:
    members = np.array(values)[:, None]
    assert combine(members, "mean_minus_variance", weight)[0] <= combine(members, "mean")[0]
    assert combine(members, "min")[0] <= combine(members, "mean")[0] + 1e-12
    alike = np.array([values, values])
    for how in ("mean", "min", "mean_minus_variance"):
        assert combine(alike, how, weight) == pytest.approx(np.array(values))
        assert combine(alike[:1], how, weight).tolist() == values
