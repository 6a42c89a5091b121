"""Comparisons as hypothesis draws them, and short ways to a file and back."""

from datetime import timedelta, timezone
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from truing.core.records import Comparison, Message

# Any text that a file can hold: no NUL, no half surrogates (hypothesis' own default).
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30)
words = texts.filter(str.strip)


def user(content: str) -> Message:
    return Message(role="user", content=content)


def assistant(content: str) -> Message:
    return Message(role="assistant", content=content)


def comparison(**changes: Any) -> Comparison:
    return Comparison(**{"id": "1", "prompt": (user("q"),), "chosen": "yes", "rejected": "no", **changes})


def lines(tmp_path: Path, *rows: str | bytes, end: bytes = b"\n") -> Path:
    """A file with one row a line."""
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b"".join((row.encode() if isinstance(row, str) else row) + end for row in rows))
    return path


@st.composite
def prompts(draw: st.DrawFn) -> tuple[Message, ...]:
    """A dialogue that ends with a user's turn, with or without a system turn."""
    system = draw(st.lists(texts.map(lambda text: Message(role="system", content=text)), max_size=1))
    turns = [turn for _ in range(draw(st.integers(0, 2))) for turn in (user(draw(texts)), assistant(draw(texts)))]
    return (*system, *turns, user(draw(words)))


zones = st.integers(-720, 720).map(lambda minutes: timezone(timedelta(minutes=minutes)))
comparisons = st.builds(
    Comparison,
    id=texts,
    prompt=prompts(),
    chosen=words,
    rejected=words,
    group=texts,
    topic=texts,
    pair=st.none() | texts,
    annotator=st.none() | texts,
    chosen_side=st.sampled_from([None, "left", "right"]),
    strength=st.sampled_from([None, 1, 2, 3]),
    tie=st.booleans(),
    both_bad=st.booleans(),
    rewrite=st.none() | texts,
    time=st.none() | st.datetimes(timezones=st.none() | zones),
    origin=st.none() | texts,
).filter(lambda row: row.tie or row.both_bad or row.chosen.strip() != row.rejected.strip())
