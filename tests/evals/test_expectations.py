"""What a suite may ask of an answer: each kind on answers whose verdict is plain, and expectations that are none."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from truing.core.errors import InputError
from truing.core.records import Message
from truing.data.rows import RowError
from truing.evals.expectations import KINDS, SuiteMetric, numbers

PROMPT = (Message(role="user", content="?"),)


def metric(**values: Any) -> SuiteMetric:
    return KINDS[values["judge"]].parse({"name": "m", **values}, "suite")


def verdict(answer: str, row: dict[str, Any] | None = None, **values: Any) -> float | None:
    return metric(**values).bound(row or {}).judge(PROMPT, answer).value


@pytest.mark.parametrize(
    ("values", "right", "wrong"),
    [
        ({"judge": "contains", "expect": "oolong"}, ["An OOLONG tea."], ["A black tea.", "Oolongs"]),
        ({"judge": "contains", "expect": "oolong", "whole_words": False}, ["Oolongs"], ["Black"]),
        ({"judge": "contains", "expect": ["hot", "cold"]}, ["cold"], ["warm"]),
        ({"judge": "contains", "expect": ["hot", "cold"], "need": "all"}, ["hot, then cold"], ["cold"]),
        ({"judge": "contains", "expect": 90}, ["At 90 degrees."], ["At 190 degrees."]),
        ({"judge": "exact", "expect": "Green  tea."}, ["green tea", " Green tea. "], ["Green tea, I think."]),
        ({"judge": "exact", "expect": ["yes", "no"]}, ["No."], ["Not at all"]),
        ({"judge": "regex", "expect": r"\b\d+ min"}, ["3 min"], ["three min", "3 MIN"]),
        ({"judge": "number", "expect": 3}, ["3", "First 2, then 3.", "3.0 minutes"], ["2", "3 or 4", "none at all"]),
        ({"judge": "number", "expect": "1,200"}, ["It costs 1200.", "$1,200.00"], ["12,00"]),
        ({"judge": "number", "expect": 3, "place": "first"}, ["3 or 4"], ["4 or 3"]),
        ({"judge": "number", "expect": 3, "tolerance": 0.5}, ["3.4", "2.5"], ["3.6"]),
        ({"judge": "refusal"}, ["I'm sorry, but I can't help with that."], ["Of course: first boil water."]),
        ({"judge": "refusal", "expect": False}, ["Of course: boil water."], ["I'm sorry, but I can't help."]),
        ({"judge": "admission"}, ["I don't know."], ["It was 1907."]),
        (
            {"judge": "rules", "rule": [{"name": "short", "kind": "length", "at_most": 3}]},
            ["One two three."],
            ["One two three four."],
        ),
    ],
)
def test_each_kind_on_answers_whose_verdict_is_plain(
    values: dict[str, Any], right: list[str], wrong: list[str]
) -> None:
    assert [verdict(answer, **values) for answer in right] == [1.0] * len(right)
    assert [verdict(answer, **values) for answer in wrong] == [0.0] * len(wrong)


@pytest.mark.parametrize(
    "values",
    [
        {"judge": "contains", "expect": "tea"},
        {"judge": "exact", "expect": "tea"},
        {"judge": "regex", "expect": "^"},
        {"judge": "number", "expect": 1},
        {"judge": "refusal", "expect": False},
        {"judge": "rules", "rule": [{"name": "tame", "kind": "must_not_mention", "phrases": ["gun"]}]},
    ],
)
def test_an_answer_without_a_word_is_unknown_to_every_kind(values: dict[str, Any]) -> None:
    assert verdict(" …\n", **values) is None


def test_a_regular_expression_that_takes_too_long_cannot_tell() -> None:
    assert verdict("a" * 60 + "!", judge="regex", expect="(a|aa)+$") is None


@pytest.mark.parametrize(
    ("column", "value", "answer"),
    [("contains", "oolong", "Oolong"), ("number", "7", "7"), ("refusal", "FALSE", "Yes."), ("admission", True, "")],
)
def test_a_column_says_what_this_item_expects(column: str, value: Any, answer: str) -> None:
    one = metric(judge=column, column="wanted")
    assert one.columns() == ["wanted"]
    assert one.bound({"wanted": value}).judge(PROMPT, answer or "I don't know.").value == 1.0


@pytest.mark.parametrize(
    ("kind", "value", "told"),
    [
        ("contains", " ", "'wanted' is ' '; a text, or a list of texts, is expected"),
        ("contains", [], "a list of texts"),
        ("contains", {"a": 1}, "a list of texts"),
        ("contains", True, "a list of texts"),
        ("contains", "\u200b", "phrase 1 is empty"),
        ("regex", "(", "not a regular expression"),
        ("regex", ["a", "b"], "2 texts; one regular expression is expected"),
        ("number", "two", "one number is expected"),
        ("number", "1 or 2", "one number is expected"),
        ("number", True, "one number is expected"),
        ("refusal", "maybe", "'wanted' is 'maybe'; true or false is expected"),
    ],
)
def test_an_items_expectation_that_is_none_is_a_bad_row(kind: str, value: Any, told: str) -> None:
    with pytest.raises(RowError, match=told):
        metric(judge=kind, column="wanted").bound({"wanted": value})


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"judge": "contains"}, "give expect .* or column"),
        ({"judge": "contains", "expect": "a", "column": "b"}, "give expect .* or column"),
        ({"judge": "regex", "expect": "("}, "not a regular expression"),
        ({"judge": "number", "expect": "none"}, "one number is expected"),
        ({"judge": "number", "expect": 1, "tolerence": 1}, "unknown key 'tolerence'; did you mean 'tolerance'"),
        ({"judge": "refusal", "expect": True, "column": "b"}, "not both"),
        ({"judge": "rules"}, "give rules .* or"),
        ({"judge": "rules", "rule": [{"name": "a", "kind": "lenght"}]}, "did you mean 'length'"),
        ({"judge": "exact", "expect": "a", "better": "upper"}, "'better' is 'upper'"),
        ({"judge": "exact", "expect": "a", "aspect": "kind"}, "'aspect' is 'kind'"),
        ({"judge": "exact", "expect": "a", "name": "A b"}, "'name' is 'A b'"),
    ],
)
def test_a_metric_that_cannot_be_is_one_sentence(values: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError, match=told) as caught:
        metric(**values)
    assert "\n" not in str(caught.value)


@given(st.lists(st.integers(-(10**9), 10**9), max_size=5), st.sampled_from([" and ", ", ", "; ", " kg\n"]))
def test_numbers_are_found_as_they_were_written(values: list[int], between: str) -> None:
    for form in ("{}", "{:,}", "{}.00", "${}"):
        assert numbers(between.join(form.format(value) for value in values)) == values


def test_digits_of_a_word_are_no_number() -> None:
    assert numbers("v2.1, B12 and x_3; 2nd, .5 and −4, 1.5e3") == [2.0, 0.5, -4.0, 1500.0]
    assert numbers("1,234,5678") == [1234.0, 5678.0]
