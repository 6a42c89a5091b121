"""Rewards: one finite number for each row or a sentence that names the row; and unknown is no number by itself."""

import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from truing.core.errors import InputError, RunError
from truing.core.protocols import Reward
from truing.core.records import Answer, Message
from truing.core.rules import mean_score, parse_rules
from truing.judges.refusal import RefusalJudge
from truing.judges.rewards import (
    FunctionReward,
    JudgeReward,
    RewardSetting,
    RuleReward,
    SumReward,
    load_function,
    open_reward,
    parse_reward,
)

PROMPT = (Message(role="user", content="Why?"),)
RULES = {
    "rule": [
        {"name": "short", "kind": "length", "at_most": 3},
        {"name": "easy", "kind": "reading_level", "at_most": 90},
    ]
}
RULE_FILE = '[[rule]]\nname = "short"\nkind = "length"\nat_most = 3\n'


def rows(*texts: str) -> list[tuple[tuple[Message, ...], Answer]]:
    return [(PROMPT, Answer(text=t, token_ids=(1,), logprobs=(0.0,), finished=True, least_gap=1.0)) for t in texts]


def function(value: Any) -> FunctionReward:
    return FunctionReward(lambda _rows: value, "mine.py:score", "1")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rules.toml").write_text(RULE_FILE)
    (tmp_path / "mine.py").write_text("def length(rows):\n    return [len(answer.text) for _, answer in rows]\n")
    return tmp_path


# ---- rules and judges


def test_a_rule_reward_is_the_mean_score_of_the_rules() -> None:
    rules = parse_rules(RULES, "rules.toml")
    texts = ("It is so.", "It is not so today.")
    assert RuleReward(rules).score(rows(*texts)) == [mean_score(rules.evaluate(text)) for text in texts] == [1.0, 0.8]


def test_a_judge_reward_is_its_verdict() -> None:
    assert JudgeReward(RefusalJudge()).score(rows("I can't help with that.", "Yes.")) == [1.0, 0.0]


@pytest.mark.parametrize("kind", ["rule", "judge"])
def test_what_cannot_be_told_stops_unless_it_has_a_worth_and_the_row_is_named(kind: str) -> None:
    def reward(unknown: float | None) -> Reward:
        rules = parse_rules(RULES, "rules.toml")
        return RuleReward(rules, unknown) if kind == "rule" else JudgeReward(RefusalJudge(), unknown)

    reason = r"easy: there is no word to read" if kind == "rule" else "the answer has no words"
    with pytest.raises(InputError, match=rf"row 2 of the answers cannot be scored \({reason}\); set `unknown`"):
        reward(None).score(rows("Yes.", "…"))
    assert reward(-2.5).score(rows("…"))[0] == -2.5
    assert reward(0.0).score(rows("…"))[0] == 0.0
    assert len({reward(unknown).version for unknown in (None, 0.0, 1.0)}) == 3


# ---- functions


@pytest.mark.parametrize(
    "value", [[1, 2.5], (1, 2.5), np.array([1, 2.5]), [np.float32(1), np.float64(2.5)], [True, 2.5]]
)
def test_a_function_may_return_any_kind_of_numbers(value: Any) -> None:
    found = function(value).score(rows("a", "b"))
    assert found == [1.0, 2.5]
    assert {type(number) for number in found} == {float}


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ([1.0], "returned 1 numbers for 2 rows; return one for each"),
        (1.0, "returned 1.0; expected a list with a number for each row"),
        (None, "returned None; expected a list"),
        ("ab", "returned 'ab'; expected a list"),
        ({1.0: 2, 2.0: 3}, "returned {1.0: 2, 2.0: 3}; expected a list"),
        ([1.0, math.nan], "returned nan for row 2 (answer 'b'); return a finite number for each row"),
        ([1.0, math.inf], "returned inf for row 2"),
        ([None, 1.0], "returned None for row 1 (answer 'a')"),
        (["1", 1.0], "returned '1' for row 1"),
        ([10**400, 1.0], "for row 1"),
    ],
)
def test_anything_else_is_refused_and_the_row_is_named(value: Any, sentence: str) -> None:
    with pytest.raises(InputError) as raised:
        function(value).score(rows("a", "b"))
    assert str(raised.value).startswith("mine.py:score ")
    assert sentence in str(raised.value)


