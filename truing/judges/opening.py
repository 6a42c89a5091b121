"""What string judges read: the opening of an answer, in plain letters."""

import re

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
