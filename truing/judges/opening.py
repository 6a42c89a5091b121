"""What string judges read, the opening of an answer in plain letters, and what they have in common."""

import re
from collections.abc import Sequence

from truing.core.records import Conversation, Outcome

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


def says_nothing(answer: str) -> bool:
    """True where there is no word to judge."""
    return re.search(r"\w", answer) is None


class OpeningJudge:
    """1.0 where one of `patterns` stands in an answer's first two sentences, 0.0 where none does, None where there is
    nothing to judge. The prompt does not matter."""

    version: str
    patterns: Sequence[re.Pattern[str]]
    behaviour: str

    def judge(self, prompt: Conversation, answer: str) -> Outcome:  # noqa: ARG002 (of the protocol)
        """Judge one answer."""
        if says_nothing(answer):
            return Outcome(value=None, reason="the answer has no words")
        text = opening(answer)
        for pattern in self.patterns:
            if match := pattern.search(text):
                return Outcome(value=1.0, reason=f"says {match.group(0).strip()!r}")
        return Outcome(value=0.0, reason=f"no {self.behaviour} in its first two sentences")
