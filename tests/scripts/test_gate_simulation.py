"""The simulation judges as the gate does, its scenarios are what they say, and a small one finds the gate right."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.gate_simulation import (
    AT_ONCE,
    BEGIN,
    END,
    ONE_BY_ONE,
    Graded,
    Scenario,
    YesNo,
    _units,
    measure,
    measure_sequential,
    verdicts,
)
from truing.core.paired import at_once, one_by_one, stops
from truing.evals.compare import verdict_of

SMALL = [YesNo(60, 1, 0.8, 0.5, 0.1), YesNo(20, 4, 0.5, 0.3, 0.1, together=0.3), Graded(25, 2, "normal", 0.1)]


@pytest.mark.parametrize("scenario", SMALL, ids=str)
@pytest.mark.parametrize("margin", [0.0, 0.1])
def test_the_verdicts_of_many_comparisons_are_those_of_the_gate(scenario: Scenario, margin: float) -> None:
    random = np.random.default_rng(0)
    gains = np.concatenate([scenario.draw(random, 6, worsening) for worsening in (0.0, 0.3)])
    clusters = np.repeat(np.arange(scenario.clusters), scenario.size).tolist()
    found = verdicts(gains, scenario.yes_or_no, margin)
    said = []
    for one, worse, no_worse in zip(gains, found.worse, found.no_worse, strict=True):
        evidence = at_once(one.ravel().tolist(), clusters, yes_or_no=scenario.yes_or_no, margin=margin)
        verdict = verdict_of("higher", evidence.mean, evidence.interval, evidence.p, margin)
        assert bool(worse) == (verdict == "worse")
        assert bool(no_worse) == (evidence.interval.low >= -margin)
        said.append(verdict)
    assert "worse" in said


@pytest.mark.parametrize("scenario", [*AT_ONCE, *ONE_BY_ONE], ids=str)
def test_a_scenarios_gains_have_the_mean_that_it_says(scenario: Scenario) -> None:
    gains = scenario.draw(np.random.default_rng(1), 400, 0.04).mean(axis=(1, 2))
    assert abs(gains.mean() + 0.04) < 4 * gains.std() / 20


def test_answers_have_the_correlation_that_they_say() -> None:
    """Two systems that are right at a rate of .8 with correlation .6 differ, each way, in .8 · .2 · .4 of the items."""
    gains = YesNo(1000, 1, 0.8, 0.6, 0.1).draw(np.random.default_rng(0), 50, 0.0)
    assert np.array([(gains < 0).mean(), (gains > 0).mean()]) == pytest.approx(0.064, abs=0.004)


@pytest.mark.parametrize("scenario", SMALL, ids=str)
def test_a_small_simulation_finds_the_error_rates_and_the_power_that_are_promised(scenario: Scenario) -> None:
    row = measure(scenario, runs=300, pilots=20)
    assert row.false_worse <= 0.06
    assert row.false_no_worse <= 0.08
    assert 0.68 <= row.power <= 0.92


def test_so_does_one_of_reading_one_by_one() -> None:
    row = measure_sequential(YesNo(150, 1, 0.8, 0.6, 0.15), runs=200, pilots=10)
    assert row.false_worse <= 0.05
    assert row.false_no_worse <= 0.05
    assert row.power >= 0.72
    assert row.read_worse < 0.9


def test_the_gate_stops_where_the_simulation_does() -> None:
    """Given the items in the order in which it will read them."""
    gains = YesNo(80, 1, 0.8, 0.5, 0.1).draw(np.random.default_rng(3), 8, 0.3)
    found = stops(_units(gains), 0.1)
    order = np.random.default_rng(0).permutation(80)
    for one, when in zip(gains[..., 0], found.worse, strict=True):
        restored = np.empty(80)
        restored[order] = one
        read = one_by_one(restored.tolist(), range(80), margin=0.1)
        assert (read.items, read.settled) == ((when, "worse") if np.isfinite(when) else (80, None))
    assert np.isfinite(found.worse).any()


def test_the_page_has_the_tables() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "gate.md").read_text(encoding="utf-8")
    table = page.split(BEGIN)[1].split(END)[0]
    for scenario in (*AT_ONCE, *ONE_BY_ONE):
        assert f"| {scenario.clusters * scenario.size} {scenario} |" in table
