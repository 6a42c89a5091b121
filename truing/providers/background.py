"""A coroutine's results as a plain iterator: the event loop runs in a thread of its own, and stops with the iterator.

So requests go on while the caller works on an answer, and whoever leaves the iterator (an error, Ctrl-C) cancels what
is under way at once.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Future, wait
from queue import SimpleQueue
from threading import Thread
from typing import Any, TypeVar

T = TypeVar("T")


def in_background(produce: Callable[[Callable[[T], None]], Awaitable[None]]) -> Iterator[T]:
    """Yield what `produce(put)` puts out, in that order; then raise what it raised."""
    results: SimpleQueue[tuple[T] | BaseException | None] = SimpleQueue()
    begun: Future[tuple[asyncio.AbstractEventLoop, asyncio.Task[Any] | None]] = Future()

    async def work() -> None:
        begun.set_result((asyncio.get_running_loop(), asyncio.current_task()))
        await produce(lambda item: results.put((item,)))

    def run() -> None:
        try:
            asyncio.run(work())
        except BaseException as error:  # raised again where the results are read
            results.put(error)
        else:
            results.put(None)
        finally:
            begun.cancel()  # without effect where it has begun

    thread = Thread(target=run, name="requests", daemon=True)
    thread.start()
    try:
        while (found := results.get()) is not None:
            if isinstance(found, BaseException):
                raise found
            yield found[0]
    finally:
        wait([begun])
        if not begun.cancelled():
            loop, task = begun.result()
            with contextlib.suppress(RuntimeError):  # the loop has ended already
                loop.call_soon_threadsafe(task.cancel if task else loop.stop)
        thread.join()
