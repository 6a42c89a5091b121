"""IFEval's 25 kinds of instructions: for each an answer that follows it, and one that all but does."""

import sys
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from truing.data.ifeval import ARGUMENTS, Instruction
from truing.judges.instructions import followed, followed_loosely, language_of

FEWER, MORE = {"relation": "less than"}, {"relation": "at least"}
# (kind, arguments, answers that follow, answers that do not)
CASES: list[tuple[str, dict[str, Any], list[str], list[str]]] = [
    ("keywords:existence", {"keywords": ("tide", "moon")}, ["Moon and TIDES"], ["The moon.", "m00n tide"]),
    ("keywords:existence", {"keywords": ("c++",)}, ["I write C++."], ["I write ccc."]),
    ("keywords:frequency", {"keyword": "a", "frequency": 3, **MORE}, ["A, a and b"], ["a, b, c"]),
    ("keywords:frequency", {"keyword": "so", "frequency": 2, **FEWER}, ["so it is", "no"], ["so so"]),
    ("keywords:forbidden_words", {"forbidden_words": ("tide",)}, ["The tides."], ["The Tide.", "no, tide!"]),
    (
        "keywords:letter_frequency",
        {"letter": "E", "let_frequency": 2, "let_relation": "at least"},
        ["Eve", "e-e"],
        ["e and a"],
    ),
    ("keywords:letter_frequency", {"letter": "#", "let_frequency": 1, "let_relation": "less than"}, ["a"], ["a #"]),
    ("length_constraints:number_sentences", {"num_sentences": 2, **MORE}, ["One. Two."], ["Only one."]),
    ("length_constraints:number_sentences", {"num_sentences": 2, **FEWER}, ["Only one."], ["One. Two."]),
    ("length_constraints:number_words", {"num_words": 3, **FEWER}, ["two words"], ["now three words"]),
    ("length_constraints:number_words", {"num_words": 3, **MORE}, ["now three words"], ["two words"]),
    (
        "length_constraints:number_paragraphs",
        {"num_paragraphs": 2},
        ["a\n***\nb", "***\na\n***\nb\n***", "a *** b"],
        ["a", "a\n***\n***\nb", "a***b***c", "a***"],
    ),
    (
        "length_constraints:nth_paragraph_first_word",
        {"num_paragraphs": 2, "nth_paragraph": 2, "first_word": "Then"},
        ["First.\n\nthen, again", 'First.\n\n"Then" again', "First.\n\nThen"],
        ["Then.\n\nFirst", "First.\n\nThen\n\nmore", "First.\n\nThenceforth", "Then", "a\n\n\n\nThen"],
    ),
    (
        "detectable_content:number_placeholders",
        {"num_placeholders": 2},
        ["[name] lives in [city]"],
        ["[name] lives in (city)"],
    ),
    (
        "detectable_content:postscript",
        {"postscript_marker": "P.S."},
        ["Bye.\nP.S. one more", "Bye. p. s. more"],
        ["Bye. PS: more"],
    ),
    (
        "detectable_content:postscript",
        {"postscript_marker": "P.P.S"},
        ["Bye.\nP.P.S. one more", "Bye. p. p. s"],
        ["Bye.\nP.S. more"],
    ),
    (
        "detectable_format:number_bullet_lists",
        {"num_bullets": 2},
        ["* a\n* b", "- a\n  - b", "List:\n* a\n- b\n** bold **"],
        ["* a", "* a\n* b\n* c", "1. a\n2. b"],
    ),
    (
        "detectable_format:constrained_response",
        {},
        ["My answer is maybe.", "Well: My answer is no. Bye"],
        ["My answer is perhaps.", "my answer is yes."],
    ),
    (
        "detectable_format:number_highlighted_sections",
        {"num_highlights": 2},
        ["*one* and *two*", "**one** and *two*", "**one** **two**"],
        ["*one* and two", "** ** and *one*", "*one\ntwo* and *three*"],
    ),
    (
        "detectable_format:multiple_sections",
        {"section_spliter": "Section", "num_sections": 2},
        ["Section 1\na\nSection 2\nb", "Section1 Section 22"],
        ["Section 1\na", "SECTION 1 SECTION 2", "Section one Section two"],
    ),
    (
        "detectable_format:json_format",
        {},
        ['{"a": [1, 2]}', '```json\n{"a": 1}\n```', "```\n[]\n```"],
        ["{'a': 1}", 'Here: {"a": 1}', '{"a": 1'],
    ),
    ("detectable_format:title", {}, ["<<The tide>>\nIt rises."], ["<The tide>", "<< >>", "<<The\ntide>>"]),
    (
        "combination:two_responses",
        {},
        ["a\n******\nb", "******a******b"],
        ["a", "a ****** a", "a******b******c", "a************b"],
    ),
    (
        "combination:repeat_prompt",
        {"prompt_to_repeat": "Why is it so? "},
        ["why is it so? Because.", "  Why is it so?"],
        ["You ask: Why is it so?", "Why is it?"],
    ),
    (
        "startend:end_checker",
        {"end_phrase": "That is all."},
        ["It rises. That is all.", 'x that is ALL."\n'],
        ["That is all. Bye.", "That is all"],
    ),
    ("startend:quotation", {}, ['"All of it."', ' "a" '], ['"Not all', '"', "“curly”"]),
    (
        "change_case:capital_word_frequency",
        {"capital_frequency": 2, "capital_relation": "at least"},
        ["VERY GOOD work", "I DO"],
        ["VERY good", "Well-Known Names"],
    ),
    (
        "change_case:capital_word_frequency",
        {"capital_frequency": 1, "capital_relation": "less than"},
        ["quiet"],
        ["LOUD"],
    ),
    ("punctuation:no_comma", {}, ["It rises and falls"], ["It rises, and falls"]),
]


