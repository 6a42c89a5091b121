"""Several systems on one trunk: each answers and scores as if it were alone, in whatever turns they are read."""

from typing import Any

import pytest
import torch

from tests.conftest import tiny_model
from tests.providers.conftest import ask
from truing.core.protocols import MemoryStore, Sampler, Scorer
from truing.core.records import Decoding, Message
from truing.engine.adapters import AdapterConfig, adapter_parameters, add_adapter
from truing.engine.tree import TokenSequence, build_forest
from truing.engine.trunk import Trunk
from truing.providers.local import LocalSystem

ROWS = [(ask("ab"), "cd"), (ask("ab"), "ce_f"), (ask("b"), "cd")]
PROMPTS = [ask("ab"), ask("b"), ask("ab"), ask("hello")]
DECODING = Decoding(max_new_tokens=8, temperature=1.0)
END = ord("|") - ord("@")


class Letters:
    """A tokenizer with one token a letter, both ways, and the smallest chat template: role, text, end of turn."""

    chat_template = "{role}@{text}|"

    def apply_chat_template(self, messages: list[dict[str, str]], tokenize: bool, add_generation_prompt: bool) -> str:
        assert not tokenize
        told = "".join(f"{message['role']}@{message['content']}|" for message in messages)
        return told + ("assistant@" if add_generation_prompt else "")

    def __call__(self, text: str, add_special_tokens: bool) -> dict[str, list[int]]:
        assert not add_special_tokens
        return {"input_ids": [ord(letter) - ord("@") for letter in text]}

    def decode(self, ids: list[int], skip_special_tokens: bool) -> str:
        assert skip_special_tokens
        return "".join(chr(number + ord("@")) for number in ids if number != END)


@pytest.fixture
def trunk() -> Trunk:
    """A tiny trunk with two adapters that do something."""
    trunk = Trunk.of(tiny_model(), tokenizer=Letters(), name="tiny", sha256="0" * 64)
    for seed, name in enumerate(("one", "two")):
        add_adapter(trunk, name, AdapterConfig(rank=2, alpha=8, upper_layers=2), seed)
        with torch.no_grad():
            for parameter in adapter_parameters(trunk, name).values():
                parameter.add_(0.3 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(seed)))
    return trunk


def systems(trunk: Trunk, **options: Any) -> list[LocalSystem]:
    return [LocalSystem(trunk, name, **options) for name in (None, "one", "two")]


def test_it_is_a_sampler_and_a_scorer(trunk: Trunk) -> None:
    system = LocalSystem(trunk)
    sampler: Sampler = system
    scorer: Scorer = system
    assert list(sampler.sample([], DECODING)) == []
    assert list(scorer.score([])) == []


def test_scores_are_the_log_softmax_of_a_plain_forward_pass(trunk: Trunk) -> None:
    bare = tiny_model()
    for number, values in LocalSystem(trunk).score(ROWS):
        prompt, answer = ROWS[number]
        sequence = LocalSystem(trunk).chat.sequence(prompt, answer)
        with torch.no_grad():
            logprobs = bare(torch.tensor([sequence.ids])).logits[0].log_softmax(-1)
        places = range(sequence.scored_from, len(sequence.ids))
        assert values == pytest.approx([logprobs[place - 1, sequence.ids[place]].item() for place in places], abs=1e-9)
        assert len(values) == len(answer) + 1  # the end of turn is scored too


def test_an_answers_log_probabilities_are_its_own_score(trunk: Trunk) -> None:
    """At temperature 1, end of turn included where the answer ended by itself."""
    for system in systems(trunk):
        for number, answer in system.sample(PROMPTS, DECODING):
            ((_, fresh),) = system.score([(PROMPTS[number], answer.text)])
            assert len(fresh) == len(answer.logprobs) + (not answer.finished)
            assert list(answer.logprobs) == pytest.approx(fresh[: len(answer.logprobs)], abs=1e-6)


