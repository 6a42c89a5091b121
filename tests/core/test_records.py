"""Records are values: frozen, strict about keys, and named by their whole content."""

from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from truing.core.records import (
    Answer,
    Comparison,
    Decoding,
    ItemResult,
    Message,
    Observation,
    Outcome,
    Probe,
    Record,
    System,
)

TURN = Message(role="user", content="Why?")
OBSERVED = Observation(
    time=datetime(2026, 11, 30, tzinfo=UTC),
    provider="openai",
    reported_model=None,
    stop=None,
    replied=True,
    attempts=1,
    prompt_tokens=None,
    output_tokens=None,
    thinking_tokens=None,
    request={"model": "m", "temperature": 0.0, "seed": None, "stream": False},
)
RECORDS: list[Record] = [
    TURN,
    Comparison(id="1", prompt=(TURN,), chosen="a", rejected="b"),
    Probe(id="1", group="g", topic="t", prompt=(TURN,)),
    Decoding(),
    System(model="smollm2-135m"),
    Answer(text="a", token_ids=(1,), logprobs=(-0.5,), finished=True, least_gap=0.1),
    OBSERVED,
    Outcome(value=1.0),
    ItemResult(task="t", item="1", cluster="c", value=1.0),
]
OTHER: dict[str, dict[str, Any]] = {
    "Message": {"role": "assistant", "content": "why?"},
    "Comparison": {
        "id": "2",
        "prompt": (Message(role="user", content="Why not?"),),
        "chosen": "A",
        "rejected": "B",
        "group": "g",
        "topic": "t",
        "pair": "p",
        "annotator": "ann",
        "chosen_side": "left",
        "strength": 1,
        "tie": True,
        "both_bad": True,
        "rewrite": "",
        "time": datetime(2026, 1, 1, tzinfo=UTC),
        "origin": "page",
    },
    "Probe": {
        "id": "2",
        "group": "h",
        "topic": "u",
        "prompt": (TURN, Message(role="assistant", content="So."), TURN),
        "pair": "p",
        "chosen": "",
        "rejected": "",
    },
    "Decoding": {"temperature": 0.5, "max_new_tokens": 47, "seed": 1},
    "System": {"model": "m", "adapter": "a", "system_prompt": "", "decoding": Decoding(seed=1)},
    "Answer": {
        "text": "",
        "token_ids": (2,),
        "logprobs": (-0.25,),
        "finished": None,
        "least_gap": None,
        "observed": OBSERVED,
        "missing": "no reply",
    },
    "Observation": {
        "time": datetime(2026, 12, 1, tzinfo=UTC),
        "provider": "gemini",
        "reported_model": "m-1",
        "stop": "stop",
        "replied": False,
        "attempts": 2,
        "prompt_tokens": 0,
        "output_tokens": 0,
        "thinking_tokens": 0,
        "request": {"model": "m", "temperature": None, "seed": None, "stream": False},
    },
    "Outcome": {"value": None, "reason": "r", "detail": {"marks": 4.0}},
    "ItemResult": {
        "task": "u",
        "item": "2",
        "cluster": "d",
        "value": None,
        "reason": "r",
        "prompt": "p",
        "answer": "a",
        "finished": False,
        "detail": {"margin": None},
    },
}
named = pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)


@named
def test_the_digest_depends_on_every_field(record: Record) -> None:
    changes = OTHER[type(record).__name__]
    assert set(changes) == set(type(record).model_fields)
    digests = {record.sha256} | {record.model_copy(update={key: value}).sha256 for key, value in changes.items()}
    assert len(digests) == len(changes) + 1


@named
def test_equal_content_is_an_equal_record_and_survives_json(record: Record) -> None:
    again = type(record).model_validate_json(record.model_dump_json())
    assert again == record
    assert again.sha256 == record.sha256


@named
def test_a_record_is_frozen(record: Record) -> None:
    field = next(iter(type(record).model_fields))
    with pytest.raises(ValidationError, match="frozen"):
        setattr(record, field, getattr(record, field))


@named
def test_an_unknown_key_is_refused(record: Record) -> None:
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        type(record).model_validate({**record.model_dump(), "surprise": 1})


def test_prompts_and_turns_can_be_counted_and_looked_up() -> None:
    assert {(TURN,): 1}[(Message(role="user", content="Why?"),)] == 1


@pytest.mark.parametrize(
    ("record", "values"),
    [
        (Message, {"role": "narrator", "content": "x"}),
        (Comparison, {"id": "1", "prompt": (TURN,), "chosen": "a", "rejected": "b", "strength": 4}),
        (Comparison, {"id": "1", "prompt": (TURN,), "chosen": "a", "rejected": "b", "chosen_side": "middle"}),
        (Decoding, {"max_new_tokens": 0}),
        (Decoding, {"temperature": -0.1}),
        (Decoding, {"temperature": float("nan")}),
    ],
)
def test_values_that_mean_nothing_are_refused(record: type[Record], values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        record.model_validate(values)


def test_unknown_is_not_no() -> None:
    assert Outcome(value=None) != Outcome(value=0.0)
    assert Outcome(value=None).sha256 != Outcome(value=0.0).sha256
