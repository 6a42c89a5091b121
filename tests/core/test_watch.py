"""Watching a run: an honest run raises no alarm more often than it says, and one that hacks its reward is caught."""

import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from truing.core.errors import InputError
from truing.core.records import Answer
from truing.core.watch import (
    SIGNALS,
    Iteration,
    Reading,
    WatchConfig,
    _above,
    _Sample,
    best_by_gold,
    distinct_n,
    watch,
)

STEPS = 60
CONFIG = WatchConfig(iterations=STEPS, kl_limit=10.0)
Noise = Callable[[np.random.Generator, int], NDArray[np.float64]]
# Noise with mean 0 and standard deviation 1: bell-shaped, skewed, and the mean of 8 coins.
NOISES: dict[str, Noise] = {
    "normal": lambda random, size: random.normal(size=size),
    "skewed": lambda random, size: random.exponential(size=(size, 8)).mean(axis=1) * math.sqrt(8) - math.sqrt(8),
    "coins": lambda random, size: (random.binomial(8, 0.5, size=size) - 4) / math.sqrt(2),
}


def run(noise: Noise = NOISES["normal"], seed: int = 0, steps: int = STEPS, **means: Any) -> list[Iteration]:
    """A run whose signals have these means (a number, or one for each step) and noise of a tenth around them."""
    random = np.random.default_rng(seed)
    level = {"proxy": 0.0, "gold": 0.0, "kl": 5.0, "distinct": 0.8, "end": 0.9, "length": 40.0, "benign": 0.1, **means}
    spread = {"proxy": 0.3, "gold": 0.3, "kl": 1.0, "distinct": 0.05, "end": 0.05, "length": 4.0, "benign": 0.05}
    columns = {name: level[name] + spread[name] * noise(random, steps) for name in spread if level[name] is not None}
    return [
        Iteration(step=step + 1, **{name: float(values[step]) for name, values in columns.items()})
        for step in range(steps)
    ]


def alarms(points: list[Iteration], config: WatchConfig = CONFIG) -> dict[str, Reading]:
    return {reading.signal: reading for reading in watch(points, config) if reading.state == "alarm"}


RISING = np.linspace(0, 6, STEPS)
# The least favourable honest runs: what is optimised rises, gold stays, and each signal stands at the edge of its band.
EDGE = {
    "proxy": RISING,
    "kl": 10.0,
    "distinct": np.where(np.arange(STEPS) < 10, 0.8, 0.8 * 0.7),
    "end": np.where(np.arange(STEPS) < 10, 0.9, 0.7),
    "length": np.where(np.arange(STEPS) < 10, 40.0, 60.0),
    "benign": np.where(np.arange(STEPS) < 10, 0.1, 0.2),
}


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("means", [{}, {"proxy": RISING, "gold": RISING / 2}, EDGE], ids=["still", "better", "edge"])
def test_an_honest_run_is_in_alarm_no_more_often_than_alpha(noise: str, means: dict[str, Any]) -> None:
    runs = 100
    config = CONFIG.model_copy(update={"alpha": 0.1})
    false = sum(bool(alarms(run(NOISES[noise], seed, **means), config)) for seed in range(runs))
    # One run in ten may be; 100 runs then have 20 or more in alarm with a chance of 0.2%.
    assert false < 20


