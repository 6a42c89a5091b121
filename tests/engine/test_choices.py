"""Choices after a shared text: each one's score is that of its whole sequence alone, whatever else is asked."""

import random
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import tiny_model
from tests.engine.families import exactly, plain_logprobs, tiny
from tests.loops.tiny import byte_tokenizer
from truing.core.records import ChoiceScores, Question
from truing.engine import choices as module
from truing.engine.choices import NotScorableError, choice_sequences, score_choices
from truing.engine.prefix import Prefix
from truing.engine.tree import TokenSequence, build_forest
from truing.engine.trunk import Trunk

PRIMER = tuple(random.Random(0).randrange(61) for _ in range(40))
# Few different tokens, so that choices share prefixes, end inside one another, and repeat.
few = st.lists(st.integers(0, 3), min_size=1, max_size=5).map(tuple)
questions_strategy = st.lists(st.tuples(few, st.lists(few, min_size=1, max_size=5)), min_size=1, max_size=5)


def asked(questions: list[tuple[tuple[int, ...], list[tuple[int, ...]]]], primer: tuple[int, ...] = PRIMER) -> Any:
    """Primer, question and choices as sequences whose choices are scored."""
    return [
        [TokenSequence((*primer, *text, *choice), len(primer) + len(text)) for choice in choices]
        for text, choices in questions
    ]


def scored(trunk: Trunk, questions: Any, tokens: int = 2048) -> list[ChoiceScores]:
    found = list(score_choices(trunk, questions, tokens))
    assert [number for number, _ in found] == list(range(len(questions)))
    return [scores for _, scores in found]


def trunk_of(vocabulary: int = 61, **changes: Any) -> Trunk:
    return Trunk.of(tiny_model(vocabulary=vocabulary, **changes), tokenizer=None, name="tiny")


@settings(max_examples=30, deadline=None)
@given(questions=questions_strategy, tokens=st.sampled_from([1, 12, 2048]), primed=st.booleans())
def test_each_choice_scores_as_its_whole_sequence_alone(questions: Any, tokens: int, primed: bool) -> None:
    """Whatever the batch size, with a primer long enough to be computed once, or none."""
    trunk, plain = trunk_of(), tiny_model()
    plain.config._attn_implementation = "sdpa"
    sequences = asked(questions, PRIMER if primed else (5,))
    for scores, question in zip(scored(trunk, sequences, tokens), sequences, strict=True):
        for value, count, sequence in zip(scores.logprobs, scores.tokens, question, strict=True):
            with torch.no_grad():
                expected = plain_logprobs(plain, sequence)
            assert value == pytest.approx(expected.sum().item(), abs=1e-9)
            assert count == len(expected)


@settings(max_examples=20, deadline=None)
@given(questions=questions_strategy, order=st.randoms())
def test_the_order_of_questions_and_of_choices_changes_nothing(questions: Any, order: random.Random) -> None:
    trunk, sequences = trunk_of(), asked(questions)
    expected = scored(trunk, sequences)
    numbers = list(range(len(sequences)))
    order.shuffle(numbers)
    turned = scored(trunk, [sequences[number][::-1] for number in numbers], tokens=20)
    for number, scores in zip(numbers, turned, strict=True):
        assert scores.logprobs[::-1] == pytest.approx(expected[number].logprobs, abs=1e-9)


def test_the_primer_and_each_question_are_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    trunk = trunk_of()
    ran: list[int] = []
    embed = Trunk.embed
    monkeypatch.setattr(
        Trunk, "embed", lambda self, ids, positions: ran.append(ids.numel()) or embed(self, ids, positions)
    )
    sequences = asked([((number, 9), [(1, 2), (1, 3), (1, 2, 4)]) for number in range(10, 20)])
    scored(trunk, sequences, tokens=12)
    # The primer; then of each question its two tokens, and a trie of four: 1 above 2 and 3, and 4 below the 2.
    assert ran[0] == len(PRIMER)
    assert sum(ran) == len(PRIMER) + 10 * (2 + 4)
    assert len(ran) == 1 + 5  # two questions a batch


