"""Drawn answers against the bare model's: each prompt's own answers, wins by reward, the divergence as drawn."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import pytest

from tests.providers.conftest import ask
from truing.core.records import Answer, Conversation, Decoding, ItemResult, Probe, Progress
from truing.evals.tasks.duel import duels

WARM = Decoding(temperature=1.0, max_new_tokens=9)
PROBES = [Probe(id=f"p{n}", group="any", topic=f"t{n // 2}", prompt=ask(f"q{n}")) for n in range(4)]


@dataclass
class Talker:
    """Says one text a prompt, of known log-probabilities; the last prompt's answer comes first."""

    says: dict[str, str]
    logprob: float = -1.0
    scored: list[tuple[str, str]] = field(default_factory=list)

    def sample(self, prompts: Sequence[Conversation], decoding: Decoding) -> Iterator[tuple[int, Answer]]:
        assert decoding == WARM
        for number in reversed(range(len(prompts))):
            text = self.says[prompts[number][-1].content]
            logprobs = (self.logprob,) * len(text)
            yield (
                number,
                Answer(text=text, token_ids=(1,), logprobs=logprobs, finished=len(text) < 9, least_gap=0.1),
            )

    def score(self, rows: Sequence[tuple[Conversation, str | Answer]]) -> Iterator[tuple[int, list[float]]]:
        for number, (prompt, answer) in enumerate(rows):
            assert isinstance(answer, Answer)
            self.scored.append((prompt[-1].content, answer.text))
            yield number, [self.logprob] * len(answer.logprobs)


class Length:
    """The longer, the better."""

    version = "length"

    def score(self, rows: Sequence[tuple[Conversation, Answer]]) -> list[float]:
        return [float(len(answer.text)) for _, answer in rows]


OWN = Talker({"q0": "aaaa", "q1": "a", "q2": "aa", "q3": "aaaaaaaaa"}, -0.5)
BARE = Talker({"q0": "b", "q1": "bb", "q2": "bb", "q3": "bbb"}, -0.75)


def items(system: Talker, reference: Talker) -> list[ItemResult]:
    return [one for one in duels(system, reference, Length(), PROBES, WARM) if isinstance(one, ItemResult)]


def test_each_prompts_answers_meet_and_ties_are_half() -> None:
    found = items(OWN, BARE)
    assert [(one.item, one.value) for one in found] == [("p0", 1.0), ("p1", 0.0), ("p2", 0.5), ("p3", 1.0)]
    assert [(one.prompt, one.answer, one.finished) for one in found][3] == ("q3", "aaaaaaaaa", False)
    assert {one.cluster for one in found} == {"t0", "t1"}
    assert found[0].detail["reward"] == 4.0
    assert found[0].detail["reference_reward"] == 1.0
    assert [one.detail["tokens"] for one in found] == [4, 1, 2, 9]
    assert [one.detail["reference_tokens"] for one in found] == [1, 2, 2, 3]


def test_turned_round_every_win_is_a_loss() -> None:
    assert [one.value for one in items(BARE, OWN)] == [1 - (one.value or 0) for one in items(OWN, BARE)]


def test_the_divergence_is_the_log_ratio_of_the_own_answers_as_drawn() -> None:
    BARE.scored.clear()
    found = items(OWN, BARE)
    assert BARE.scored == [(f"q{n}", OWN.says[f"q{n}"]) for n in range(4)]  # the system's answers, not the reference's
    assert [one.detail["kl"] for one in found] == pytest.approx([0.25 * len(OWN.says[f"q{n}"]) for n in range(4)])
    assert {one.detail["kl"] for one in items(BARE, BARE)} == {0.0}


def test_a_divergence_that_is_no_number_is_unknown() -> None:
    found = items(OWN, Talker(BARE.says, -math.inf))
    assert {one.detail["kl"] for one in found} == {None}


def test_the_model_against_itself_wins_exactly_half() -> None:
    assert [one.value for one in items(BARE, BARE)] == [0.5] * 4


def test_progress_is_told_while_answers_are_drawn_and_another_temperature_is_refused() -> None:
    records = list(duels(OWN, BARE, Length(), PROBES, WARM))
    assert [one.done for one in records if isinstance(one, Progress)] == [1, 2, 3, 4] * 2
    with pytest.raises(ValueError, match="drawn at 1"):
        list(duels(OWN, BARE, Length(), PROBES, Decoding()))
