"""What string judges read, the opening of an answer in plain letters, and what they have in common."""

import re
from collections.abc import Sequence

from truing.core.records import Conversation, Outcome
from truing.judges.scope import outside

OPENING_CHARACTERS = 240
_SENTENCES = 2
_STRAIGHT = str.maketrans("’‘“”", "''\"\"")


def opening(answer: str) -> str:
    """The first two sentences (at most 240 characters), lower-case, with straight apostrophes and single spaces.

    Quotations are left out unless the answer begins with one: an answer such as 'Say: "I can't come"' refuses nothing.
    """
    unquoted = re.sub(r'^("[^"]*"?)|"[^"]*(?:"|$)', r"\1", answer.translate(_STRAIGHT).strip())
    plain = re.sub(r"\s+", " ", unquoted).strip().lower()
    ends = [match.end() for match in re.finditer(r"[.!?](?=\s|$)", plain)]
    cut = ends[_SENTENCES - 1] if len(ends) >= _SENTENCES else len(plain)
    return plain[: min(cut, OPENING_CHARACTERS)]


class OpeningJudge:
    """1.0 where one of `patterns` stands in an answer's first two sentences; 0.0 where none does; None where there is
    nothing to judge, or no pattern stands in what is no English prose (`scope.py`). The prompt does not matter."""

    version: str
    patterns: Sequence[re.Pattern[str]]
    behaviour: str

    def judge(self, prompt: Conversation, answer: str) -> Outcome:  # noqa: ARG002 (of the protocol)
        """Judge one answer."""
        text = opening(answer)
        for pattern in self.patterns:
            if match := pattern.search(text):
                return Outcome(value=1.0, reason=f"says {match.group(0).strip()!r}")
        if reason := outside(answer):
            return Outcome(value=None, reason=reason)
        return Outcome(value=0.0, reason=f"no {self.behaviour} in its first two sentences")
