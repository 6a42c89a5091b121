"""Words are what a reader takes for words, whatever their encoding, case and white space, and at their own place."""

import itertools
import unicodedata
from typing import Literal

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st

from truing.core.text import (
    characters,
    find_phrase,
    fold,
    reading_grade,
    says_something,
    sentences,
    shorten,
    syllables,
    words,
)

FORMS: tuple[Literal["NFC", "NFD", "NFKC", "NFKD"], ...] = ("NFC", "NFD", "NFKC", "NFKD")
LATIN = st.text(st.sampled_from("abcdefgxyzäéñøßşžαβγδωжщю"), min_size=1, max_size=8)
# Any characters, and among them letters with several marks, whose order a normal form may change.
MARKED = st.sampled_from(["a\u0301\u0327", "\u0345", "\u0323", "\u0301", "é", "한", "\u200d", "ß"])
TEXT = st.lists(MARKED | st.characters(codec="utf-8"), max_size=20).map("".join)


def found(text: str, phrase: str, whole_words: bool = True) -> list[str]:
    return [text[place.start : place.end] for place in find_phrase(fold(text), phrase, whole_words)]


@given(text=TEXT)
def test_a_text_folds_as_the_standard_says_though_piece_by_piece_and_every_character_has_its_place(text: str) -> None:
    whole = unicodedata.normalize("NFD", text).casefold()
    whole = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", whole).casefold())
    whole = regex.sub(r"\p{Default_Ignorable_Code_Point}", "", whole).translate(str.maketrans("’‘ʼ＇", "''''"))
    folded = fold(text)
    assert folded.text == whole
    assert len(folded.sources) == len(folded.text)
    assert all(0 <= place.start < place.end <= len(text) for place in folded.sources)
    assert all(a.start <= b.start for a, b in itertools.pairwise(folded.sources))


@given(text=TEXT, form=st.sampled_from(FORMS))
def test_folding_sees_no_unicode_form(text: str, form: Literal["NFC", "NFD", "NFKC", "NFKD"]) -> None:
    assert fold(unicodedata.normalize(form, text)).text == fold(text).text


@given(word=LATIN, form=st.sampled_from(FORMS), upper=st.booleans(), before=st.sampled_from(["", "x ", "«", "1, "]))
def test_a_phrase_is_found_in_any_case_and_form_at_its_own_place(
    word: str, form: Literal["NFC", "NFD", "NFKC", "NFKD"], upper: bool, before: str
) -> None:
    written = unicodedata.normalize(form, word.upper() if upper else word)
    text = f"{before}{written} and"
    places = list(find_phrase(fold(text), word))
    assert (places[0].start, places[0].end) == (len(before), len(before) + len(written)) or word == "x"


@given(word=LATIN, more=LATIN)
def test_a_phrase_is_never_found_inside_a_longer_word_unless_that_is_asked(word: str, more: str) -> None:
    for text in (word + more, more + word, more + word + more):
        assert found(text, word) == []
        assert found(text, word, whole_words=False) != []


@pytest.mark.parametrize(
    ("text", "phrase", "expected"),
    [
        ("a CAFÉ", "café", ["CAFÉ"]),
        ("a cafe\u0301", "café", ["cafe\u0301"]),
        ("a cafe\u0301", "cafe", []),  # another word: the accent belongs to its last letter
        ("in der STRASSE", "straße", ["STRASSE"]),
        ("thank\n  you", "thank you", ["thank\n  you"]),
        ("I don’t", "don't", ["don’t"]),
        ("a b\u200bo\u00admb", "bomb", ["b\u200bo\u00admb"]),  # hidden characters hide nothing
        ("ｆｕｌｌ width", "full", ["ｆｕｌｌ"]),
        ("C++17 and C++", "c++", ["C++", "C++"]),  # an edge that is no word has no word's boundary
        ("well-kept", "kept", ["kept"]),
        ("bombs", "bomb", []),
        ("黒猫が", "猫", []),
        ("a.b", "a b", []),
    ],
)
def test_phrases_and_their_boundaries(text: str, phrase: str, expected: list[str]) -> None:
    assert found(text, phrase) == expected


