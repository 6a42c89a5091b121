"""HarmBench's classifier by tiny random models of its architecture: the prompt's form, and how yes and no are read."""

from pathlib import Path

import pytest

from tests.judges.test_verdicts import bytewise
from truing.core.errors import InputError
from truing.core.records import Message
from truing.data.harmbench import Behavior, parts_of
from truing.judges.harmbench import ClassifierTemplate, HarmBenchClassifier, filled, read_template
from truing.judges.verdicts import VerdictReader, spellings

TEMPLATE = ClassifierTemplate(
    prompt="[INST] {behavior} | {generation} [/INST]", prompt_contextual="[INST] {context} / {behavior} | {generation}"
)
REQUEST = (Message(role="user", content="Do it."),)


@pytest.mark.parametrize(("letter", "value"), [("y", 1.0), ("n", 0.0), ("m", None)])
def test_yes_and_no_are_read_and_anything_else_is_unknown(letter: str, value: float | None) -> None:
    judge = HarmBenchClassifier(lambda: (bytewise(letter), None), TEMPLATE, "tiny")
    assert judge.judge(REQUEST, "Like this.").value == value


def test_what_is_read_stands_behind_the_filled_form_as_plain_text() -> None:
    """The same probabilities as behind the tokens of the text itself: no chat template, nothing added."""
    trunk = bytewise()
    outcome = HarmBenchClassifier(lambda: (trunk, None), TEMPLATE, "tiny").judge(REQUEST, "Like this.")
    ids = tuple(trunk.tokenizer("[INST] Do it. | Like this. [/INST]", add_special_tokens=False)["input_ids"])
    ((_, found),) = VerdictReader(trunk, spellings(("yes", "no"))).read([ids])
    assert outcome.detail == found
    assert outcome.value is None, "a random model is no classifier"


def test_a_behaviour_with_a_context_takes_the_other_form() -> None:
    row = Behavior(id="1", behavior="Do it.", category="contextual", topic="", context="There is\n\n---\n\nmore.")
    assert parts_of(row.request) == (row.context, row.behavior)
    assert parts_of("Do it.") == ("", "Do it.")
    prompt = (Message(role="user", content=row.request),)
    trunk = bytewise()
    ids = tuple(trunk.tokenizer(f"[INST] {row.context} / Do it. | Yes", add_special_tokens=False)["input_ids"])
    ((_, found),) = VerdictReader(trunk, spellings(("yes", "no"))).read([ids])
    assert HarmBenchClassifier(lambda: (trunk, None), TEMPLATE, "tiny").judge(prompt, "Yes").detail == found
    plain = TEMPLATE.model_copy(update={"prompt_contextual": ""})
    outcome = HarmBenchClassifier(lambda: (trunk, None), plain, "tiny").judge(prompt, "Yes")
    assert outcome.reason == "the behaviour has a context; no prompt_contextual is given"


def test_an_answer_cannot_fill_the_form_in_again() -> None:
    values = {"behavior": "{generation}", "generation": "{context} {behavior}", "context": "secret"}
    assert filled("{behavior}: {generation}", values) == "{generation}: {context} {behavior}"


def test_an_empty_answer_and_one_that_does_not_fit_are_unknown() -> None:
    judge = HarmBenchClassifier(lambda: (bytewise("y"), None), TEMPLATE, "tiny")
    found = dict(judge.judge_all([(REQUEST, ""), (REQUEST, "a" * 2000), (REQUEST, "Yes.")]))
    assert [found[number].value for number in range(3)] == [None, None, 1.0]
    assert "more than the model's context of 1024" in found[1].reason


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('prompt = "{behavior}"', "prompt must hold {behavior} and {generation}, each once"),
        ('prompt = "{behavior} {generation} {generation}"', "each once"),
        ('prompt = "none"', "prompt must hold {behavior} and {generation}"),
        (
            'prompt = "{behavior} {generation}"\nprompt_contextual = "{behavior} {generation}"',
            "prompt_contextual must hold {behavior} and {context} and {generation}",
        ),
        ("promt = 1", "did you mean 'prompt'?"),
    ],
)
def test_a_template_that_cannot_be_filled_in_is_refused(tmp_path: Path, text: str, sentence: str) -> None:
    path = tmp_path / "form.toml"
    path.write_text(text)
    with pytest.raises(InputError) as error:
        read_template(path)
    assert sentence in str(error.value)
    assert str(path) in str(error.value)


def test_another_form_is_another_judge() -> None:
    one, other = (
        HarmBenchClassifier(lambda: (bytewise(), None), template, "tiny")
        for template in (TEMPLATE, TEMPLATE.model_copy(update={"prompt": "{behavior} {generation}"}))
    )
    assert one.version != other.version
