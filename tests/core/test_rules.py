"""Rules: a bad file is one sentence, what is found has its place, and a score falls with the distance from the rule."""

import math
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from truing.core import rules as module
from truing.core.errors import InputError
from truing.core.rules import KINDS, RuleResult, Rules, mean_score, parse_rules, read_rules

SLOW = "(a|aa)+$"
TEXT = st.text(st.characters(codec="utf-8"), max_size=60)


def one(**settings: Any) -> Rules:
    return parse_rules({"rule": [{"name": "it", **settings}]}, "rules.toml")


def result(text: str, **settings: Any) -> RuleResult:
    (found,) = one(**settings).evaluate(text)
    return found


EACH: dict[str, dict[str, Any]] = {
    "pattern": {"regex": "a+"},
    "pattern, not": {"kind": "pattern", "regex": "a", "must": "not_match"},
    "length": {"at_least": 2, "at_most": 4},
    "characters": {"kind": "length", "unit": "characters", "at_most": 9},
    "must_mention": {"phrases": ["please", "thank you"]},
    "any": {"kind": "must_mention", "phrases": ["a", "b"], "need": "any"},
    "must_not_mention": {"phrases": ["idiot", "a"]},
    "format": {"format": "single_sentence"},
    "reading_level": {"at_most": 6.0},
}
RULES = parse_rules({"rule": [{"name": name, "kind": name, **rule} for name, rule in EACH.items()]}, "rules.toml")


def test_every_kind_of_rule_is_tried_here() -> None:
    assert {rule.kind for rule in RULES.rules} == set(KINDS)


@given(text=TEXT)
def test_a_score_is_a_share_and_one_exactly_where_nothing_is_found(text: str) -> None:
    for found in RULES.evaluate(text):
        if found.score is None:
            assert [violation.certain for violation in found.violations] == [False]
            continue
        assert 0 <= found.score <= 1
        assert (found.score == 1) == (found.violations == ())
        for violation in found.violations:
            assert violation.rule == found.rule
            assert violation.certain
            assert violation.start is None or 0 <= violation.start <= (violation.end or 0) <= len(text)


# ---- each kind


def test_a_pattern_that_must_be_found() -> None:
    assert result("see BBC", kind="pattern", regex="bbc", flags=["ignore_case"]).score == 1.0
    assert result("see BBC", kind="pattern", regex="bbc").score == 0.0
    assert result("a\nb", kind="pattern", regex="^b$", flags=["multiline"]).score == 1.0
    assert result("a\nb", kind="pattern", regex="a.b", flags=["dot_all"]).score == 1.0


def test_a_pattern_that_must_not_be_found_names_every_place() -> None:
    found = result("as an AI, an AI", kind="pattern", regex=r"\ban AI\b", must="not_match")
    assert found.score == 1 / 3
    assert [(violation.start, violation.end) for violation in found.violations] == [(3, 8), (10, 15)]


@pytest.mark.parametrize("must", ["match", "not_match"])
def test_a_pattern_that_backtracks_without_end_is_stopped_and_is_unknown(must: str, monkeypatch: Any) -> None:
    monkeypatch.setattr(module, "SEARCH_SECONDS", 0.05)
    began = time.process_time()
    found = result("a" * 80 + "b", kind="pattern", regex=SLOW, must=must)
    assert time.process_time() - began < 5  # it would take longer than the universe has been there
    assert found.score is None
    assert [violation.certain for violation in found.violations] == [False]
    assert "backtracks less" in found.violations[0].reason


@given(low=st.integers(1, 6), more=st.integers(0, 6), count=st.integers(0, 30))
def test_a_length_scores_the_ratio_to_the_nearer_limit(low: int, more: int, count: int) -> None:
    score = result("word " * count, kind="length", at_least=low, at_most=low + more).score
    assert score == (count / low if count < low else min(1, (low + more) / max(count, 1)))


def test_characters_are_those_that_a_reader_counts() -> None:
    assert result("cafe\u0301", kind="length", unit="characters", at_most=4).score == 1.0
    assert result("caffee", kind="length", unit="characters", at_most=4).score == 4 / 6
    assert result("", kind="length", unit="characters", at_least=1).score == 0.0


def test_mentions_are_scored_by_the_share_that_is_there() -> None:
    phrases = ["Café", "thank you", "Straße", "b"]
    found = result("CAFE\u0301: thank\nyou", kind="must_mention", phrases=phrases)
    assert found.score == 1 / 2
    assert [violation.reason for violation in found.violations] == ["does not mention 'Straße'", "does not mention 'b'"]
    assert result("thank you", kind="must_mention", phrases=phrases, need="any").score == 1.0
    none = result("no", kind="must_mention", phrases=phrases, need="any")
    assert (none.score, len(none.violations)) == (0.0, 1)


def test_what_must_not_be_mentioned_is_found_at_its_place_in_the_answer_as_given() -> None:
    text = "ﬁrst I d\u200bied, dıed"  # a ligature and a hidden space shift nothing; a dotless i is another letter
    found = result(text, kind="must_not_mention", phrases=["DIED", "first"])
    assert {text[violation.start : violation.end] for violation in found.violations} == {"ﬁrst", "d\u200bied"}
    assert found.score == 1 / 3
    assert result("classic grass", kind="must_not_mention", phrases=["ass"]).score == 1.0
    assert result("classic", kind="must_not_mention", phrases=["ass"], whole_words=False).score == 1 / 2


