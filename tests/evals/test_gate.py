"""The gate speaks about bounds of intervals: every kind of rule held, broken, and without evidence; and its reports."""

import xml.etree.ElementTree as ElementTree
from typing import Any

import pytest

from tests.evals.conftest import OVER, REFUSAL, items, one
from truing.core.errors import InputError
from truing.evals.compare import MetricComparison, compare
from truing.evals.gate import EXIT_CODES, GateConfig, GateReport, RuleResult, as_junit, as_markdown, decide

BETTER = one([0] * 40, [1] * 40)
WORSE = one([1] * 40, [0] * 40)
SAME = one([0, 1] * 20, [0, 1] * 20, margin=0.1)
UNCLEAR = one([0, 1] * 20, [1, 0] * 20)
HALF = SAME.candidate


def gate(comparison: MetricComparison, *rules: dict[str, Any], **settings: Any) -> GateReport:
    config = GateConfig.parse({"rule": [{"metric": comparison.task, **rule} for rule in rules], **settings}, "gate")
    return decide([comparison], config)


@pytest.mark.parametrize(
    ("comparison", "rule", "status"),
    [
        (BETTER, {"require": "better"}, "holds"),
        (BETTER, {"require": "no worse"}, "holds"),
        (SAME, {"require": "better"}, "not enough evidence"),
        (SAME, {"require": "no worse"}, "holds"),
        (UNCLEAR, {"require": "better"}, "not enough evidence"),
        (UNCLEAR, {"require": "no worse"}, "not enough evidence"),
        (WORSE, {"require": "better"}, "broken"),
        (WORSE, {"require": "no worse"}, "broken"),
        (SAME, {"at_least": HALF.low - 0.001}, "holds"),
        (SAME, {"at_least": HALF.low + 0.001}, "not enough evidence"),
        (SAME, {"at_least": HALF.high - 0.001}, "not enough evidence"),
        (SAME, {"at_least": HALF.high + 0.001}, "broken"),
        (SAME, {"at_most": HALF.high + 0.001}, "holds"),
        (SAME, {"at_most": HALF.high - 0.001}, "not enough evidence"),
        (SAME, {"at_most": HALF.low + 0.001}, "not enough evidence"),
        (SAME, {"at_most": HALF.low - 0.001}, "broken"),
        (SAME, {"at_least": 0.0, "at_most": 1.0}, "holds"),
        (BETTER, {"require": "better", "at_least": 0.99}, "not enough evidence"),
        (WORSE, {"require": "no worse", "at_least": 0.05}, "broken"),
    ],
)
def test_every_kind_of_rule(comparison: MetricComparison, rule: dict[str, Any], status: str) -> None:
    report = gate(comparison, rule)
    assert report.status == report.results[0].status == status
    assert report.exit_code == {"holds": 0, "broken": 1, "not enough evidence": 4}[status]


def test_a_bound_that_is_just_reached_holds() -> None:
    low, high = SAME.candidate.low, SAME.candidate.high
    assert gate(SAME, {"at_least": low, "at_most": high}).exit_code == 0


def test_a_point_above_the_bar_is_not_enough() -> None:
    """Nine of ten reach 0.8 on the day; their lower bound does not."""
    comparison = one([0] * 10, [1] * 9 + [0])
    assert comparison.candidate.mean == 0.9
    assert gate(comparison, {"at_least": 0.8}).exit_code == 4


@pytest.mark.parametrize(
    ("rules", "code"),
    [
        ([{"require": "no worse"}, {"at_least": 0.0}], 0),
        ([{"require": "no worse"}, {"at_least": 0.5}], 4),
        ([{"at_least": 0.5}, {"at_most": 0.5}], 4),
        ([{"at_least": 0.5}, {"at_most": 0.1}, {"require": "no worse"}], 1),
        ([{"at_most": 0.1}], 1),
    ],
)
def test_together_a_broken_rule_outweighs_a_doubtful_one_and_that_one_that_holds(
    rules: list[dict[str, Any]], code: int
) -> None:
    for order in (rules, rules[::-1]):
        assert gate(SAME, *order).exit_code == code


def test_too_many_unknown_items_are_never_enough_evidence() -> None:
    """On either side, and whatever the known ones say."""
    for unknown, code in ((1, 0), (2, 4)):
        better = [1.0] * (50 - unknown) + [None] * unknown
        assert gate(one([0.0] * 50, better), {"require": "better"}, max_unknown=0.03).exit_code == code
    lost = one([None] * 2 + [1.0] * 48, [0.0] * 50)
    report = gate(lost, {"require": "no worse"}, max_unknown=0.03)
    assert report.exit_code == 4
    assert report.results[0].sentence == "2 of 50 items are unknown, more than 3%"
    assert gate(lost, {"require": "no worse"}, max_unknown=0.04).exit_code == 1
    assert gate(one([1.0] * 50, [None] * 50), {"at_least": 0.0}, max_unknown=1).exit_code == 0


