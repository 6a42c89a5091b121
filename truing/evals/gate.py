"""The gate: may a candidate replace the baseline? Every rule speaks about a bound of an interval, never about a point.

Exit codes: 0 all rules hold · 1 a rule is broken · 4 not enough evidence for one, and none broken.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from pydantic import Field, model_validator

from truing.core.config import Config
from truing.core.errors import InputError
from truing.core.records import ItemResult, Record
from truing.evals.compare import MetricComparison, Terms
from truing.evals.metric import Metric
from truing.evals.moved import Moved

Status = Literal["holds", "broken", "not enough evidence"]
RuleStatus = Literal["holds", "broken", "not enough evidence", "let pass"]
EXIT_CODES: dict[Status, int] = {"holds": 0, "broken": 1, "not enough evidence": 4}
_SHOWN = 1.43  # (z of 97.5% + z of 80%) / z of 97.5%


class GateRule(Config):
    """What must hold of one metric: at least one condition.

    `require` speaks of the difference to the baseline ("no worse" allows `margin`); `at_least` of the candidate's lower
    95% bound, `at_most` of its upper one. `direction` is needed for a metric that truing does not know, and goes before
    the direction of one that it does. `unknown = "failures"`: an item that the judge could not read counts against the
    side that it belongs to. `pass_without_evidence` is the reason why the rule may pass without enough evidence.
    """

    metric: str
    direction: Literal["higher", "lower"] | None = None
    require: Literal["better", "no worse"] | None = None
    margin: float = Field(0.0, ge=0)
    at_least: float | None = None
    at_most: float | None = None
    unknown: Literal["left out", "failures"] = "left out"
    pass_without_evidence: str | None = None

    @model_validator(mode="after")
    def _asks_for_something(self) -> "GateRule":
        if self.require is None and self.at_least is None and self.at_most is None:
            raise ValueError(f"the rule about {self.metric} asks for nothing; give it require, at_least or at_most")
        if self.margin and self.require is None:
            raise ValueError(f"the rule about {self.metric} has a margin, which means nothing without require")
        if self.pass_without_evidence is not None and not self.pass_without_evidence.strip():
            raise ValueError(f"the rule about {self.metric} may pass without evidence, but gives no reason; write one")
        return self


class GateConfig(Config):
    """The rules: several may speak of one metric, but only one of them of its difference to the baseline.

    More unknown items than `max_unknown` (a share) on a metric are never enough evidence. `sequential`: items are read
    in a random order until each verdict is certain.
    """

    rule: tuple[GateRule, ...] = Field(min_length=1)
    max_unknown: float = Field(0.02, ge=0, le=1)
    sequential: bool = False

    @model_validator(mode="after")
    def _fits_together(self) -> "GateConfig":
        relative = Counter(rule.metric for rule in self.rule if rule.require is not None)
        for metric, count in relative.items():
            if count > 1:
                raise ValueError(f"{count} rules about {metric} have require; keep one, since a metric has one margin")
        for rule in self.rule:
            own = [one for one in self.rule if one.metric == rule.metric]
            if len({one.direction for one in own}) > 1 or len({one.unknown for one in own}) > 1:
                raise ValueError(
                    f"two rules about {rule.metric} differ in direction or unknown; write the same in both"
                )
            if self.sequential and (rule.at_least is not None or rule.at_most is not None):
                raise ValueError(
                    f"the rule about {rule.metric} bounds the mean over all items (at_least, at_most), which reading "
                    "one by one does not give; leave out the bound or sequential"
                )
        return self

    def terms(self) -> dict[str, Terms]:
        """On what terms each metric that has a rule is compared."""
        found: dict[str, Terms] = {}
        for rule in sorted(self.rule, key=lambda rule: rule.require is not None):  # the last one stays
            found[rule.metric] = Terms(rule.margin, rule.require, rule.unknown)
        return found

    def metrics(self, known: Sequence[Metric], items: Sequence[ItemResult]) -> list[Metric]:
        """The metrics to compare: those known, in the direction that the rules give them, and those that only the
        rules know, which are shares where all their values lie in [0, 1]."""
        given = {rule.metric: rule.direction for rule in self.rule if rule.direction is not None}
        metrics = {metric.task: metric for metric in known}
        for task, direction in given.items():
            values = [item.value for item in items if item.task == task and item.value is not None]
            unit: Literal["share", "score"] = "share" if all(0 <= value <= 1 for value in values) else "score"
            old = metrics.get(task)
            title = task.replace("_", " ")
            metrics[task] = replace(old, better=direction) if old else Metric(task, title, direction, unit)
        return list(metrics.values())


class RuleResult(Record):
    """What became of one rule, in a sentence."""

    metric: str
    status: RuleStatus
    sentence: str


class GateReport(Record):
    """All rules, the verdict that they make together, and the items that moved most."""

    status: Status
    results: tuple[RuleResult, ...]
    moved: tuple[Moved, ...] = ()

    @property
    def exit_code(self) -> int:
        """0, 1 or 4, as above."""
        return EXIT_CODES[self.status]

    @property
    def headline(self) -> str:
        """The verdict, and how many rules were let pass without evidence."""
        passed = sum(result.status == "let pass" for result in self.results)
        rules = f"{passed} rule{'s' * (passed > 1)}"
        return f"{self.status} ({rules} let pass without enough evidence)" if passed else self.status


def decide(comparisons: Sequence[MetricComparison], config: GateConfig, moved: Sequence[Moved] = ()) -> GateReport:
    """Judge every rule. Raises `InputError` for a rule about a metric that was not compared."""
    by_task = {comparison.task: comparison for comparison in comparisons}
    results = []
    for rule in config.rule:
        if rule.metric not in by_task:
            raise InputError(
                f"gate: the metric {rule.metric!r} was not measured; there are {', '.join(sorted(by_task))} "
                "(a metric that truing does not know needs a direction in its rule)"
            )
        results.append(_decide_rule(rule, by_task[rule.metric], config.max_unknown))
    statuses = {result.status for result in results}
    status: Status = (
        "broken" if "broken" in statuses else "not enough evidence" if "not enough evidence" in statuses else "holds"
    )
    return GateReport(status=status, results=tuple(results), moved=tuple(moved))


def _decide_rule(rule: GateRule, comparison: MetricComparison, max_unknown: float) -> RuleResult:
    unknown = max(comparison.baseline.unknown, comparison.candidate.unknown)
    if rule.unknown == "left out" and unknown > max_unknown * comparison.items:
        sentence = f"{unknown} of {comparison.items} items are unknown, more than {max_unknown:.0%}"
        return _let_pass(rule, comparison, "not enough evidence", sentence)
    parts = [part for part in (_relative(rule, comparison), _low(rule, comparison), _high(rule, comparison)) if part]
    statuses = {status for status, _ in parts}
    status: Status = (
        "broken" if "broken" in statuses else "not enough evidence" if "not enough evidence" in statuses else "holds"
    )
    sentence = "; ".join(sentence for _, sentence in parts)
    if rule.unknown == "failures" and unknown:
        sentence += (
            f"; {comparison.baseline.unknown} and {comparison.candidate.unknown} unknown items count as failures"
        )
    return _let_pass(rule, comparison, status, sentence)


def _let_pass(rule: GateRule, comparison: MetricComparison, status: Status, sentence: str) -> RuleResult:
    """Without enough evidence a rule passes if its policy says why; not, though, where the candidate is surely worse
    than the baseline: the reason speaks of what is not known."""
    if status != "not enough evidence" or rule.pass_without_evidence is None:
        return RuleResult(metric=rule.metric, status=status, sentence=sentence)
    if comparison.high < 0 if comparison.better == "higher" else comparison.low > 0:
        sentence += "; not let pass, since the candidate is surely worse than the baseline"
        return RuleResult(metric=rule.metric, status=status, sentence=sentence)
    return RuleResult(
        metric=rule.metric, status="let pass", sentence=f"{sentence}; let pass: {rule.pass_without_evidence.strip()}"
    )


def _relative(rule: GateRule, comparison: MetricComparison) -> tuple[Status, str] | None:
    if rule.require is None:
        return None
    within = f" within {_number(rule.margin)}" if rule.margin else ""
    sentence = (
        f"{comparison.verdict}: {_number(comparison.difference, signed=True)} "
        f"[{_number(comparison.low, True)}, {_number(comparison.high, True)}] "
        f"(adjusted p {comparison.adjusted_p:.2g}), {rule.require}{within} is required"
    )
    if comparison.read is not None:
        saved = comparison.n - comparison.read
        sentence += f"; read {comparison.read} of {comparison.n} items ({saved} saved)"
    if math.isfinite(comparison.detectable):
        sentence += f"; a worsening of {_number(comparison.detectable)} would have been called worse (80% power)"
    else:
        sentence += "; too few independent items to call any worsening worse"
    if comparison.verdict == "better" or comparison.verdict == rule.require:
        return "holds", sentence
    if comparison.verdict == "worse":
        return "broken", sentence
    return "not enough evidence", sentence + _enough(rule, comparison)


def _enough(rule: GateRule, comparison: MetricComparison) -> str:
    """About how many items would show, with 80% power, that a candidate which is not worse is not."""
    half = (comparison.high - comparison.low) / 2
    if (
        rule.require != "no worse"
        or not rule.margin
        or comparison.read is not None
        or math.isinf(comparison.detectable)
    ):
        return ""
    needed = math.ceil(comparison.n * (_SHOWN * half / rule.margin) ** 2)
    return f"; if nothing differs, about {needed} such items would show it" if needed > comparison.n else ""


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
