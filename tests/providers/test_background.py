"""A coroutine as an iterator: its results, its error, and its end when nobody reads on."""

import asyncio
import threading
from collections.abc import Callable

import pytest

from truing.providers.background import in_background


def test_results_come_in_order_and_while_the_rest_still_runs() -> None:
    gate = threading.Event()

    async def produce(put: Callable[[int], None]) -> None:
        for number in range(3):
            put(number)
        await asyncio.to_thread(gate.wait, 10)
        put(3)

    found = in_background(produce)
    assert [next(found) for _ in range(3)] == [0, 1, 2]
    gate.set()
    assert list(found) == [3]


def test_an_error_comes_after_what_was_put_out_before_it() -> None:
    async def produce(put: Callable[[int], None]) -> None:
        put(1)
        raise ValueError("told to fail")

    found = in_background(produce)
    assert next(found) == 1
    with pytest.raises(ValueError, match="told to fail"):
        next(found)


def test_whoever_stops_reading_cancels_what_is_under_way_and_leaves_no_thread() -> None:
    ended = threading.Event()

    async def produce(put: Callable[[int], None]) -> None:
        put(1)
        try:
            await asyncio.sleep(600)
        finally:
            ended.set()

    found = in_background(produce)
    assert next(found) == 1
    found.close()
    assert ended.is_set()
    assert "requests" not in [thread.name for thread in threading.enumerate()]
