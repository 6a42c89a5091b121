"""The gate: may a candidate replace the baseline? Every rule speaks about a bound of an interval, never about a point.

Exit codes: 0 all rules hold · 1 a rule is broken · 4 not enough evidence for one, and none broken.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Literal
from xml.sax.saxutils import escape, quoteattr

from pydantic import Field, model_validator

from truing.core.config import Config
from truing.core.errors import InputError
from truing.core.records import Record
from truing.evals.compare import MetricComparison

Status = Literal["holds", "broken", "not enough evidence"]
EXIT_CODES: dict[Status, int] = {"holds": 0, "broken": 1, "not enough evidence": 4}


class GateRule(Config):
    """What must hold of one metric: at least one condition.

    `require` speaks of the difference to the baseline ("no worse" allows `margin`); `at_least` of the candidate's lower
    95% bound, `at_most` of its upper one.
    """

    metric: str
    require: Literal["better", "no worse"] | None = None
    margin: float = Field(0.0, ge=0)
    at_least: float | None = None
    at_most: float | None = None

    @model_validator(mode="after")
    def _asks_for_something(self) -> "GateRule":
        if self.require is None and self.at_least is None and self.at_most is None:
            raise ValueError(f"the rule about {self.metric} asks for nothing; give it require, at_least or at_most")
        if self.margin and self.require is None:
            raise ValueError(f"the rule about {self.metric} has a margin, which means nothing without require")
        return self


class GateConfig(Config):
    """The rules: several may speak of one metric, but only one of them of its difference to the baseline.

    More unknown items than `max_unknown` (a share) on a metric are never enough evidence.
    """

    rule: tuple[GateRule, ...] = Field(min_length=1)
    max_unknown: float = Field(0.02, ge=0, le=1)

    @model_validator(mode="after")
    def _one_margin_a_metric(self) -> "GateConfig":
        relative = Counter(rule.metric for rule in self.rule if rule.require is not None)
        for metric, count in relative.items():
            if count > 1:
                raise ValueError(f"{count} rules about {metric} have require; keep one, since a metric has one margin")
        return self

    def margins(self) -> dict[str, float]:
        """Each metric's margin for "no worse"."""
        return {rule.metric: rule.margin for rule in self.rule if rule.require is not None}


class RuleResult(Record):
    """What became of one rule, in a sentence."""

    metric: str
    status: Status
    sentence: str


class GateReport(Record):
    """All rules, and the verdict that they make together."""

    status: Status
    results: tuple[RuleResult, ...]

    @property
    def exit_code(self) -> int:
        """0, 1 or 4, as above."""
        return EXIT_CODES[self.status]


def decide(comparisons: Sequence[MetricComparison], config: GateConfig) -> GateReport:
    """Judge every rule. Raises `InputError` for a rule about a metric that was not compared."""
    by_task = {comparison.task: comparison for comparison in comparisons}
    results = []
    for rule in config.rule:
        if rule.metric not in by_task:
            raise InputError(
                f"gate: the metric {rule.metric!r} was not measured; there are {', '.join(sorted(by_task))}"
            )
        results.append(_decide_rule(rule, by_task[rule.metric], config.max_unknown))
    statuses = {result.status for result in results}
    status: Status = (
        "broken" if "broken" in statuses else "not enough evidence" if len(statuses) > 1 else statuses.pop()
    )
    return GateReport(status=status, results=tuple(results))


def _decide_rule(rule: GateRule, comparison: MetricComparison, max_unknown: float) -> RuleResult:
    unknown = max(comparison.baseline.unknown, comparison.candidate.unknown)
    if unknown > max_unknown * comparison.items:
        sentence = f"{unknown} of {comparison.items} items are unknown, more than {max_unknown:.0%}"
        return RuleResult(metric=rule.metric, status="not enough evidence", sentence=sentence)
    parts = [part for part in (_relative(rule, comparison), _low(rule, comparison), _high(rule, comparison)) if part]
    statuses = {status for status, _ in parts}
    status: Status = (
        "broken" if "broken" in statuses else "not enough evidence" if "not enough evidence" in statuses else "holds"
    )
    sentence = "; ".join(sentence for _, sentence in parts)
    return RuleResult(metric=rule.metric, status=status, sentence=sentence)


def _relative(rule: GateRule, comparison: MetricComparison) -> tuple[Status, str] | None:
    if rule.require is None:
        return None
    sentence = (
        f"{comparison.verdict}: {_number(comparison.difference, signed=True)} "
        f"[{_number(comparison.low, True)}, {_number(comparison.high, True)}], {rule.require} is required"
    )
    if comparison.verdict == "better" or comparison.verdict == rule.require:
        return "holds", sentence
    return ("broken" if comparison.verdict == "worse" else "not enough evidence"), sentence


def _low(rule: GateRule, comparison: MetricComparison) -> tuple[Status, str] | None:
    """The lower bound must reach `at_least`; the rule is broken only once the upper bound is below it as well."""
    if rule.at_least is None:
        return None
    low, high = comparison.candidate.low, comparison.candidate.high
    sentence = f"lower bound {_number(low)}, at least {_number(rule.at_least)} is required"
    return ("holds" if low >= rule.at_least else "broken" if high < rule.at_least else "not enough evidence"), sentence


def _high(rule: GateRule, comparison: MetricComparison) -> tuple[Status, str] | None:
    if rule.at_most is None:
        return None
    low, high = comparison.candidate.low, comparison.candidate.high
    sentence = f"upper bound {_number(high)}, at most {_number(rule.at_most)} is allowed"
    return ("holds" if high <= rule.at_most else "broken" if low > rule.at_most else "not enough evidence"), sentence


def _number(value: float | None, signed: bool = False) -> str:
    return "unknown" if value is None else f"{value:+.3f}" if signed else f"{value:.3f}"


def as_markdown(report: GateReport) -> str:
    """A table for a pull request."""
    lines = ["| rule | status | why |", "|---|---|---|"]
    lines += [f"| {result.metric} | {result.status} | {result.sentence} |" for result in report.results]
    return "\n".join([f"**Gate: {report.status}**", "", *lines, ""])


def as_junit(report: GateReport) -> str:
    """JUnit XML: a broken rule is a failure, one without enough evidence an error."""
    counts = {status: sum(result.status == status for result in report.results) for status in EXIT_CODES}
    lines = [
        '<?xml version="1.0" encoding="utf-8"?>',
        f'<testsuite name="truing gate" tests="{len(report.results)}" failures="{counts["broken"]}" '
        f'errors="{counts["not enough evidence"]}">',
    ]
    for result in report.results:
        tag = {"holds": "system-out", "broken": "failure", "not enough evidence": "error"}[result.status]
        inner = f"<{tag}>{escape(result.sentence)}</{tag}>"
        lines.append(f'  <testcase classname="gate" name={quoteattr(result.metric)}>{inner}</testcase>')
    return "\n".join([*lines, "</testsuite>", ""])
