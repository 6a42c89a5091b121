"""What a step takes: seconds, and the most memory that its process holds meanwhile.

Memory is the process's resident set (model, libraries and what earlier steps left behind included), looked at every
twentieth of a second: a peak shorter than that may be missed. A step is measured by itself in a process of its own.
"""

import threading
import time
from types import TracebackType

import psutil

from truing.ledger.artifacts import Cost

_EVERY_SECONDS = 0.05


class Meter:
    """Measures between `with` and `cost`."""

    def __enter__(self) -> "Meter":
        self._process, self._peak, self._stop = psutil.Process(), 0, threading.Event()
        self._started = time.monotonic()
        self._look()
        self._thread = threading.Thread(target=self._watch, name="memory of the step", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def cost(self) -> Cost:
        """What it took so far."""
        self._look()
        return Cost(seconds=round(time.monotonic() - self._started, 2), peak_mb=round(self._peak / (1 << 20)))

    def _watch(self) -> None:
        while not self._stop.wait(_EVERY_SECONDS):
            self._look()

    def _look(self) -> None:
        self._peak = max(self._peak, self._process.memory_info().rss)