def test_a_function_that_fails_is_named_and_what_is_meant_for_the_user_is_left_as_it_is() -> None:
    def fails(error: Exception) -> FunctionReward:
        def raising(_rows: Sequence[Any]) -> None:
            raise error

        return FunctionReward(raising, "mine.py:score", "1")

    with pytest.raises(InputError, match=r"mine\.py:score failed with KeyError: 'a'; mend it") as raised:
        fails(KeyError("a")).score(rows("a"))
    assert isinstance(raised.value.__cause__, KeyError)
    with pytest.raises(RunError, match=r"^the service is away$"):
        fails(RunError("the service is away")).score(rows("a"))


def test_a_function_is_taken_from_a_file_or_a_module(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reward: Reward = load_function("mine.py:length")
    assert reward.score(rows("a", "abc")) == [1.0, 3.0]
    monkeypatch.syspath_prepend(here)
    (here / "truing_test_reward.py").write_text("def two(rows):\n    return [2] * len(rows)\n")
    assert load_function("truing_test_reward:two").score(rows("a")) == [2.0]
    sys.modules.pop("truing_test_reward")


def test_a_function_sees_the_whole_row_and_dataclasses_work_in_its_file(here: Path) -> None:
    (here / "whole.py").write_text(
        "from __future__ import annotations\nfrom dataclasses import dataclass\n\n\n"
        "@dataclass\nclass Seen:\n    text: str\n\n\n"
        "def score(rows):\n    return [len(Seen(p[-1].content).text) + 10 * len(a.token_ids) for p, a in rows]\n"
    )
    assert load_function("whole.py:score").score(rows("a")) == [14.0]


def test_the_version_of_a_function_is_that_of_its_file(here: Path) -> None:
    first = load_function("mine.py:length").version
    assert load_function("mine.py:length").version == first
    (here / "mine.py").write_text((here / "mine.py").read_text() + "# changed\n")
    assert load_function("mine.py:length").version != first


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("absent.py:f", "absent.py: there is no such file; a function is written as file.py:name"),
        ("mine.py:lenght", "mine.py: there is no function 'lenght'; did you mean 'length'?"),
        ("mine.py:zzz", "mine.py: there is no function 'zzz'; it has length"),
        ("mine.py:", "function 'mine.py:': write it as file.py:name or module:name"),
        (":f", "function ':f': write it as file.py:name"),
        ("mine.py:a b", "function 'mine.py:a b': write it as"),
        ("broken.py:f", "broken.py: cannot be loaded, SyntaxError: "),
        ("no_such_module_at_all:f", "module 'no_such_module_at_all': cannot be imported, ModuleNotFoundError: "),
    ],
)
def test_what_names_no_function_is_one_sentence(here: Path, text: str, sentence: str) -> None:
    (here / "broken.py").write_text("def f(:\n")
    with pytest.raises(InputError) as raised:
        load_function(text)
    assert str(raised.value).startswith(sentence)


# ---- sums


def test_a_sum_weighs_its_parts_and_keeps_their_own_scores() -> None:
    first, second = function([1.0, 2.0]), function([10.0, -10.0])
    reward = SumReward({"a": (2.0, first), "b": (-0.5, second)})
    parts = reward.parts(rows("x", "y"))
    assert parts == {"a": [1.0, 2.0], "b": [10.0, -10.0]}
    assert reward.total(parts) == reward.score(rows("x", "y")) == [-3.0, 9.0]
    assert SumReward({"a": (1.0, first), "b": (-0.5, second)}).version != reward.version


# ---- settings