@pytest.mark.parametrize(
    ("kind", "arguments", "follow", "fail"), CASES, ids=lambda one: one if isinstance(one, str) else ""
)
def test_an_answer_that_follows_and_one_that_does_not(
    kind: str, arguments: dict[str, Any], follow: list[str], fail: list[str]
) -> None:
    instruction = Instruction(kind=kind, arguments=arguments)
    assert {text: followed(instruction, text) for text in follow} == dict.fromkeys(follow, True)
    assert {text: followed(instruction, text) for text in fail} == dict.fromkeys(fail, False)


@pytest.fixture
def detector(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A stand-in for langdetect: a text with `ist` is German, one without letters has no language, others English."""
    module: Any = ModuleType("langdetect")
    module.LangDetectException = type("LangDetectException", (Exception,), {})
    module.DetectorFactory = type("DetectorFactory", (), {"seed": None})

    def detect(text: str) -> str:
        if not any(map(str.isalpha, text)):
            raise module.LangDetectException
        return "de" if "ist" in text.lower() else "en"

    module.detect = detect
    monkeypatch.setitem(sys.modules, "langdetect", module)
    made: ModuleType = module
    return made


LANGUAGE = [
    ("language:response_language", {"language": "de"}, "Das ist gut.", "It is good."),
    ("change_case:english_capital", {}, "ALL IS WELL", "ALL is WELL"),
    ("change_case:english_lowercase", {}, "all is well", "All is well"),
]


@pytest.mark.usefixtures("detector")
@pytest.mark.parametrize(("kind", "arguments", "follows", "fails"), LANGUAGE)
def test_the_language_is_the_detectors(kind: str, arguments: dict[str, Any], follows: str, fails: str) -> None:
    instruction = Instruction(kind=kind, arguments=arguments)
    assert (followed(instruction, follows), followed(instruction, fails)) == (True, False)
    assert language_of("12 + 3") is None
    assert followed(Instruction(kind="language:response_language", arguments={"language": "de"}), "12 + 3") is None


@pytest.mark.usefixtures("detector")
def test_the_right_case_in_another_language_does_not_follow() -> None:
    assert followed(Instruction(kind="change_case:english_capital", arguments={}), "DAS IST GUT") is False
    assert followed(Instruction(kind="change_case:english_lowercase", arguments={}), "das ist gut") is False


@pytest.mark.parametrize(("kind", "arguments", "follows", "fails"), LANGUAGE)
def test_without_a_detector_the_language_is_unknown_and_the_case_is_not(
    monkeypatch: pytest.MonkeyPatch, kind: str, arguments: dict[str, Any], follows: str, fails: str
) -> None:
    monkeypatch.setitem(sys.modules, "langdetect", None)
    instruction = Instruction(kind=kind, arguments=arguments)
    assert followed(instruction, follows) is None
    assert followed(instruction, fails) is (False if kind.startswith("change_case") else None)


def test_real_texts_are_in_their_languages() -> None:
    pytest.importorskip("langdetect", reason="langdetect is not installed: pip install 'truing[ifeval]'")
    assert language_of("The tide rises and the tide falls, and the traveller hastens toward the town.") == "en"
    assert language_of("Die Flut steigt und fällt, und der Wanderer eilt der Stadt entgegen.") == "de"


def test_every_kind_has_its_cases() -> None:
    assert {case[0] for case in (*CASES, *LANGUAGE)} == set(ARGUMENTS)
    assert len(ARGUMENTS) == 25


@pytest.mark.parametrize(
    ("kind", "arguments", "answer"),
    [
        ("startend:quotation", {}, 'Here you are:\n"All of it."'),
        ("startend:quotation", {}, '"All of it."\nI hope that it helps.'),
        ("startend:quotation", {}, 'Here:\n"All of it."\nBye.'),
        ("startend:end_checker", {"end_phrase": "That is all."}, "It rises. **That is all.**"),
        ("combination:repeat_prompt", {"prompt_to_repeat": "Why?"}, "Of course:\n*Why?* Because."),
    ],
)
def test_loosely_an_introduction_an_ending_and_asterisks_do_not_count(
    kind: str, arguments: dict[str, Any], answer: str
) -> None:
    instruction = Instruction(kind=kind, arguments=arguments)
    assert (followed(instruction, answer), followed_loosely(instruction, answer)) == (False, True)
    assert followed_loosely(instruction, f"And\nso\n{answer}\nand\nso on") is False


@given(number=st.integers(0, len(CASES) - 1), text=st.text(alphabet='ab *-\n"<>#.,1[]', max_size=30))
def test_what_is_followed_to_the_letter_is_followed_loosely(number: int, text: str) -> None:
    kind, arguments, *_ = CASES[number]
    instruction = Instruction(kind=kind, arguments=arguments)
    strict, loose = followed(instruction, text), followed_loosely(instruction, text)
    assert loose or not strict


@pytest.mark.parametrize("kind", ["punctuation:no_comma", "language:response_language"])
def test_an_answer_that_says_nothing_follows_nothing(kind: str) -> None:
    assert followed(Instruction(kind=kind, arguments={"language": "de"}), " \n") is False
    assert followed_loosely(Instruction(kind=kind, arguments={"language": "de"}), "") is False
