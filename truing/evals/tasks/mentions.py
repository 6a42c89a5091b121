"""Does an answer mention one of some phrases? What the tasks on conversations are read by.

Found whatever the case, the Unicode form and the white space, never inside a longer word or number. It sees wording
only: an answer that names a phrase in order to reject it mentions it, and one that says the same in other words does
not.
"""

from collections.abc import Sequence

import regex

from truing.core.records import Conversation, Outcome
from truing.core.text import find_phrase, fold, words

_GOES_ON = regex.compile(r"[.,:]\d")
_CAME_BEFORE = regex.compile(r"\d[.,:]$")


class Mentions:
    """1.0 where one of the phrases stands in an answer, 0.0 where none does, None where there is nothing to judge."""

    version = "mentions-1"

    def __init__(self, phrases: Sequence[str]) -> None:
        self.phrases = phrases

    def judge(self, prompt: Conversation, answer: str) -> Outcome:  # noqa: ARG002 (of the protocol)
        """Judge one answer."""
        if not words(answer):
            return Outcome(value=None, reason="the answer has no words")
        found = mentioned(answer, self.phrases)
        if found is None:
            return Outcome(value=0.0, reason=f"mentions none of {', '.join(map(repr, self.phrases))}")
        return Outcome(value=1.0, reason=f"mentions {found!r}")


def mentioned(text: str, phrases: Sequence[str]) -> str | None:
    """The first of the phrases that stands in a text; "3" does not stand in "3.5", nor in "12:3"."""
    folded = fold(text)
    for phrase in phrases:
        for start, end in find_phrase(folded, phrase):
            inside = (phrase[-1].isdigit() and _GOES_ON.match(text, end)) or (
                phrase[0].isdigit() and _CAME_BEFORE.search(text[:start][-2:])
            )
            if not inside:
                return phrase
    return None