def test_adapters_differ_and_the_bare_trunk_stays_what_it_was(trunk: Trunk) -> None:
    alone = dict(LocalSystem(Trunk.of(tiny_model(), tokenizer=Letters(), name="tiny")).score(ROWS))
    bare, one, two = (dict(system.score(ROWS)) for system in systems(trunk))
    for number in range(len(ROWS)):
        assert bare[number] == pytest.approx(alone[number], abs=1e-12)
        assert abs(sum(one[number]) - sum(bare[number])) > 1e-3
        assert abs(sum(one[number]) - sum(two[number])) > 1e-3


def test_systems_may_be_read_in_turns(trunk: Trunk) -> None:
    """Each generator puts its own adapter into use for its own steps only."""
    apart = [dict(system.sample(PROMPTS, DECODING)) for system in systems(trunk)]
    together: list[dict[int, Any]] = [{}, {}, {}]
    generators = [system.sample(PROMPTS, DECODING) for system in systems(trunk)]
    for answers in zip(*generators, strict=True):
        for found, (number, answer) in zip(together, answers, strict=True):
            found[number] = answer
    assert together == apart
    scores = [dict(system.score(ROWS)) for system in systems(trunk)]
    in_turns = list(zip(*(system.score(ROWS) for system in systems(trunk)), strict=True))
    assert scores == [dict(column) for column in zip(*in_turns, strict=True)]


def test_an_unfinished_reading_leaves_nothing_switched(trunk: Trunk) -> None:
    trunk.peft.set_adapter("two")
    forest = build_forest([TokenSequence((1, 2, 3), 1)])
    expected = trunk.run_forest(forest)
    for system in systems(trunk):
        answers, scores = system.sample(PROMPTS, DECODING), system.score(ROWS)
        next(answers)
        next(scores)
        assert trunk.peft.active_adapter == "two"
        assert torch.is_grad_enabled()
        assert torch.equal(trunk.run_forest(forest), expected)


class Counting(MemoryStore):
    """Counts what is put into it."""

    def __init__(self) -> None:
        super().__init__()
        self.puts = 0

    def put(self, key: str, content: bytes) -> None:
        self.puts += 1
        super().put(key, content)


def test_states_below_the_adapters_are_kept_once_for_all_systems_and_change_nothing(trunk: Trunk) -> None:
    store = Counting()
    plain = [dict(system.score(ROWS)) for system in systems(trunk)]
    for _ in range(2):
        kept = [dict(system.score(ROWS)) for system in systems(trunk, first_layer=1, store=store)]
        for fresh, read in zip(plain, kept, strict=True):
            for number in range(len(ROWS)):
                assert read[number] == pytest.approx(fresh[number], abs=1e-9)
    assert store.puts == 1


def test_nothing_is_kept_where_nothing_is_saved(trunk: Trunk) -> None:
    """Below layer 0 there is only the embedding, which is at hand anyway."""
    store = Counting()
    list(LocalSystem(trunk, store=store).score(ROWS))
    assert store.puts == 0


def test_a_system_prompt_counts_only_where_the_dialogue_has_none(trunk: Trunk) -> None:
    told = LocalSystem(trunk, system_prompt="be_brief")
    own = [((Message(role="system", content="be_brief"), *prompt), answer) for prompt, answer in ROWS]
    assert dict(told.score(ROWS)) == dict(LocalSystem(trunk).score(own)) == dict(told.score(own))
    assert dict(told.score(ROWS)) != dict(LocalSystem(trunk).score(ROWS))


def test_a_drawn_answer_is_scored_as_it_was_drawn_and_its_end_only_where_it_was(trunk: Trunk) -> None:
    ended: set[bool] = set()
    for system in systems(trunk):
        drawn = dict(system.sample(PROMPTS * 8, DECODING))
        ended |= {answer.finished for answer in drawn.values()}
        for number, values in system.score([(prompt, drawn[place]) for place, prompt in enumerate(PROMPTS * 8)]):
            assert values == pytest.approx(list(drawn[number].logprobs), abs=1e-6)
    assert ended == {True, False}