def test_without_the_primers_keys_the_numbers_would_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control: what the tests above compare does depend on the primer."""
    trunk, sequences = trunk_of(), asked([((9,), [(1, 2), (3,)])] * 2)
    right = scored(trunk, sequences)
    of = Prefix.of.__func__  # type: ignore[attr-defined]
    monkeypatch.setattr(
        module.Prefix,
        "of",
        classmethod(lambda cls, trunk, ids: of(cls, trunk, tuple((token + 1) % 61 for token in ids))),
    )
    assert scored(trunk, sequences)[0].logprobs != pytest.approx(right[0].logprobs, abs=1e-3)


@pytest.mark.parametrize("kind", ["gemma2", "gemma3_text", "mistral", "gpt2", "gpt_neox", "phi3", "mamba"])
def test_windows_caps_positions_and_models_that_cannot_fork(kind: str) -> None:
    trunk, plain = Trunk.of(tiny(kind), None, kind), tiny(kind)
    sequences = asked([((7, 8), [(1, 2, 3), (1, 2), (4,)]), ((9,), [(1,), (5, 6)])], PRIMER[:20])
    with exactly(), torch.no_grad():
        for scores, question in zip(scored(trunk, sequences, tokens=8), sequences, strict=True):
            expected = [plain_logprobs(plain, sequence).sum().item() for sequence in question]
            assert scores.logprobs == pytest.approx(expected, abs=1e-9)


def test_a_prefix_counts_against_the_context() -> None:
    from truing.core.errors import InputError

    trunk = trunk_of(max_position_embeddings=44)
    prefix = Prefix.of(trunk, PRIMER)
    fits, too_long = (build_forest([TokenSequence(tuple(range(length)), 1)]) for length in (4, 5))
    trunk.run_forest(fits, prefix=prefix)
    with pytest.raises(InputError, match="a sequence of 45 tokens exceeds the 44"):
        trunk.run_forest(too_long, prefix=prefix)


def test_scores_that_are_not_finite_are_unknown() -> None:
    trunk = trunk_of()
    with torch.no_grad():
        trunk.model.get_output_embeddings().weight[3] = torch.nan
    (scores,) = scored(trunk, asked([((9,), [(1,), (2,)])]))
    assert scores == ChoiceScores(unknown="the log-probabilities are not finite")


def test_no_questions_no_scores() -> None:
    assert scored(trunk_of(), []) == []


class TestTokens:
    """Text and choice are tokenised as one; the choice's tokens are those behind the text's own."""

    tokenizer = byte_tokenizer()

    def test_the_scored_tokens_are_the_choices(self) -> None:
        one, other = choice_sequences(self.tokenizer, 100, Question(context="Is it?", choices=(" Yes", " No.")))
        assert [self.tokenizer.decode(s.ids[s.scored_from :]) for s in (one, other)] == [" Yes", " No."]
        assert self.tokenizer.decode(one.ids[: one.scored_from]) == "Is it?"

    def test_a_beginning_of_text_stands_ahead_only_where_the_tokenizer_puts_one(self) -> None:
        from tokenizers.processors import TemplateProcessing

        begun = byte_tokenizer()
        begun.bos_token = "<|im_start|>"
        (without,) = choice_sequences(begun, 100, Question(context="a", choices=("b",)))
        begun.backend_tokenizer.post_processor = TemplateProcessing(
            single="<|im_start|> $A", special_tokens=[("<|im_start|>", begun.bos_token_id)]
        )
        (with_one,) = choice_sequences(begun, 100, Question(context="a", choices=("b",)))
        assert with_one.ids == (begun.bos_token_id, *without.ids)
        (passage,) = choice_sequences(begun, 100, Question(context="", choices=("ab",)))
        assert (passage.ids, passage.scored_from) == (with_one.ids, 1)

    def test_what_is_longer_than_the_context_is_refused_by_its_length(self) -> None:
        question = Question(context="12345", choices=("67", "6789"))
        assert len(choice_sequences(self.tokenizer, 9, question)) == 2
        with pytest.raises(NotScorableError, match="takes 9 tokens, more than the model's context of 8"):
            choice_sequences(self.tokenizer, 8, question)

    @pytest.mark.parametrize("choice", ["", "b"])
    def test_a_choice_that_merges_with_the_text_is_refused(self, choice: str) -> None:
        def merging(texts: list[str], add_special_tokens: bool = True) -> dict[str, list[list[int]]]:
            del add_special_tokens
            return {"input_ids": [[{"a": 1, "ab": 2}[text]] for text in texts]}

        merging.bos_token_id = None  # type: ignore[attr-defined]
        with pytest.raises(NotScorableError, match="has no tokens of its own behind the text"):
            choice_sequences(merging, 8, Question(context="a", choices=(choice,)))


def test_the_real_model_in_float32(real_trunk: Trunk) -> None:
    """Within 1e-4 nat of the model's own forward pass over each sequence, and of itself in other batches."""
    primer = "Q: What is the capital of France?\nA: It is Paris.\n\nQ: How many legs has a spider?\nA: Eight.\n\n"
    questions = [
        Question(context=f"{primer}Q: {text}\nA:", choices=choices)
        for text, choices in (
            ("What do cows drink?", (" Milk", " Water", " Water, mostly")),
            ("Is the earth flat?", (" No", " Yes", " Nobody knows")),
        )
    ]
    sequences = [choice_sequences(real_trunk.tokenizer, real_trunk.context, question) for question in questions]
    whole, alone = scored(real_trunk, sequences), scored(real_trunk, sequences[::-1], tokens=1)[::-1]
    from truing.engine.padded import plain_logprobs as own

    for question, one, other in zip(sequences, whole, alone, strict=True):
        assert one.logprobs == pytest.approx(other.logprobs, abs=1e-4)
        assert one.logprobs == pytest.approx([sum(own(real_trunk, sequence)) for sequence in question], abs=1e-4)