def test_a_phrase_of_nothing_is_told() -> None:
    assert [says_something(phrase) for phrase in ("a", "…", "", " \n", "\u200b")] == [True, True, False, False, False]
    assert found("黒猫が", "猫", whole_words=False) == ["猫"]


def test_words_are_joined_by_apostrophes_and_hyphens_and_nothing_else() -> None:
    assert words("Don't—I’m a well-kept cafe\u0301, 3.5 km!") == [
        *("Don't", "I’m", "a", "well-kept", "cafe\u0301", "3", "5", "km"),
    ]
    assert words("… --- ' \n") == []


@given(text=LATIN, form=st.sampled_from(FORMS))
def test_a_character_is_what_a_reader_sees(text: str, form: Literal["NFC", "NFD", "NFKC", "NFKD"]) -> None:
    assert characters(unicodedata.normalize(form, text)) == len(text)
    assert characters("👩‍👩‍👧e\u0301\r\n") == 3


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One. Two! Three?", ["One.", "Two!", "Three?"]),
        ("It costs 3.50 today.", ["It costs 3.50 today."]),
        ("Dr. Smith came, e.g. today", ["Dr. Smith came, e.g. today"]),
        ('"Why?" (So.) Yes', ['"Why?"', "(So.)", "Yes"]),
        ("Steps:\n1. Cut it.\n2. Boil it.", ["Steps:", "1. Cut it.", "2. Boil it."]),
        ("A title\n\nand text\nthat goes on.", ["A title", "and text\nthat goes on."]),
        ("茶です。水です。", ["茶です。", "水です。"]),
        ("…!? \n", []),
    ],
)
def test_sentences_end_at_their_marks(text: str, expected: list[str]) -> None:
    assert [text[place.start : place.end] for place in sentences(text)] == expected


@given(text=TEXT)
def test_sentences_are_apart_in_order_and_hold_every_word(text: str) -> None:
    places = sentences(text)
    assert all(a.end <= b.start for a, b in itertools.pairwise(places))
    assert sum(len(words(text[place.start : place.end])) for place in places) >= len(words(text))
    assert bool(places) == bool(words(text))


# Counted by hand, by what is spoken.
SYLLABLES = {
    1: ["a", "the", "cat", "stopped", "make", "strength", "wished", "eyes", "me"],
    2: ["water", "table", "little", "lion", "poem", "being", "rhythm", "boxes", "wanted"],
    3: ["banana", "video", "syllable", "beautiful"],
    4: ["education", "understanding"],
    5: ["international", "university"],
}


@pytest.mark.parametrize(("count", "word"), [(count, word) for count, many in SYLLABLES.items() for word in many])
def test_syllables_counted_by_hand(count: int, word: str) -> None:
    assert syllables(word) == count


def test_the_grade_of_a_text_counted_by_hand() -> None:
    # 6 words, 1 sentence, 6 syllables; then 11 words, 2 sentences, 15 syllables (wa-ter, kit-chen, ta-ble, lit-tle).
    assert reading_grade("The cat sat on the mat.") == pytest.approx(0.39 * 6 + 11.8 * 1 - 15.59)
    text = "Put water on the kitchen table. Boil a little, then stop."
    assert reading_grade(text) == pytest.approx(0.39 * 11 / 2 + 11.8 * 15 / 11 - 15.59)
    assert reading_grade(" … ") is None


def test_longer_sentences_and_longer_words_are_harder() -> None:
    easy = reading_grade("We eat. We run.")
    longer = reading_grade("We eat and we run.")
    harder = reading_grade("International cooperation necessitates communication.")
    assert easy is not None
    assert longer is not None
    assert harder is not None
    assert easy < longer < harder


def test_shortening_keeps_one_line_and_marks_what_is_missing() -> None:
    assert shorten("a\n b\t c", 10) == "a b c"
    assert shorten("abcdef", 4) == "abc…"
