"""Forms that an answer is held against: what passes, what fails, and the place of what was found."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from truing.core.layout import FORMATS

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(value=JSON, indent=st.sampled_from([None, 2]))
def test_every_json_value_is_json_and_only_an_object_is_an_object(value: object, indent: int | None) -> None:
    text = json.dumps(value, indent=indent)
    assert FORMATS["json"](f"\n{text} ") == (1.0, [])
    assert FORMATS["json_object"](text)[0] == float(isinstance(value, dict))
    assert FORMATS["json"](text + "x")[0] == 0.0


def test_what_is_not_json_has_its_place_and_what_cannot_be_read_is_unknown() -> None:
    assert FORMATS["json"]('{"a": 1,}')[1] == [("not JSON: Expecting property name enclosed in double quotes", 8, 9)]
    assert FORMATS["json"]("")[0] == 0.0
    assert FORMATS["json"]("[NaN]") == (0.0, [("not JSON: NaN is no number", None, None)])
    assert FORMATS["json"]("```json\n{}\n```")[0] == 0.0
    for unreadable in ("[" * 200_000, "9" * 5_000):
        score, ((reason, *_),) = FORMATS["json"](unreadable)
        assert score is None
        assert reason.startswith("JSON that cannot be read: ")


@pytest.mark.parametrize(
    ("text", "score"),
    [
        ("- one\n- two", 1.0),
        ("1. one\n2) two\n\n3. three", 1.0),
        ("* one\n  goes on\n• two", 1.0),
        ("Here:\n- one\n- two\n- three", 0.75),
        ("  indented, but no item", 0.0),
        ("-no space", 0.0),
        ("- ", 0.0),
        ("", 0.0),
    ],
)
def test_a_list_is_scored_by_the_share_of_its_lines(text: str, score: float) -> None:
    assert FORMATS["list"](text)[0] == score


def test_the_place_of_a_line_that_is_no_item() -> None:
    text = "- one\nno item\n- two"
    assert FORMATS["list"](text)[1] == [("a line that is no item of a list", 6, 13)]


@pytest.mark.parametrize(
    ("text", "marked"),
    [
        ("## Title", "## Title"),
        ("a **bold** word", "**bold**"),
        ("a __bold__ word", "__bold__"),
        ("an *italic* word", "*italic*"),
        ("an _italic_ word", "_italic_"),
        ("run `ls`", "`ls`"),
        ("see [it](http://x)", "[it](http://x)"),
        ("x\n- item", "- "),
        ("x\n> said", ">"),
        ("| a | b |", "| a | b |"),
        ("```python", "```python"),
    ],
)
def test_marks_of_markdown_are_found_at_their_place(text: str, marked: str) -> None:
    score, places = FORMATS["no_markdown"](text)
    assert score == 1 / 2
    ((_, start, end),) = places
    assert text[start:end] == marked


@pytest.mark.parametrize(
    "text",
    ["2 * 3 * 4 = 24", "snake_case_name", "it's 5 > 3", "#hashtag", "a - b", "-5 degrees", "3.5 km", "[1] says", ""],
)
def test_plain_text_has_no_markdown(text: str) -> None:
    assert FORMATS["no_markdown"](text) == (1.0, [])


def test_each_mark_more_scores_less() -> None:
    scores = [FORMATS["no_markdown"]("**b** " * count)[0] for count in range(4)]
    assert scores == [1, 1 / 2, 1 / 3, 1 / 4]


def test_one_sentence_is_one_and_more_are_found_at_their_place() -> None:
    text = "One thing. Another. A third"
    assert FORMATS["single_sentence"]("One thing, e.g. this.") == (1.0, [])
    score, places = FORMATS["single_sentence"](text)
    assert (score, [text[start:end] for _, start, end in places]) == (1 / 3, ["Another.", "A third"])
    assert FORMATS["single_sentence"]("…")[0] == 0.0


@given(text=st.text(st.sampled_from("a.-*_`#>|[]() \n1")), name=st.sampled_from(sorted(FORMATS)))
def test_a_score_is_a_share_and_one_exactly_where_nothing_is_found(text: str, name: str) -> None:
    score, places = FORMATS[name](text)  # type: ignore[index]
    assert score is not None
    assert 0 <= score <= 1
    assert (score == 1) == (places == [])
    assert all(start is None or 0 <= start <= end <= len(text) for _, start, end in places)
