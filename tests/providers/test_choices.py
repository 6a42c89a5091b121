"""Scores of choices are kept by their tokens and by the system: a killed run goes on, and no system reads another's."""

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import pytest
import torch

from tests.conftest import tiny_model
from tests.loops.tiny import byte_tokenizer
from tests.providers.conftest import ask
from truing.core.protocols import ChoiceScorer, MemoryStore
from truing.core.records import ChoiceScores, Decoding, Question
from truing.engine.adapters import AdapterConfig, adapter_parameters, add_adapter
from truing.engine.trunk import Trunk
from truing.providers import local
from truing.providers.local import LocalSystem

QUESTIONS = [Question(context=f"Which is {n}?", choices=(" one", " two", f" {n}")) for n in range(5)]


@pytest.fixture
def trunk() -> Trunk:
    """A tiny trunk with an adapter that does something."""
    tokenizer = byte_tokenizer()
    trunk = Trunk.of(tiny_model(vocabulary=len(tokenizer)), tokenizer=tokenizer, name="tiny", sha256="0" * 64)
    add_adapter(trunk, "one", AdapterConfig(rank=2, alpha=8, upper_layers=2), 0)
    with torch.no_grad():
        for parameter in adapter_parameters(trunk, "one").values():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0)))
    return trunk


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many questions the engine was asked for, call by call."""
    counts: list[int] = []
    score = local.score_choices

    def counted(trunk: Trunk, questions: Sequence[Any], tokens: int = 1) -> Iterator[Any]:
        counts.append(len(questions))
        return score(trunk, questions, tokens)

    monkeypatch.setattr(local, "score_choices", counted)
    return counts


def kept(trunk: Trunk, store: MemoryStore, identity: str = "bare", adapter: str | None = None) -> LocalSystem:
    return LocalSystem(trunk, adapter, store=store, identity=identity)


def close(one: dict[int, ChoiceScores], other: dict[int, ChoiceScores]) -> bool:
    return one.keys() == other.keys() and all(
        one[number].logprobs == pytest.approx(other[number].logprobs, abs=1e-9) for number in one
    )


def test_a_second_run_computes_nothing_and_gives_the_same_bits(trunk: Trunk, computed: list[int]) -> None:
    store = MemoryStore()
    scorer: ChoiceScorer = kept(trunk, store)
    first = dict(scorer.score_choices(QUESTIONS))
    assert dict(kept(trunk, store).score_choices(QUESTIONS[::-1])) == {4 - n: first[n] for n in first}
    assert computed == [5, 0]


@pytest.mark.parametrize("killed_after", range(6))
def test_a_killed_run_goes_on_with_what_is_missing(trunk: Trunk, computed: list[int], killed_after: int) -> None:
    store = MemoryStore()
    list(islice(kept(trunk, store).score_choices(QUESTIONS), killed_after))
    whole = dict(kept(trunk, store).score_choices(QUESTIONS))
    assert computed[-1] == 5 - killed_after
    assert close(whole, dict(LocalSystem(trunk).score_choices(QUESTIONS)))


def test_a_changed_question_alone_is_scored_again(trunk: Trunk, computed: list[int]) -> None:
    store = MemoryStore()
    list(kept(trunk, store).score_choices(QUESTIONS))
    changed = [*QUESTIONS[:2], QUESTIONS[2].model_copy(update={"choices": (" three",)}), *QUESTIONS[3:]]
    list(kept(trunk, store).score_choices(changed))
    assert computed == [5, 1]


def test_another_system_never_reads_these_scores(trunk: Trunk, computed: list[int]) -> None:
    store = MemoryStore()
    bare = dict(kept(trunk, store).score_choices(QUESTIONS))
    own = dict(kept(trunk, store, "adapter one", "one").score_choices(QUESTIONS))
    assert computed == [5, 5]
    assert not close(own, bare)
    # The negative control: under the bare model's name it would have.
    assert dict(kept(trunk, store, "bare", "one").score_choices(QUESTIONS)) == bare


def test_without_an_identity_nothing_is_kept(trunk: Trunk, computed: list[int]) -> None:
    store = MemoryStore()
    for _ in range(2):
        list(kept(trunk, store, identity="").score_choices(QUESTIONS))
    assert computed == [5, 5]


def test_systems_on_one_trunk_may_be_read_in_turns(trunk: Trunk) -> None:
    systems = [LocalSystem(trunk, name) for name in (None, "one")]
    apart = [dict(system.score_choices(QUESTIONS)) for system in systems]
    in_turns = list(zip(*(system.score_choices(QUESTIONS) for system in systems), strict=True))
    assert close(dict(pair[0] for pair in in_turns), apart[0])
    assert close(dict(pair[1] for pair in in_turns), apart[1])
    assert torch.is_grad_enabled()


def test_a_question_that_is_too_long_is_unknown_and_the_others_are_scored(trunk: Trunk) -> None:
    long = Question(context="x" * 250, choices=(" y", " and so on"))
    found = dict(LocalSystem(trunk).score_choices([QUESTIONS[0], long, QUESTIONS[1]]))
    assert found[1] == ChoiceScores(unknown="takes 260 tokens, more than the model's context of 256")
    assert found[0].unknown == found[2].unknown == ""


def test_a_prompt_misfits_where_its_answer_would_not_fit(trunk: Trunk) -> None:
    system = LocalSystem(trunk)
    tokens = len(system.chat.prompt_ids(ask("hello")))
    assert system.misfit(ask("hello"), Decoding(max_new_tokens=256 - tokens)) == ""
    told = system.misfit(ask("hello"), Decoding(max_new_tokens=257 - tokens))
    assert told == f"takes {tokens} tokens, more than the {tokens - 1} that the context leaves it"
