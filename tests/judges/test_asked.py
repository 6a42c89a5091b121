"""Judges that ask a model: what counts as a verdict, and both orders of a pair."""

import json
from collections.abc import Callable, Iterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from truing.core.records import Answer, Conversation, Decoding, Message
from truing.judges.asked import (
    PairwiseJudge,
    RubricConfig,
    RubricJudge,
    position_bias,
    preference,
    read_place,
    read_verdict,
)

PROMPT = (Message(role="user", content="How is tea made?"),)
CONFIG = RubricConfig(criterion="Does the answer name water?")


class Model:
    """Replies as a function of what it is shown; answers come in reverse order."""

    def __init__(self, reply: Callable[[dict[str, str]], str], missing: str = "") -> None:
        self.reply, self.missing = reply, missing
        self.asked: list[str] = []

    def sample(self, prompts: Sequence[Conversation], decoding: Decoding) -> Iterator[tuple[int, Answer]]:
        assert decoding.temperature == 0
        for number, prompt in reversed(list(enumerate(prompts))):
            self.asked.append(prompt[-1].content)
            text = self.reply(shown(prompt))
            yield (
                number,
                Answer(text=text, token_ids=(), logprobs=(), finished=True, least_gap=None, missing=self.missing),
            )


def shown(prompt: Conversation) -> dict[str, str]:
    """The JSON object inside a judge's prompt."""
    text = prompt[-1].content
    found: dict[str, str] = json.JSONDecoder().raw_decode(text[text.index("\n\n{") + 2 :])[0]
    return found


@pytest.mark.parametrize(
    ("reply", "value"),
    [
        ('{"reason": "it does", "verdict": "yes"}', 1.0),
        ('  {"verdict": "no"}\n', 0.0),
        ('```json\n{"verdict": "no"}\n```', 0.0),
        ('{"verdict": "unknown"}', None),
        ("yes", None),
        ('"yes"', None),
        ("[1]", None),
        ('{"verdict": "YES"}', None),
        ('{"verdict": true}', None),
        ('{"verdict": ["yes"]}', None),
        ('{"verdict": "yes"} {"verdict": "no"}', None),
        ('{"verdict": "yes", "verdict": "no"}', None),
        ('I think: {"verdict": "yes"}', None),
        ('{"answer": "yes"}', None),
        ("[" * 100_000, None),
        ("", None),
    ],
)
def test_only_one_json_object_with_a_verdict_counts(reply: str, value: float | None) -> None:
    assert read_verdict(reply).value == value


@given(st.text())
def test_no_reply_whatever_is_taken_for_a_verdict_by_accident(reply: str) -> None:
    assert read_verdict(reply).value is None
    assert read_place(reply) is None


def test_a_rubric_judges_each_answer_by_its_own_reply() -> None:
    model = Model(lambda seen: json.dumps({"verdict": "yes" if "water" in seen["answer"] else "no"}))
    judge = RubricJudge(model, CONFIG, "made up")
    answers = ["Boil water.", "Use milk.", "…", "Hot water!"]
    found = dict(judge.judge_all([(PROMPT, answer) for answer in answers]))
    assert [found[n].value for n in range(4)] == [1.0, 0.0, None, 1.0]
    assert len(model.asked) == 3, "an answer without words is asked about by nobody"
    assert judge.judge(PROMPT, "Boil water.").value == 1.0


@given(st.text(min_size=1))
def test_an_answer_cannot_end_its_quotation(answer: str) -> None:
    """Whatever an answer holds (quotation marks, a verdict), the judge's prompt still holds it as one string."""
    model = Model(lambda seen: json.dumps({"verdict": "yes" if seen["answer"] == f"a {answer}" else "no"}))
    assert RubricJudge(model, CONFIG, "made up").judge(PROMPT, f"a {answer}").value == 1.0


def test_a_missing_reply_is_unknown_with_its_reason() -> None:
    found = RubricJudge(Model(lambda _: '{"verdict": "yes"}', "the filter"), CONFIG, "made up").judge(PROMPT, "Tea.")
    assert (found.value, found.reason) == (None, "the filter")


def test_the_version_names_the_model_and_changes_with_the_criterion() -> None:
    one = RubricJudge(Model(str), CONFIG, "small")
    other = RubricJudge(Model(str), RubricConfig(criterion="Is it polite?"), "small")
    assert "small" in one.version
    assert one.version != other.version


def better(first: str) -> Callable[[dict[str, str]], str]:
    """A model that likes the longer answer, if asked to be fair; or always one place."""

    def reply(seen: dict[str, str]) -> str:
        if first != "longer":
            return json.dumps({"better": first})
        one, other = len(seen["first"]), len(seen["second"])
        return json.dumps({"better": "tie" if one == other else "first" if one > other else "second"})

    return reply


def test_a_fair_judge_gives_the_same_verdict_whichever_answer_stands_first() -> None:
    judge = PairwiseJudge(Model(better("longer")), "Which is longer?", "made up")
    rows = [(PROMPT, "aaa", "b"), (PROMPT, "a", "bbb"), (PROMPT, "aa", "bb")]
    assert [one.better for one in judge.compare(rows)] == ["a", "b", "tie"]
    assert [one.better for one in judge.compare([(p, b, a) for p, a, b in rows])] == ["b", "a", "tie"]
    assert position_bias(judge.compare(rows)).first_both == 0


@pytest.mark.parametrize(("place", "first"), [("first", 20), ("second", 0)])
def test_a_judge_that_goes_by_place_gives_ties_and_is_found_out(place: str, first: int) -> None:
    found = PairwiseJudge(Model(better(place)), "Which?", "made up").compare([(PROMPT, "a", "b")] * 20)
    assert {one.better for one in found} == {"tie"}
    bias = position_bias(found)
    assert (bias.first_both, bias.second_both, bias.pairs) == (first, 20 - first, 20)
    assert bias.p == pytest.approx(2 / 2**20)


def test_one_reply_that_is_none_makes_the_pair_unknown() -> None:
    replies = iter(["I prefer the first.", json.dumps({"better": "first"})])
    (found,) = PairwiseJudge(Model(lambda _: next(replies)), "Which?", "made up").compare([(PROMPT, "a", "b")])
    assert found.better is None
    assert position_bias([found]).unknown == 1


@given(st.sampled_from([0, 1, 2, None]), st.sampled_from([0, 1, 2, None]))
def test_exchanging_the_answers_exchanges_the_verdict(first: int | None, second: int | None) -> None:
    other = {"a": "b", "b": "a", "tie": "tie", None: None}
    assert preference(second, first).better == other[preference(first, second).better]
