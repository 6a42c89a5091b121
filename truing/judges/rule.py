"""Does an answer keep to the rules of a file? A judge over `core.rules`.

It sees wording only, and the answer alone. Where one rule is broken, others that cannot tell do not matter.
"""

from truing.core.records import Conversation, Outcome
from truing.core.rules import Rules


class RuleJudge:
    """1.0: every rule holds. 0.0: one is broken. None: none is broken, and one cannot tell."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.version = rules.version

    def judge(self, prompt: Conversation, answer: str) -> Outcome:  # noqa: ARG002 (of the protocol)
        """Judge one answer; the reason names the rules."""
        found = self.rules.violations(answer)
        broken = [violation for violation in found if violation.certain]
        if said := broken or found:
            reason = "; ".join(f"{violation.rule}: {violation.reason}" for violation in said)
            return Outcome(value=0.0 if broken else None, reason=reason)
        return Outcome(value=1.0, reason="every rule holds")
