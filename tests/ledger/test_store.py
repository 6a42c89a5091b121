"""The store gives back what was put, whole or not at all, and notices damage."""

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from truing.core.errors import RunError
from truing.core.protocols import Store
from truing.ledger.store import FileStore


@pytest.fixture
def store(tmp_path: Path) -> FileStore:
    return FileStore(tmp_path)


def test_it_is_a_store(store: FileStore) -> None:
    kept: Store = store
    assert kept.get("never put") is None


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(key=st.text(), content=st.binary())
def test_what_was_put_comes_back(store: FileStore, key: str, content: bytes) -> None:
    store.put(key, content)
    assert store.get(key) == content


def test_any_text_is_a_key_and_none_leads_outside_or_meets_another(store: FileStore, tmp_path: Path) -> None:
    keys = ["../outside", "/etc/absolute", "a/b", "a_b", "A/B", "", "\0", "x" * 5000]
    for key in keys:
        store.put(key, key.encode())
    assert [store.get(key) for key in keys] == [key.encode() for key in keys]
    assert not (tmp_path.parent / "outside").exists()


@pytest.mark.parametrize("place", [0, 31, 32, -1])
def test_one_flipped_byte_is_an_error_that_names_the_file(store: FileStore, tmp_path: Path, place: int) -> None:
    store.put("key", b"content")
    (path,) = (path for path in tmp_path.rglob("*") if path.is_file())
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)
    with pytest.raises(RunError, match=path.name):
        store.get("key")


@pytest.mark.parametrize("length", [0, 5, 34])
def test_a_cut_file_is_an_error(store: FileStore, tmp_path: Path, length: int) -> None:
    store.put("key", b"content")
    (path,) = (path for path in tmp_path.rglob("*") if path.is_file())
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(RunError, match="damaged"):
        store.get("key")


def test_a_crash_while_writing_keeps_the_old_value_and_leaves_nothing_behind(
    store: FileStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.put("key", b"old")

    def crash(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(os, "replace", crash)
        with pytest.raises(KeyboardInterrupt):
            store.put("key", b"new")
    assert store.get("key") == b"old"
    assert len([path for path in tmp_path.rglob("*") if path.is_file()]) == 1
