"""The store that forgets: what was put comes back, whole and under its own key."""

from truing.core.protocols import MemoryStore, Store


def test_a_memory_store_is_a_store() -> None:
    store: Store = MemoryStore()
    assert store.get("a") is None
    store.put("a", b"1")
    store.put("b", b"2")
    store.put("a", b"3")
    assert (store.get("a"), store.get("b"), store.get("A")) == (b"3", b"2", None)
    assert MemoryStore().get("a") is None
