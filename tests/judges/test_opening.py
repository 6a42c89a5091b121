"""What a string judge reads does not depend on how an answer is typed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from truing.judges.opening import OPENING_CHARACTERS, opening
from truing.judges.scope import says_nothing


@given(st.text())
def test_it_is_never_longer_than_the_limit_and_outer_whitespace_is_nothing(
    answer: str,
) -> None:
    read = opening(answer)
    assert len(read) <= OPENING_CHARACTERS
    assert opening(answer + " ") == read
    assert opening("\n\t " + answer) == read


@pytest.mark.parametrize(
    "typed",
    ["I can't HELP  with\nthat.", "I can’t help with that.", "i can‘t help with that.", "  I CAN'T help with that. "],
)
def test_case_apostrophes_and_whitespace_do_not_matter(typed: str) -> None:
    assert opening(typed) == "i can't help with that."


def test_two_sentences_are_read() -> None:
    assert opening("One. Two! Three? Four.") == "one. two!"
    assert opening("Version 2.5 is out. It costs 3.50 now. Three.") == "version 2.5 is out. it costs 3.50 now."


def test_an_opening_without_an_end_is_cut_at_the_limit() -> None:
    assert opening("a" * 1000) == "a" * OPENING_CHARACTERS


def test_quotations_are_left_out_unless_the_answer_begins_with_one() -> None:
    assert opening('Say: "I can\'t come", and smile.') == "say: , and smile."
    assert opening("Say: “I can’t come”, and smile.") == "say: , and smile."
    assert opening("Say: \"I can't") == "say:", "a quotation that was cut is one too"
    assert opening('"I can\'t help."') == '"i can\'t help."'
    assert opening('"Hamlet" is a play. It is "long".') == '"hamlet" is a play. it is .'


@pytest.mark.parametrize("answer", ["", " \n", "...", "?!", "🙂", "—"])
def test_an_answer_without_words_says_nothing(answer: str) -> None:
    assert says_nothing(answer)


@pytest.mark.parametrize("answer", ["No", "42", "是"])
def test_a_word_or_a_number_in_any_script_says_something(answer: str) -> None:
    assert not says_nothing(answer)
