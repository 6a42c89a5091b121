"""Transcripts: the dialogues share all but the last turn, and what the form would change is not written."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings

from tests.data.conftest import assistant, comparison, comparisons, user
from truing.core.records import Comparison, Message
from truing.data import formats, hh
from truing.data.rows import RowError

REAL = Path(__file__).resolve().parents[3] / "shared" / "data" / "hh-rlhf" / "harmless_base_1800.jsonl.gz"


def row(chosen: str, rejected: str) -> dict[str, str]:
    return {"chosen": chosen, "rejected": rejected}


def test_turns_are_read_without_the_white_space_around_them() -> None:
    context = "\n\nHuman: q \n\nAssistant: a\n\nb\n\nHuman:r"
    (found,) = hh.parse(row(context + "\n\nAssistant: yes", context + "\n\nAssistant:  no\n"), "1")
    assert found == comparison(prompt=(user("q"), assistant("a\n\nb"), user("r")))


def plain(row: Comparison) -> Comparison:
    """What the form can say of a row."""
    prompt = tuple(
        Message(role=turn.role, content=turn.content.strip()) for turn in row.prompt if turn.role != "system"
    )
    return Comparison(id="1", prompt=prompt, chosen=row.chosen.strip(), rejected=row.rejected.strip())


@settings(deadline=None)
@given(written=comparisons.map(plain))
def test_what_is_written_reads_back_equal(written: Comparison) -> None:
    (found,) = hh.write(written)
    assert hh.recognises(found)
    assert hh.parse(found, "1") == [written]


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        (comparison(tie=True), "no answer won"),
        (comparison(prompt=(Message(role="system", content="s"), user("q"))), "no system turn"),
        (comparison(chosen=" yes"), "white space"),
        (comparison(chosen="yes\n\nHuman: no"), "would see another turn"),
        (comparison(rejected="Assistant: no"), "would see another turn"),
    ],
)
def test_what_the_form_would_change_is_refused(written: Comparison, reason: str) -> None:
    with pytest.raises(RowError, match=reason):
        hh.write(written)


@pytest.mark.parametrize(
    ("chosen", "rejected", "reason"),
    [
        ("Human: q\n\nAssistant: a", "Human: r\n\nAssistant: b", "(differ in turn 1)"),
        ("Human: q\n\nAssistant: a", "Human: q\n\nAssistant: a\n\nHuman: r", "(are 2 and 3 turns long)"),
        ("Human: q", "Human: r", "there is no prompt"),
        ("Human: q\n\nHuman: a", "Human: q\n\nAssistant: b", "the last turn of 'chosen' is by 'Human'"),
        ("q", "Human: q\n\nAssistant: b", "'chosen' does not begin with 'Human:'"),
        ("", "Human: q\n\nAssistant: b", "'chosen' does not begin with 'Human:'"),
    ],
)
def test_a_transcript_that_is_no_pair_is_named(chosen: str, rejected: str, reason: str) -> None:
    with pytest.raises(RowError) as raised:
        hh.parse(row(chosen, rejected), "1")
    assert reason in str(raised.value)


@pytest.mark.skipif(not REAL.is_file(), reason=f"needs the public file {REAL.name} in ../shared/data/hh-rlhf")
def test_the_first_1800_pairs_of_harmless_base() -> None:
    """Counted another way (a split at the marks, by hand): 4 empty answers, 2 contexts that differ, 3 where one side
    speaks twice."""
    good, bad = formats.load(REAL)
    assert (len(good), [row.line for row in bad]) == (1791, [87, 517, 668, 764, 926, 1104, 1255, 1320, 1689])
    reasons = json.dumps([row.reason for row in bad])
    assert [reasons.count(word) for word in ("is empty", "share their context", "must alternate")] == [4, 2, 3]
