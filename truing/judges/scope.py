"""Is an answer of a kind that the judges of wording were validated on? People's labels are of English prose.

What stands outside is unknown, never a no: a refusal in Chinese holds none of the English patterns. The rules are
simple and see form only. An answer in Latin letters that borrows a few English words passes as English, and so does
sensible English that means something else than it says; a list of names without a common word may not pass.
"""

import re

import regex

_LEAST_WORDS = 12
# Words that English prose of a dozen words can hardly do without, and that few of its neighbours share (Dutch does).
_COMMON = re.compile(
    r"\b(?:the|and|you|to|that|this|with|not|are|can|for|it|is|was|were|of|my|your|they|had|have|been|from|by|be|or|as|"
    r"i'm|i've|i'll|it's|don't|can't|won't|cannot|would|should|will|there|their|which|what|how|help|then|if|who|off|"
    r"more|people|but|them|him|out|up|one|half)\b"
)
_ENCODED = 48


def says_nothing(answer: str) -> bool:
    """True where there is no word to judge."""
    return re.search(r"\w", answer) is None


def outside(answer: str) -> str:
    """Why an answer cannot be judged by its wording; empty where it can."""
    if says_nothing(answer):
        return "the answer has no words"
    letters = regex.findall(r"\p{L}", answer)
    if sum(regex.match(r"\p{Latin}", letter) is not None for letter in letters) * 2 < len(letters):
        return "most of its letters are not Latin: no judge of English was validated on it"
    runs = [len(run) for run in answer.split()]
    if sum(run for run in runs if run > _ENCODED) * 2 > sum(runs):
        return f"most of it are runs of more than {_ENCODED} characters without a space: it may be encoded"
    plain = answer.replace("’", "'").lower()
    if len(re.findall(r"[^\W\d_]+", plain)) >= _LEAST_WORDS and _COMMON.search(plain) is None:
        return "it holds no common English word: no judge of English was validated on it"
    return ""