def test_a_reading_level_falls_with_the_distance_and_is_unknown_without_words() -> None:
    grade = 0.39 * 6 + 11.8 - 15.59
    text = "The cat sat on the mat."
    assert result(text, kind="reading_level", at_most=grade + 0.01).score == 1.0
    assert result(text, kind="reading_level", at_most=grade - 1).score == pytest.approx(1 / 2)
    assert result(text, kind="reading_level", at_least=grade + 2).score == pytest.approx(1 / 3)
    assert result("…", kind="reading_level", at_most=8).score is None


def test_a_form() -> None:
    assert result("[1]", kind="format", format="json").score == 1.0
    assert result("[1", kind="format", format="json").violations[0].start == 2


# ---- together


def test_the_score_is_the_mean_by_weight() -> None:
    rules = parse_rules(
        {
            "rule": [
                {"name": "short", "kind": "length", "at_most": 2, "weight": 3},
                {"name": "b", "kind": "must_mention", "phrases": ["b"]},
            ]
        },
        "rules.toml",
    )
    assert mean_score(rules.evaluate("a a a a")) == (3 * 0.5 + 0) / 4
    assert mean_score(rules.evaluate("b")) == 1.0
    assert [violation.rule for violation in rules.violations("a a a")] == ["short", "b"]


def test_one_rule_that_cannot_tell_leaves_the_whole_unknown() -> None:
    assert mean_score(RULES.evaluate("…")) is None
    assert [violation.rule for violation in RULES.violations("…") if not violation.certain] == ["reading_level"]


def test_the_version_is_that_of_the_rules_and_not_of_the_layout(tmp_path: Path) -> None:
    path = tmp_path / "rules.toml"
    path.write_text('[[rule]]\nname = "a"\nkind = "length"\nat_most = 5\n')
    first = read_rules(path).version
    path.write_text('# why\nrule = [{kind = "length", at_most = 5, name = "a", at_least = 0}]\n')
    assert read_rules(path).version == first
    path.write_text('[[rule]]\nname = "a"\nkind = "length"\nat_most = 6\n')
    assert read_rules(path).version != first


# ---- a bad file is one sentence


@pytest.mark.parametrize(
    ("rule", "sentence"),
    [
        ({"kind": "lenght"}, "unknown kind 'lenght'; did you mean 'length'?"),
        ({"kind": "xyz"}, "unknown kind 'xyz'; known kinds are pattern, length, must_mention, "),
        ({"kind": ["length"]}, "unknown kind ['length']"),
        ({}, "the key 'kind' is missing; it is one of pattern, "),
        ({"kind": "pattern"}, "the key 'regex' is missing"),
        ({"kind": "pattern", "regex": "a(b"}, "'regex' is 'a(b': not a regular expression: missing ) at character 4"),
        ({"kind": "pattern", "regex": "a", "must": "no"}, "'must' is 'no'"),
        ({"kind": "length"}, "a length needs at_least, at_most, or both"),
        (
            {"kind": "length", "at_least": 9, "at_most": 5},
            "the band is empty: at_least 9 is above at_most 5; swap them",
        ),
        ({"kind": "length", "at_mots": 5}, "unknown key 'at_mots'; did you mean 'at_most'?"),
        ({"kind": "length", "at_most": -1}, "'at_most' is -1: "),
        ({"kind": "must_mention", "phrases": []}, "'phrases' is []: "),
        ({"kind": "must_mention", "phrases": ["a", " "]}, "'phrases' is ['a', ' ']: phrase 2 is empty; leave it out"),
        ({"kind": "format", "format": "xml"}, "'format' is 'xml': Input should be 'json', "),
        ({"kind": "reading_level"}, "a reading level needs at_least, at_most, or both"),
        (
            {"kind": "reading_level", "at_least": 9, "at_most": 8.5},
            "the band is empty: at_least 9 is above at_most 8.5",
        ),
        ({"kind": "length", "at_most": 5, "weight": 0}, "'weight' is 0: Input should be greater than 0"),
        ({"kind": "length", "at_most": 5, "weight": math.inf}, "'weight' is inf: "),
        ({"kind": "length", "at_most": 5, "applies_to": "prompt"}, "'applies_to' is 'prompt': "),
    ],
)
def test_a_bad_rule_is_one_sentence_with_its_place(rule: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError) as raised:
        parse_rules({"rule": [{"name": "a", "kind": "length", "at_most": 5}, {"name": "it", **rule}]}, "rules.toml")
    assert str(raised.value).startswith(f"rules.toml: [[rule]] 2 (it): {sentence}")


def test_a_pattern_that_cannot_be_compiled_at_all_is_refused() -> None:
    with pytest.raises(InputError, match="too deep or too large to be compiled; simplify it"):
        one(kind="pattern", regex="(" * 5000 + ")" * 5000)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({}, "there are no rules; write each as a [[rule]] table"),
        ({"rule": []}, "there are no rules"),
        ({"rule": {"name": "a"}}, "there are no rules; write each as a [[rule]] table"),
        ({"rule": [1]}, "there are no rules"),
        ({"rules": []}, "unknown key 'rules'; a rule file holds [[rule]] tables"),
        ({"rule": [{"kind": "length", "at_most": 5}]}, "[[rule]] 1: the key 'name' is missing"),
        ({"rule": [{"name": "a", "kind": "length", "at_most": 5}] * 2}, "2 rules are named 'a'; give each a name"),
    ],
)
def test_a_bad_file_is_one_sentence(values: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError) as raised:
        parse_rules(values, "rules.toml")
    assert str(raised.value).startswith(f"rules.toml: {sentence}")


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"absent\.toml: there is no such file"):
        read_rules(tmp_path / "absent.toml")
