"""The gate speaks about bounds of intervals: every kind of rule held, broken, and without evidence; and its reports."""

import math
import xml.etree.ElementTree as ElementTree
from typing import Any

import pytest

from tests.evals.conftest import NATS, OVER, REFUSAL, items, one
from truing.core.errors import InputError
from truing.evals.compare import MetricComparison, Terms, compare
from truing.evals.gate import EXIT_CODES, GateConfig, GateReport, RuleResult, decide
from truing.evals.gate_output import as_junit, as_markdown

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
        ([{"metric": "refusal", "require": "better", "pass_without_evidence": " "}], "gives no reason; write one"),
        (
            [{"metric": "refusal", "require": "better"}, {"metric": "refusal", "at_most": 1, "unknown": "failures"}],
            "two rules about refusal differ in direction or unknown",
        ),
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
    assert config.terms() == {"refusal": Terms(0.1)}
    assert decide(compare(baseline, candidate, [REFUSAL], config.terms()), config).exit_code == 0
    assert decide(compare(baseline, candidate, [REFUSAL]), config).exit_code == 4


@pytest.mark.parametrize("status", ["let pass", "not enough evidence"])
def test_not_enough_evidence_passes_for_a_reason_in_writing_only(status: str) -> None:
    reasons = {"pass_without_evidence": "first week; R. Roe"} if status == "let pass" else {}
    report = gate(UNCLEAR, {"require": "no worse", **reasons})
    assert report.results[0].status == status
    assert (report.exit_code, report.status) == ((0, "holds") if reasons else (4, "not enough evidence"))
    assert report.results[0].sentence.endswith("let pass: first week; R. Roe") == bool(reasons)
    assert ("1 rule let pass" in report.headline) == bool(reasons)


def test_a_reason_does_not_cover_what_is_broken_or_surely_worse() -> None:
    reason = {"pass_without_evidence": "we know"}
    assert gate(WORSE, {"require": "no worse", **reason}).exit_code == 1
    surely = one([1] * 200, [1] * 188 + [0] * 12, margin=0.08)  # below 0, and perhaps by more than the margin
    assert (surely.verdict, surely.high < 0) == ("not enough evidence", True)
    report = gate(surely, {"require": "no worse", "margin": 0.08, **reason})
    assert report.exit_code == 4
    assert "not let pass, since the candidate is surely worse than the baseline" in report.results[0].sentence
    lower = one([0] * 200, [0] * 188 + [1] * 12, OVER, margin=0.08)
    assert gate(lower, {"require": "no worse", "margin": 0.08, **reason}).exit_code == 4
    unknown = gate(one([1.0] * 50, [None] * 50), {"require": "no worse", **reason})
    assert unknown.results[0].status == "let pass"


def test_unknown_items_count_as_failures_where_the_policy_says_so() -> None:
    """Ten of 100 answers are unreadable, all others equal: left out, that is too many unknowns; as failures, it is a
    loss of ten; for a rate of harm, ten more harmed."""
    for metric, good in ((REFUSAL, 1.0), (OVER, 0.0)):
        rule = {"metric": metric.task, "require": "no worse", "margin": 0.02}
        baseline, candidate = items([good] * 100, metric.task), items([good] * 90 + [None] * 10, metric.task)
        found = []
        for unknown in ("left out", "failures"):
            config = GateConfig.parse({"rule": [{**rule, "unknown": unknown}]}, "gate")
            (comparison,) = compare(baseline, candidate, [metric], config.terms())
            found.append((decide([comparison], config), comparison))
        (left_out, _), (failures, comparison) = found
        assert (left_out.exit_code, failures.exit_code) == (4, 1)
        assert comparison.difference == pytest.approx(-0.1 if metric is REFUSAL else 0.1)
        assert (comparison.n, comparison.candidate.unknown) == (100, 10)
        assert failures.results[0].sentence.endswith("0 and 10 unknown items count as failures")
    config = GateConfig.parse({"rule": [{"metric": NATS.task, "require": "better", "unknown": "failures"}]}, "gate")
    with pytest.raises(InputError, match="unknown items cannot count as failures, since '0000' has the value -3"):
        compare(items([-3.0], NATS.task), items([None], NATS.task), [NATS], config.terms())


def test_a_rules_direction_goes_before_the_metrics_own_and_makes_a_metric_of_what_is_unknown() -> None:
    rules = [{"metric": "refusal", "direction": "lower", "at_most": 0.5}]
    rules += [{"metric": "speed", "direction": "higher", "require": "better"}]
    config = GateConfig.parse({"rule": rules}, "gate")
    values = [*items([1.0]), *items([3.0, 4.0], "speed")]
    found = {metric.task: (metric.better, metric.unit) for metric in config.metrics([REFUSAL, OVER], values)}
    assert found == {"refusal": ("lower", "share"), "over_refusal": ("lower", "share"), "speed": ("higher", "score")}