def test_a_rule_about_what_was_not_measured_is_an_error_that_lists_what_was() -> None:
    config = GateConfig.parse({"rule": [{"metric": "honesty", "require": "better"}]}, "gate")
    with pytest.raises(InputError, match="the metric 'honesty' was not measured; there are refusal"):
        decide([SAME], config)


@pytest.mark.parametrize(
    ("rules", "reason"),
    [
        ([], "'rule' is"),
        ([{"require": "better"}], "the key 'rule.0.metric' is missing"),
        ([{"metric": "refusal"}], "asks for nothing; give it require, at_least or at_most"),
        ([{"metric": "refusal", "margin": 0.1, "at_least": 0.1}], "has a margin, which means nothing without require"),
        ([{"metric": "refusal", "require": "best"}], "'rule.0.require' is 'best'"),
        ([{"metric": "refusal", "require": "no worse", "margin": -0.1}], "'rule.0.margin' is -0.1"),
        ([{"metric": "refusal", "atleast": 0.1}], "unknown key 'rule.0.atleast'; did you mean 'at_least'?"),
        ([{"metric": "refusal", "require": "better"}] * 2, "2 rules about refusal have require; keep one"),
    ],
)
def test_a_rule_that_would_check_nothing_or_two_things_is_refused(rules: list[dict[str, Any]], reason: str) -> None:
    with pytest.raises(InputError) as raised:
        GateConfig.parse({"rule": rules}, "gate")
    assert reason in str(raised.value)


@pytest.mark.parametrize("order", [1, -1])
def test_a_second_rule_about_a_metric_does_not_take_the_first_ones_margin(order: int) -> None:
    """Two of 100 lost: within 0.1, not within 0."""
    baseline, candidate = items([1] * 100), items([1] * 98 + [0] * 2)
    rules = [{"metric": "refusal", "require": "no worse", "margin": 0.1}, {"metric": "refusal", "at_least": 0.9}]
    config = GateConfig.parse({"rule": rules[::order]}, "gate")
    assert config.margins() == {"refusal": 0.1}
    assert decide(compare(baseline, candidate, [REFUSAL], config.margins()), config).exit_code == 0
    assert decide(compare(baseline, candidate, [REFUSAL]), config).exit_code == 4


def whole_report() -> GateReport:
    """One rule of each status, with names that markup could trip over."""
    results = [
        RuleResult(metric='a "quoted" <name> & more', status="holds", sentence="0.9 > 0.8 & so on"),
        RuleResult(metric="b", status="broken", sentence="worse: −0.2 [−0.3, −0.1], <no worse> is required"),
        RuleResult(metric="c", status="not enough evidence", sentence="2 of 50 items are unknown"),
    ]
    return GateReport(status="broken", results=tuple(results))


def test_junit_is_well_formed_and_counts_right() -> None:
    report = whole_report()
    suite = ElementTree.fromstring(as_junit(report).encode())
    assert suite.tag == "testsuite"
    assert {key: suite.get(key) for key in ("tests", "failures", "errors")} == {
        "tests": "3",
        "failures": "1",
        "errors": "1",
    }
    cases = suite.findall("testcase")
    assert [case.get("name") for case in cases] == [result.metric for result in report.results]
    for case, tag, result in zip(cases, ("system-out", "failure", "error"), report.results, strict=True):
        assert [(child.tag, child.text) for child in case] == [(tag, result.sentence)]


def test_markdown_is_one_table_row_a_rule_under_the_verdict() -> None:
    report = whole_report()
    lines = as_markdown(report).splitlines()
    assert lines[0] == "**Gate: broken**"
    rows = [line for line in lines if line.startswith("| ")][1:]
    assert [row.strip("| ").split(" | ") for row in rows] == [
        [result.metric, result.status, result.sentence] for result in report.results
    ]


def test_reports_of_real_rules_name_numbers_and_the_requirement() -> None:
    worse = gate(WORSE, {"require": "no worse", "at_most": 0.5})
    assert worse.results[0].sentence == (
        "worse: -1.000 [-1.000, -0.825], no worse is required; upper bound 0.088, at most 0.500 is allowed"
    )
    assert GateReport.model_validate_json(worse.model_dump_json()) == worse
    empty = gate(one([None], [None], OVER), {"require": "better"}, max_unknown=1)
    assert empty.results[0].sentence.startswith("not enough evidence: unknown [-inf, +inf]")


def test_exit_codes_are_distinct_and_none_is_that_of_an_error() -> None:
    assert set(EXIT_CODES.values()) == {0, 1, 4}
