"""The judge of rules: yes where all hold, no where one is broken, and unknown only where none is known to be broken."""

import pytest

from truing.core.protocols import Judge
from truing.core.rules import parse_rules
from truing.judges.rule import RuleJudge

RULES = parse_rules(
    {
        "rule": [
            {"name": "short", "kind": "length", "at_most": 3},
            {"name": "easy", "kind": "reading_level", "at_most": 20},
        ]
    },
    "rules.toml",
)
JUDGE: Judge = RuleJudge(RULES)


@pytest.mark.parametrize(
    ("answer", "value", "reason"),
    [
        ("It is so.", 1.0, "every rule holds"),
        ("It is not so.", 0.0, "short: 4 words, at most 3"),
        ("…", None, "easy: there is no word to read"),
    ],
)
def test_the_verdict_and_its_reason(answer: str, value: float | None, reason: str) -> None:
    outcome = JUDGE.judge((), answer)
    assert (outcome.value, outcome.reason) == (value, reason)


def test_what_is_broken_is_broken_whatever_another_rule_cannot_tell() -> None:
    rules = parse_rules({"rule": [{"name": "said", "kind": "must_mention", "phrases": ["x"]}]}, "rules.toml").rules
    judge = RuleJudge(RULES._replace(rules=(*RULES.rules, *rules)))
    assert judge.judge((), "…").value == 0.0
    assert judge.judge((), "…").reason == "said: does not mention 'x'"


def test_the_version_is_that_of_the_rules() -> None:
    assert JUDGE.version == RULES.version