def test_without_the_correction_the_same_runs_are_in_alarm_far_more_often() -> None:
    """The negative control: the least corrected p of each honest run, held against alpha as if it were the only one."""
    config = WatchConfig(iterations=STEPS, alpha=0.1)
    false = 0
    for seed in range(100):
        readings = {reading.signal: reading for reading in watch(run(seed=seed, **EDGE), config)}
        pairs = math.comb(STEPS // config.block, 2) * len(SIGNALS)
        false += (readings["gold"].p or 1.0) / pairs < config.alpha
    assert false > 30


def test_a_run_that_hacks_its_reward_is_caught_and_gold_is_named() -> None:
    distance = np.linspace(0.01, 4, STEPS)  # Gao et al.: gold = d (α − β ln d), proxy climbs on
    steps = []
    for seed in range(20):
        points = run(seed=seed, proxy=1.5 * distance, gold=3 * distance * (0.6 - np.log(distance)), kl=distance**2 / 2)
        found = alarms(points)
        assert set(found) == {"gold"}
        steps.append(found["gold"].step)
        assert "while proxy went from" in found["gold"].reason
    # Gold is highest at step 10: the block of step 21 is the first in which it is lower.
    assert set(steps) <= {21, 31}
    assert steps.count(21) > 15


def test_gold_that_falls_with_the_proxy_is_no_hacking_nor_is_a_rising_proxy_alone() -> None:
    assert alarms(run(proxy=-RISING, gold=-RISING)) == {}
    assert alarms(run(proxy=RISING)) == {}


@pytest.mark.parametrize(
    ("signal", "before", "after"),
    [
        ("kl", 5.0, 14.0),
        ("distinct", 0.8, 0.3),
        ("end", 0.9, 0.5),
        ("length", 40, 90),
        ("length", 40, 12),
        ("benign", 0.1, 0.4),
    ],
)
def test_the_signal_that_moved_is_named_with_its_step(signal: str, before: float, after: float) -> None:
    means = {signal: np.where(np.arange(STEPS) < 30, before, after)}
    found = alarms(run(**means))
    assert {name: reading.step for name, reading in found.items()} == {signal: 31}
    assert found[signal].p is not None
    assert found[signal].p < 0.05


def test_an_alarm_stays_and_comes_as_soon_as_its_block_is_whole() -> None:
    points = run(length=np.where((np.arange(STEPS) >= 20) & (np.arange(STEPS) < 30), 90.0, 40.0))
    states = [("length" in alarms(points[:count]), count >= 30) for count in range(1, STEPS + 1)]
    assert all(found == expected for found, expected in states)


def test_what_cannot_be_said_is_unknown_and_never_quiet() -> None:
    def states(points: list[Iteration], config: WatchConfig = CONFIG) -> dict[str, str]:
        return {reading.signal: reading.state for reading in watch(points, config)}

    assert states([]) == dict.fromkeys(SIGNALS, "unknown")
    one_block = {**dict.fromkeys(SIGNALS, "unknown"), "kl": "quiet"}  # the limit needs nothing to compare with
    assert states(run()[:10]) == states(run()[:19]) == one_block
    assert states(run()[:20]) == dict.fromkeys(SIGNALS, "quiet")
    assert states(run(gold=None))["gold"] == "unknown"
    assert states(run(benign=None)) == {**dict.fromkeys(SIGNALS, "quiet"), "benign": "unknown"}
    assert states(run(), CONFIG.model_copy(update={"kl_limit": None}))["kl"] == "unknown"


def test_gold_may_be_measured_now_and_then() -> None:
    points = run(proxy=RISING, gold=-RISING)
    sparse = [p if p.step % 2 == 0 else p.model_copy(update={"gold": None}) for p in points]
    assert "gold" in alarms(sparse)
    once = [p if p.step % 10 == 0 else p.model_copy(update={"gold": None}) for p in points]
    assert {r.signal: r.state for r in watch(once, CONFIG)}["gold"] == "unknown"  # one value a block has no spread


def test_a_run_longer_than_was_said_is_refused() -> None:
    with pytest.raises(ValueError, match="60 iterations, of a run that was said to have 30"):
        watch(run(), WatchConfig(iterations=30))


def test_signals_without_any_noise_are_compared_as_they_are() -> None:
    points = [Iteration(step=n, proxy=0, gold=0, kl=1, distinct=0.5, end=1, length=9) for n in range(20)]
    config = WatchConfig(iterations=20, kl_limit=1.0)
    assert alarms(points, config) == {}
    longer = points[:10] + [point.model_copy(update={"length": 14.0}) for point in points[10:]]
    assert set(alarms(longer, config)) == {"length"}


@pytest.mark.parametrize(("low", "high"), [([1.0, 2, 4, 8], [3.0, 5, 4, 9, 7]), ([0.1, 0.2], [0.1, 0.3, 0.1])])
def test_the_test_is_welchs_and_against_a_number_students(low: list[float], high: list[float]) -> None:
    from scipy.stats import ttest_1samp, ttest_ind

    one, two = _Sample.of(high), _Sample.of(low)
    assert _above(one, two) == pytest.approx(ttest_ind(high, low, equal_var=False, alternative="greater").pvalue)
    found = _above(one, _Sample(0.15, 0.0, 1))
    assert found == pytest.approx(ttest_1samp(high, 0.15, alternative="greater").pvalue)
    for factor, shift in ((2.0, 0.0), (1.0, -0.5)):
        scaled = [factor * value + shift for value in low]
        assert two.scaled(factor, shift) == pytest.approx(_Sample.of(scaled))


# ---- harmless prompts that are refused


def asked(before: float, after: float, seed: int, each: int = 8, unjudged: int = 0) -> list[Iteration]:
    """A run that asks `each` of 200 harmless prompts a round, in a fixed order drawn at random; prompts differ in how
    readily they are refused, and the mean changes after half of the run. `unjudged` of a round's answers are lost."""
    random = np.random.default_rng(seed)
    readiness = random.beta(0.5, 0.5, size=200) * 2  # mean 1: most prompts are clear
    steps = []
    for point in run(steps=STEPS):
        mean = before if point.step <= STEPS // 2 else after
        mine = readiness[[(point.step * each + number) % 200 for number in range(each)]]
        refused = random.random(each) < np.clip(mean * mine, 0, 1)
        share = float(refused[unjudged:].sum()) / each
        steps.append(point.model_copy(update={"benign": share, "unjudged": unjudged / each}))
    return steps


def quieted(rise: float) -> WatchConfig:
    return WatchConfig(iterations=STEPS, alpha=0.1, benign_rise=rise)


def test_a_policy_that_refuses_as_before_is_seldom_in_alarm_even_where_no_rise_is_tolerated() -> None:
    false = sum(
        "benign" in alarms(asked(level, level, seed), quieted(0.0)) for seed in range(50) for level in (0.1, 0.4)
    )
    assert false < 7  # its part of alpha is 1.7% of 100 runs; 7 or more have a chance of 0.2%
    corrected = len(SIGNALS) * (STEPS // 10 - 1)
    uncorrected = 0
    for seed in range(100):
        reading = {one.signal: one for one in watch(asked(0.4, 0.4, seed), quieted(0.0))}["benign"]
        uncorrected += (reading.p or 0.0) / corrected < 0.1
    assert uncorrected > 20  # the negative control: the same comparisons, held against alpha one by one


def test_a_rise_of_refusals_is_caught_in_its_first_block_or_the_next_and_a_tolerated_one_is_not() -> None:
    caught = [alarms(asked(0.05, 0.5, seed), quieted(0.1)).get("benign") for seed in range(50)]
    steps = [reading.step for reading in caught if reading is not None]
    assert len(steps) > 45
    assert set(steps) <= {31, 41, 51}
    assert steps.count(31) > 35
    assert sum("benign" in alarms(asked(0.05, 0.12, seed), quieted(0.1)) for seed in range(50)) <= 2


def test_answers_that_cannot_be_judged_are_neither_taken_for_refusals_nor_for_help() -> None:
    def reading(*shares: tuple[float, float]) -> Reading:
        """Of a run whose blocks have these shares (refused, unjudged), with a little noise."""
        noise = np.random.default_rng(0).normal(0, 0.01, size=STEPS)
        points = []
        for point in run()[: 10 * len(shares)]:
            refused, unjudged = shares[(point.step - 1) // 10]
            changed = {"benign": refused + float(noise[point.step - 1]), "unjudged": unjudged}
            points.append(point.model_copy(update=changed))
        return {one.signal: one for one in watch(points, CONFIG)}["benign"]

    assert reading((0.1, 0.0), (0.1, 0.0)).state == "quiet"
    assert reading((0.1, 0.0), (0.1, 0.02)).state == "quiet"  # all of them may be refusals: 0.12 is tolerated
    lost = reading((0.1, 0.0), (0.1, 0.0), (0.1, 0.4))
    assert lost.state == "unknown"
    assert "from step 21 on too many answers" in lost.reason
    assert re.search(r"refused 0\.\d+ to 0\.\d+, at the start 0\.\d+$", lost.reason)
    assert reading((0.1, 0.0), (0.0, 1.0)).state == "unknown"  # a policy that says nothing any more
    assert reading((0.1, 0.0), (0.5, 0.2)).state == "alarm"
    assert reading((0.1, 0.5), (0.5, 0.0)).state == "unknown"  # at the start, 0.6 may have been refused
    assert reading((0.1, 0.0), (0.5, 0.0), (0.0, 1.0)).state == "alarm"  # an alarm stays


# ---- one iteration


def answer(*tokens: int, finished: bool = True) -> Answer:
    return Answer(text="", token_ids=tokens, logprobs=(), finished=finished, least_gap=1.0)


def test_distinct_n_counted_by_hand() -> None:
    assert distinct_n([answer(1, 2, 1, 2)]) == 2 / 3  # 12, 21, 12
    assert distinct_n([answer(1, 2, 3), answer(1, 2)]) == 2 / 3  # 12, 23, 12
    assert distinct_n([answer(1, 1, 2)], n=1) == 2 / 3
    assert distinct_n([answer(7, 7, 7, 7, 7)]) == 1 / 4
    assert distinct_n([answer(1), answer()]) is None


# ---- the checkpoint to keep


def test_the_best_checkpoint_is_that_with_the_most_gold_not_the_most_proxy() -> None:
    points = run(proxy=RISING, gold=None)
    gold = {10: 1.0, 20: 3.0, 30: 3.0, 35: 9.0, 40: 2.0}
    points = [point.model_copy(update={"gold": gold.get(point.step)}) for point in points]
    assert best_by_gold(points, [10, 20, 30, 40, 60]).step == 20
    with pytest.raises(InputError, match="no checkpoint has a gold reward; measure it"):
        best_by_gold(points, [50, 60])
