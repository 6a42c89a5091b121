"""What rules read in a text: words, sentences, a reading grade, and phrases found whatever their case or Unicode form.

Phrases are found by Unicode's compatibility caseless match (The Unicode Standard, definition D146), with curly
apostrophes made straight, characters that show nothing (zero-width spaces, soft hyphens) left out, and any white space
for a space. Places are always those of the text as it was given.

Words, sentences and syllables are counted by simple rules of English: a script without spaces has one word a run, and
an unusual abbreviation ends a sentence. What a text means it does not know.
"""

import functools
import itertools
import unicodedata
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import regex

_WORD = regex.compile(r"[\w\p{M}]+(?:['’‐-][\w\p{M}]+)*")
# A sentence ends at its mark and the quotes or brackets that close with it, unless the mark belongs to an abbreviation
# or to a list's number; and at a blank line, or where an item of a list begins.
_ABBREVIATIONS = r"(?:\b(?:mr|mrs|ms|dr|prof|st|vs|etc|approx|e\.g|i\.e)|^[ \t]*\d{1,3})\."
_SENTENCE_END = regex.compile(
    rf"(?<=[.!?…][\"'”’)\]]{{0,3}})(?<!{_ABBREVIATIONS})\s+|(?<=[。！？])"
    r"|\n\s*\n|\n(?=[ \t]*(?:[-*+•]|\d{1,3}[.)])[ \t])",
    regex.MULTILINE | regex.IGNORECASE,
)
_APOSTROPHES = str.maketrans("’‘ʼ＇", "''''")
_INVISIBLE = regex.compile(r"\p{Default_Ignorable_Code_Point}")
_VOWELS = regex.compile(r"[aeiouy]+")
# Vowels that stand together and are spoken apart: "li-on", "sci-ence", "po-em", "vide-o", "cru-el", "rhyth-m".
_APART = regex.compile(r"(?<![ctsgx])i[aou]|(?<=[dlnrtv])ien|oe[mt]|eo(?![nu])|[dlnr]ue[ln]|[eiouy]ing|s?thm$|sm$|^mc")


class Span(NamedTuple):
    """A place in a text, in characters: text[start:end]."""

    start: int
    end: int


class Folded(NamedTuple):
    """A folded text, and for each of its characters where in the original it comes from."""

    text: str
    sources: Sequence[Span]


def fold(text: str) -> Folded:
    """A text without its case and its Unicode form; texts that a reader takes for the same word fold alike.

    Decomposed piece by piece, each from one starter to the next: marks are never reordered across a starter, so that
    the pieces' foldings make up the whole text's.
    """
    starts = [place for place, letter in enumerate(text) if place == 0 or _starts(letter)]
    letters: list[str] = []
    sources: list[Span] = []
    for start, end in itertools.pairwise([*starts, len(text)]):
        piece = _folded(text[start:end])
        letters.append(piece)
        sources += [Span(start, end)] * len(piece)
    return Folded("".join(letters), sources)


def _starts(letter: str) -> bool:
    return letter.isascii() or unicodedata.combining(unicodedata.normalize("NFKD", letter)[0]) == 0


def _folded(text: str) -> str:
    if text.isascii():
        return text.casefold()
    text = unicodedata.normalize("NFKD", unicodedata.normalize("NFD", text).casefold()).casefold()
    visible: str = _INVISIBLE.sub("", unicodedata.normalize("NFKD", text))
    return visible.translate(_APOSTROPHES)


def find_phrase(folded: Folded, phrase: str, whole_words: bool = True) -> Iterator[Span]:
    """Where a phrase stands, as places in the original text. With `whole_words`, never inside a longer word."""
    for match in _phrase(phrase, whole_words).finditer(folded.text):
        yield Span(folded.sources[match.start()].start, folded.sources[match.end() - 1].end)


def says_something(phrase: str) -> bool:
    """Whether anything of a phrase is left to look for once it is folded."""
    return bool(fold(phrase).text.split())


@functools.cache
def _phrase(phrase: str, whole_words: bool) -> "regex.Pattern[str]":
    words = fold(phrase).text.split()
    inside = r"\s+".join(regex.escape(word, literal_spaces=True) for word in words)
    if not whole_words:
        return regex.compile(inside)
    before = r"(?<![\w\p{M}])" if _WORD.match(words[0][0]) else ""
    after = r"(?![\w\p{M}])" if _WORD.match(words[-1][-1]) else r"(?!\p{M})"
    return regex.compile(f"{before}{inside}{after}")


def words(text: str) -> list[str]:
    """Runs of letters, digits and marks, joined by apostrophes and hyphens: "don't" and "well-kept" are one each."""
    found: list[str] = _WORD.findall(text)
    return found


def characters(text: str) -> int:
    """How many characters a reader sees (extended grapheme clusters): é is one, however it is encoded."""
    return len(regex.findall(r"\X", text))


def sentences(text: str) -> list[Span]:
    """The sentences' places; a piece without a word is none, and text without a mark at its end is one."""
    found = []
    start = 0
    for end in [*(match.span() for match in _SENTENCE_END.finditer(text)), (len(text), len(text))]:
        if _WORD.search(text, start, end[0]):
            found.append(Span(start, end[0]))
        start = end[1]
    return found


def syllables(word: str) -> int:
    """The syllables of an English word, by its groups of vowels without a silent e; at least one."""
    plain = "".join(letter for letter in fold(word).text if letter.isalpha())
    count = len(_VOWELS.findall(plain)) + len(_APART.findall(plain))
    if regex.search(r"[^aeiouy](?:e|es|ed)$", plain) and not regex.search(
        r"[^aeiouyl]les?$|[cgszx]es$|[sc]hes$|[td]ed$", plain
    ):
        count -= 1
    return max(1, count)


def reading_grade(text: str) -> float | None:
    """The Flesch–Kincaid grade of an English text, 0.39 words/sentences + 11.8 syllables/words − 15.59: about the
    school year (US) that it asks for. None where there is no word.

    Kincaid, Fishburne, Rogers and Chissom 1975, "Derivation of new readability formulas", Research Branch Report 8-75.
    """
    found = words(text)
    if not found:
        return None
    length = len(found) / len(sentences(text))
    return 0.39 * length + 11.8 * sum(map(syllables, found)) / len(found) - 15.59


def shorten(text: str, limit: int) -> str:
    """At most `limit` characters, on one line, with an ellipsis where something was left out."""
    flat = " ".join(text.split())
    return flat if len(flat) <= limit else flat[: limit - 1].rstrip() + "…"