def test_a_setting_opens_each_kind(here: Path) -> None:  # noqa: ARG001 (the working folder)
    setting = RewardSetting.parse(
        {
            "sum": [
                {"name": "short", "rule": "rules.toml", "weight": 2},
                {"name": "long", "function": "mine.py:length", "weight": 0.1},
                {"name": "refuses", "judge": "refusal", "weight": -1, "unknown": 0},
                {"name": "admits", "sum": [{"name": "only", "judge": "admission", "unknown": 0.5}]},
            ]
        },
        "reward",
    )
    reward = open_reward(setting)
    assert isinstance(reward, SumReward)
    parts = reward.parts(rows("I can't.", "…"))
    assert parts == {"short": [1.0, 1.0], "long": [8.0, 1.0], "refuses": [1.0, 0.0], "admits": [0.0, 0.5]}
    assert reward.score(rows("I can't.", "…")) == pytest.approx([2 + 0.8 - 1, 2 + 0.1 + 0.5])


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({}, "a reward is exactly one of rule, function, judge, model, sum; found none"),
        (
            {"rule": "a.toml", "judge": "refusal"},
            "a reward is exactly one of rule, function, judge, model, sum; found rule and",
        ),
        ({"function": "a.py:f", "unknown": 1}, "unknown has no meaning beside 'function'; leave it out"),
        ({"judge": "kindness"}, "'judge' is 'kindness': Input should be 'refusal' or 'admission'"),
        ({"judge": "refusal", "unknown": math.inf}, "'unknown' is inf: "),
        ({"sum": []}, "'sum' is []: "),
        ({"sum": [{"judge": "refusal"}]}, "the key 'sum.0.name' is missing"),
        (
            {"sum": [{"name": "a", "judge": "refusal", "wieght": 2}]},
            "unknown key 'sum.0.wieght'; did you mean 'weight'?",
        ),
        (
            {"sum": [{"name": "a", "judge": "refusal"}] * 2},
            "two parts of a sum have one name (a, a); give each its own",
        ),
        ({"sum": [{"name": "a"}]}, "'sum.0' is {'name': 'a'}: a reward is exactly one of"),
        ({"ruel": "a.toml"}, "unknown key 'ruel'; did you mean 'rule'?"),
    ],
)
def test_a_bad_setting_is_one_sentence(values: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError) as raised:
        RewardSetting.parse(values, "reward")
    assert str(raised.value).startswith(f"reward: {sentence}")


def test_a_command_line_names_each_kind(here: Path) -> None:
    (here / "reward.toml").write_text('[[sum]]\nname = "a"\njudge = "refusal"\n')
    (here / "named.toml").write_text('rule = "rules.toml"\nunknown = 0.5\n')
    expected = {
        "rules.toml": {"rule": "rules.toml"},
        "reward.toml": {"sum": [{"name": "a", "judge": "refusal"}]},
        "named.toml": {"rule": "rules.toml", "unknown": 0.5},
        "mine.py:length": {"function": "mine.py:length"},
        "refusal": {"judge": "refusal"},
        '{judge = "refusal", unknown = 0}': {"judge": "refusal", "unknown": 0},
    }
    for text, values in expected.items():
        assert parse_reward(text, "--reward") == RewardSetting.parse(values, "x")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "refusla",
            "--reward refusla: neither a rule file (.toml), nor file.py:name, nor ledger:NAME, nor a judge; did you "
            "mean 'refusal'?",
        ),
        (
            "xyz",
            "--reward xyz: neither a rule file (.toml), nor file.py:name, nor ledger:NAME, nor a judge; the judges are "
            "refusal",
        ),
        ("absent.toml", "absent.toml: there is no such file"),
        ("empty.toml", "empty.toml: there are no rules"),
        ("{judge = }", "--reward: not a TOML table: "),
        ("{jugde = 'refusal'}", "--reward: unknown key 'jugde'; did you mean 'judge'?"),
        ("bad.toml", "bad.toml: [[rule]] 1 (a): unknown kind 'lenght'; did you mean 'length'?"),
    ],
)
def test_a_command_line_that_names_none_is_one_sentence(here: Path, text: str, sentence: str) -> None:
    (here / "empty.toml").write_text("")
    (here / "bad.toml").write_text('[[rule]]\nname = "a"\nkind = "lenght"\n')
    with pytest.raises(InputError) as raised:
        parse_reward(text, "--reward")
    assert str(raised.value).startswith(sentence)
