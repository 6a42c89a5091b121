"""Equal values have equal digests, other values others, and what JSON cannot say is refused."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from truing.core.digest import canonical_json, digest, digest_bytes, digest_file
from truing.core.records import Message, Outcome

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def reversed_keys(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: reversed_keys(value[key]) for key in reversed(value)}
    return [reversed_keys(item) for item in value] if isinstance(value, list) else value


@given(value=json_values)
def test_it_is_json_of_the_same_value_whatever_the_order_of_keys(value: Any) -> None:
    assert json.loads(canonical_json(value)) == value
    assert canonical_json(reversed_keys(value)) == canonical_json(value)
    assert digest(value) == hashlib.sha256(canonical_json(value)).hexdigest()


@given(one=json_values, other=json_values)
def test_equal_digests_are_equal_values(one: Any, other: Any) -> None:
    assert (digest(one) == digest(other)) <= (one == other)


@pytest.mark.parametrize(
    ("one", "other"), [(1, "1"), (1, True), (None, "null"), ([], {}), ([1, 2], [2, 1]), ("", None)]
)
def test_what_only_looks_alike_is_told_apart(one: Any, other: Any) -> None:
    assert digest(one) != digest(other)


def test_canonical_json_by_hand() -> None:
    assert canonical_json({"b": [1, 0.5, None], "a": "naïve ☃"}) == '{"a":"naïve ☃","b":[1,0.5,null]}'.encode()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {"a": [float("-inf")]}, Outcome(value=float("nan"))])
def test_nan_and_infinity_are_refused_in_records_as_well(value: Any) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical_json(value)


@pytest.mark.parametrize("value", [{1, 2}, b"bytes", object()])
def test_what_json_cannot_say_is_refused(value: Any) -> None:
    with pytest.raises(TypeError, match=type(value).__name__):
        canonical_json(value)


def test_a_record_counts_as_its_content_and_a_path_as_its_text() -> None:
    message = Message(role="user", content="hello")
    assert digest({"turns": (message,)}) == digest({"turns": [{"content": "hello", "role": "user"}]})
    assert digest(Path("a") / "b") == digest("a/b")


@pytest.mark.parametrize("size", [0, 1, (1 << 20) - 1, (1 << 20) + 1])
def test_a_file_has_the_digest_of_its_bytes(tmp_path: Path, size: int) -> None:
    content = bytes(range(251)) * (size // 251 + 1)
    (tmp_path / "file").write_bytes(content[:size])
    assert digest_file(tmp_path / "file") == digest_bytes(content[:size]) == hashlib.sha256(content[:size]).hexdigest()


def test_the_digest_of_nothing_is_the_published_one() -> None:
    assert digest_bytes(b"") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
