"""Verdicts by log-probability: disjoint beginnings, probabilities against the whole softmax, and the threshold."""

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import tiny_model
from tests.loops.tiny import byte_tokenizer
from truing.core.errors import InputError
from truing.core.protocols import MemoryStore
from truing.core.records import Message
from truing.engine.chat import Chat
from truing.engine.trunk import Trunk
from truing.judges import verdicts
from truing.judges.asked import VERDICTS, RubricConfig, rubric_prompt
from truing.judges.verdicts import (
    AS_WORD,
    RubricReader,
    VerdictReader,
    first_differing,
    outcome_of,
    spellings,
    verdict_of,
)

PROMPT = (Message(role="user", content="Tea?"),)
CONFIG = RubricConfig(criterion="Water?", read="logprobs")
words = st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=4).map(tuple), min_size=1, max_size=4)


def bytewise(sure_of: str = "", **changes: Any) -> Trunk:
    """A tiny random model of bytes; or one that would always say this letter next."""
    tokenizer = byte_tokenizer()
    model = tiny_model(vocabulary=len(tokenizer), max_position_embeddings=1024, **changes)
    if sure_of:
        (token,) = tokenizer(sure_of, add_special_tokens=False)["input_ids"]
        bias = torch.zeros(len(tokenizer), dtype=torch.float64)
        bias[token] = 1000.0
        model.lm_head.bias = torch.nn.Parameter(bias)
    return Trunk.of(model, tokenizer, "tiny", "f" * 64)


@given(st.dictionaries(st.sampled_from(["yes", "no", "unknown"]), words, min_size=2))
def test_beginnings_exclude_each_other_and_lose_no_spelling(spelled: Mapping[str, list[tuple[int, ...]]]) -> None:
    try:
        found = first_differing(spelled)
    except InputError:
        assert any(
            one == other[: len(one)]
            for verdict, mine in spelled.items()
            for one in mine
            for name, theirs in spelled.items()
            if name != verdict
            for other in theirs
        )
        return
    flat = [ids for mine in found.values() for ids in mine]
    assert not any(one == other[: len(one)] for one in flat for other in flat if one is not other)
    for verdict, mine in spelled.items():
        assert all(any(ids[: len(cut)] == cut for cut in found[verdict]) for ids in mine)


def test_the_first_differing_token_by_hand() -> None:
    assert first_differing({"yes": [(1, 2, 3)], "no": [(1, 4), (1, 4, 5), (6,)]}) == {
        "yes": ((1, 2),),
        "no": ((1, 4), (6,)),
    }
    with pytest.raises(InputError, match="the verdict 'no' begins as another one does"):
        first_differing({"no": [(1,)], "none": [(1, 2)]})


@pytest.mark.parametrize("length", [1, 7, 40])
def test_a_verdicts_probability_is_that_of_the_whole_softmax(length: int) -> None:
    """A byte a token: P(yes) is P("y") + P("Y") + P(" ") · (P("y" | " ") + P("Y" | " ")), by the plain model."""
    trunk = bytewise()
    prompt = tuple((7 * number) % 200 for number in range(length))
    ((_, found),) = VerdictReader(trunk, spellings(("yes", "no"))).read([prompt])
    byte = {letter: trunk.tokenizer(letter)["input_ids"][0] for letter in "yYnN "}
    model = tiny_model(vocabulary=len(trunk.tokenizer), max_position_embeddings=1024)  # the same weights

    def after(ids: tuple[int, ...]) -> Any:
        with torch.no_grad():
            return torch.softmax(model(torch.tensor([ids])).logits[0, -1], -1)

    plain, spaced = after(prompt), after((*prompt, byte[" "]))
    for verdict, letters in (("yes", "yY"), ("no", "nN")):
        expected = sum(plain[byte[one]] + plain[byte[" "]] * spaced[byte[one]] for one in letters)
        assert isinstance(found, dict)
        assert found[verdict] == pytest.approx(float(expected), rel=1e-6)
    assert sum(found.values()) <= 1 + 1e-9


def test_probabilities_do_not_depend_on_the_other_prompts_and_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    trunk, store = bytewise(), MemoryStore()
    prompts = [tuple(range(5, 5 + length)) for length in (3, 20, 60)]
    together = dict(VerdictReader(trunk, spellings(VERDICTS), store).read(prompts))
    for number, prompt in enumerate(prompts):
        ((_, alone),) = VerdictReader(trunk, spellings(VERDICTS)).read([prompt])
        assert alone == pytest.approx(together[number], rel=1e-9)
    monkeypatch.setattr(
        verdicts,
        "score_choices",
        lambda _trunk, questions: iter(()) if not questions else pytest.fail("computed again"),
    )
    assert dict(VerdictReader(trunk, spellings(VERDICTS), store).read(prompts)) == together


def test_a_prompt_that_does_not_fit_is_said_and_not_cut() -> None:
    trunk = bytewise()
    found = dict(VerdictReader(trunk, spellings(VERDICTS)).read([tuple([9] * 2000), (9,)]))
    assert found[0] == "takes 2002 tokens, more than the model's context of 1024"
    assert isinstance(found[1], dict)


@pytest.mark.parametrize(("share", "threshold", "value"), [(0.51, 0.5, 1.0), (0.5, 0.5, None), (0.8, 0.9, None)])
def test_a_verdict_counts_only_above_the_threshold(share: float, threshold: float, value: float | None) -> None:
    found = {"yes": share, "no": 0.2, "unknown": 0.1}
    assert outcome_of(found, threshold).value == value
    assert (verdict_of(found, threshold) is None) == (value is None)
    assert outcome_of(found, threshold).detail == found
    assert outcome_of({"yes": 0.1, "no": 0.1, "unknown": 0.7}, 0.5).value is None


@pytest.mark.parametrize(("letter", "value"), [("y", 1.0), ("N", 0.0), ("u", None), ("x", None)])
def test_a_model_that_is_sure_is_read_and_one_that_would_say_something_else_is_unknown(
    letter: str, value: float | None
) -> None:
    trunk = bytewise(letter)
    judge = RubricReader(lambda: (trunk, None), CONFIG, "tiny")
    outcome = judge.judge(PROMPT, "Boil water.")
    assert outcome.value == value
    assert outcome.reason.startswith("no verdict has more than 50%") == (letter == "x")
    assert judge.judge(PROMPT, "…").reason == "the answer has no words"


def test_a_random_model_has_no_verdict() -> None:
    """The negative control: neither yes nor no has most of its probability, so nothing is read into it."""
    judge = RubricReader(lambda: (bytewise(initializer_range=0.02), None), CONFIG, "tiny")
    found = dict(judge.judge_all([(PROMPT, f"Answer {number}.") for number in range(5)]))
    assert {outcome.value for outcome in found.values()} == {None}


def test_the_prompt_is_the_models_chat_and_the_version_names_what_verdicts_depend_on() -> None:
    trunk = bytewise()
    rendered = Chat(trunk.tokenizer, 1024).render(rubric_prompt(PROMPT, "Milk.", "Water?", AS_WORD))
    assert rendered.endswith("the answer does not let you tell<|im_end|>\n<|im_start|>assistant\n")
    one, other = (
        RubricReader(lambda: (trunk, None), config, "tiny")
        for config in (CONFIG, CONFIG.model_copy(update={"threshold": 0.9}))
    )
    assert one.version != other.version
    assert "tiny" in one.version
