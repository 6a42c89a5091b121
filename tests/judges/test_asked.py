"""A judge that asks a model: what counts as a verdict, and what an answer cannot do to its judge."""

import json
from collections.abc import Callable, Iterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from truing.core.records import Answer, Conversation, Decoding, Message
from truing.judges.asked import RubricConfig, RubricJudge, read_verdict

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