def test_where_evidence_lacks_the_gate_says_what_it_could_have_seen_and_how_many_items_would_do() -> None:
    comparison = one([1] * 100, [1] * 98 + [0] * 2, margin=0.03)
    (result,) = gate(comparison, {"require": "no worse", "margin": 0.03}).results
    assert f"a worsening of {comparison.detectable:.3f} would have been called worse (80% power)" in result.sentence
    needed = int(result.sentence.split("about ")[1].split()[0])
    assert needed == math.ceil(100 * (1.43 * (comparison.high - comparison.low) / 2 / 0.03) ** 2)
    assert 100 < needed < 10_000


def test_a_metric_that_no_rule_requires_anything_of_is_adjusted_for_all_and_does_not_weaken_the_others() -> None:
    """Six of 40 changed, none back: p = 2/64 alone; beside three metrics that the policy does not name, still so."""
    metrics = [REFUSAL, *(OVER.__class__(f"m{n}", f"m{n}", "higher") for n in range(3))]
    baseline = [item for metric in metrics for item in items([0] * 40, metric.task)]
    candidate = [item for metric in metrics for item in items([1] * 6 + [0] * 34, metric.task)]
    results = compare(baseline, candidate, metrics, {"refusal": Terms(), "m0": Terms(wanted=None)})
    assert [result.adjusted_p for result in results] == [2 / 64, *[4 * 2 / 64] * 3]
    assert [result.verdict for result in results] == ["better", *["no worse"] * 3]
    assert results[0].detectable < results[1].detectable


def whole_report() -> GateReport:
    """One rule of each status, with names that markup could trip over."""
    results = [
        RuleResult(metric='a "quoted" <name> & more', status="holds", sentence="0.9 > 0.8 & so on"),
        RuleResult(metric="b", status="broken", sentence="worse: −0.2 [−0.3, −0.1], <no worse> is required"),
        RuleResult(metric="c", status="not enough evidence", sentence="2 of 50 items are unknown"),
        RuleResult(metric="d", status="let pass", sentence="let pass: a reason"),
    ]
    return GateReport(status="broken", results=tuple(results))


def test_junit_is_well_formed_and_counts_right() -> None:
    report = whole_report()
    suite = ElementTree.fromstring(as_junit(report).encode())
    assert suite.tag == "testsuite"
    assert [suite.get(key) for key in ("tests", "failures", "errors", "skipped")] == ["4", "1", "1", "1"]
    cases = suite.findall("testcase")
    assert [case.get("name") for case in cases] == [result.metric for result in report.results]
    for case, tag, result in zip(cases, ("system-out", "failure", "error", "skipped"), report.results, strict=True):
        assert [(child.tag, child.text) for child in case] == [(tag, result.sentence)]


def test_markdown_is_one_table_row_a_rule_under_the_verdict() -> None:
    report = whole_report()
    lines = as_markdown(report).splitlines()
    assert lines[0] == "**Gate: broken (1 rule let pass without enough evidence)**"
    rows = [line for line in lines if line.startswith("| ")][1:]
    assert [row.strip("| ").split(" | ")[1] for row in rows] == [result.status for result in report.results]
    assert rows[1].startswith("| b | broken | worse: −0.2 \\[−0.3, −0.1\\], &lt;no worse&gt; is required")


def test_reports_of_real_rules_name_numbers_and_the_requirement() -> None:
    worse = gate(WORSE, {"require": "no worse", "at_most": 0.5})
    first, seen, last = worse.results[0].sentence.split("; ")
    assert first == f"worse: -1.000 [-1.000, {WORSE.high:+.3f}] (adjusted p {WORSE.p:.2g}), no worse is required"
    assert seen == f"a worsening of {WORSE.detectable:.3f} would have been called worse (80% power)"
    assert last == "upper bound 0.088, at most 0.500 is allowed"
    assert GateReport.model_validate_json(worse.model_dump_json()) == worse
    empty = gate(one([None], [None], OVER), {"require": "better"}, max_unknown=1)
    assert empty.results[0].sentence.startswith("not enough evidence: unknown [-inf, +inf]")
    assert empty.results[0].sentence.endswith("too few independent items to call any worsening worse")


def test_exit_codes_are_distinct_and_none_is_that_of_an_error() -> None:
    assert set(EXIT_CODES.values()) == {0, 1, 4}
