"""Agreement and κ in closed form, clusters that count, and what is shown of a judge's mistakes."""

import numpy as np
import pytest

from truing.core.records import Message
from truing.core.statistics import wilson
from truing.data.labelled import LabelledAnswer
from truing.judges.agreement import agreement_of, validate


def row(number: int, label: bool, source: str = "m", votes: tuple[bool, ...] = (), **stored: float) -> LabelledAnswer:
    prompt = (Message(role="user", content=f"Q{number}"),)
    return LabelledAnswer(
        id=f"r{number}",
        prompt=prompt,
        answer=f"A{number}",
        cluster=f"c{number}",
        source=source,
        label=label,
        votes=votes,
        stored=stored,
    )


def test_kappa_is_cohens() -> None:
    """Cohen's own form by hand: 20 and 15 agreed, 5 and 10 not, of 50: p_o = .7, p_e = .5, κ = .4."""
    verdicts = [1.0] * 20 + [0.0] * 5 + [1.0] * 10 + [0.0] * 15
    labels = [True] * 25 + [False] * 25
    found = agreement_of("j", "d", verdicts, labels, range(50), resamples=200)
    assert found.agreement.value == pytest.approx(0.7)
    assert found.kappa.value == pytest.approx(0.4)
    assert (found.sensitivity.value, found.specificity.value) == (0.8, 0.6)


def test_a_judge_that_says_one_thing_has_no_skill_however_often_it_agrees() -> None:
    found = agreement_of("j", "d", [0.0] * 100, [True] * 5 + [False] * 95, range(100), resamples=50)
    assert found.agreement.value == 0.95
    assert found.kappa.value == 0.0


def test_a_perfect_judge_keeps_wilsons_doubt() -> None:
    found = agreement_of("j", "d", [1.0, 0.0] * 10, [True, False] * 10, range(20), resamples=100)
    assert (found.agreement.low, found.agreement.high) == (wilson(20, 20).low, 1.0)
    assert found.kappa.value == 1.0


def test_unknown_verdicts_are_counted_and_in_no_share() -> None:
    found = agreement_of("j", "d", [1.0, None, 0.0, None], [True, True, False, False], range(4), resamples=50)
    assert found.accuracy.unknown == 2
    assert found.agreement.value == 1.0
    nothing = agreement_of("j", "d", [None], [True], [0], resamples=50)
    assert nothing.agreement.value is None
    assert nothing.kappa.value is None


def test_answers_that_go_together_widen_the_interval_and_are_worth_fewer() -> None:
    """Ten answers to each prompt, all judged alike: the ten are worth one."""
    random = np.random.default_rng(0)
    right = random.random(40) < 0.8
    verdicts = [float(one) for one in np.repeat(right, 10)]
    labels = [True] * 400
    alone = agreement_of("j", "d", verdicts, labels, range(400))
    together = agreement_of("j", "d", verdicts, labels, np.repeat(np.arange(40), 10).tolist())
    width = [one.sensitivity.high - one.sensitivity.low for one in (alone, together)]  # type: ignore[operator]
    assert width[1] > 2.5 * width[0]
    assert together.accuracy.design_effect[0] == pytest.approx(10, rel=0.05)
    assert alone.accuracy.design_effect[0] == pytest.approx(1, rel=0.01)


def test_a_validation_shows_sources_stored_judges_people_and_mistakes_of_both_kinds() -> None:
    rows = [row(n, n % 2 == 0, "ab"[n // 10], (True, n % 4 == 0), other=float(n % 2 == 0)) for n in range(20)]
    verdicts = [float(n % 2 == 0) for n in range(20)]
    verdicts[0], verdicts[1], verdicts[12] = 0.0, 1.0, 0.0
    found = validate("j", "made up", rows, verdicts, made_on=("a",), resamples=50)
    assert found.whole.agreement.value == pytest.approx(17 / 20)
    assert [one.accuracy.data for one in found.sources] == ["a", "b"]
    assert [one.agreement.value for one in found.sources] == [0.8, 0.9]
    assert found.held_out is not None
    assert found.held_out.agreement.value == 0.9
    assert found.made_on == ("a",)
    assert [(one.judge, one.agreement.value) for one in found.stored] == [("other", 1.0)]
    assert found.unanimous is not None
    assert found.unanimous.value == 0.25
    assert [(one.id, one.people) for one in found.mistakes] == [("r1", False), ("r0", True), ("r12", True)]


def test_one_persons_labels_say_nothing_of_unanimity() -> None:
    assert validate("j", "d", [row(1, True, votes=(True,))], [1.0], resamples=50).unanimous is None
