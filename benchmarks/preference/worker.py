"""The line protocol between the benchmark and its workers: one JSON request a line in, one JSON answer a line out.

Standard library only. A worker is a class with the methods that `serve` calls; each measures itself, in seconds.
"""

import ctypes
import gc
import json
import os
import sys
from collections.abc import Callable, Mapping
from typing import Any


def serve(methods: Mapping[str, Callable[..., Any]]) -> None:
    """Answer requests until standard input ends. What libraries print goes to standard error."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        request = json.loads(line)
        result = methods[request.pop("call")](**request)
        answers.write(json.dumps({"result": result, "peak_bytes": peak()}) + "\n")
        answers.flush()
        # Give the memory back, so that the workers' peaks do not add up on the machine.
        gc.collect()
        ctypes.CDLL("libc.so.6").malloc_trim(0)


def peak() -> int:
    """This process's largest resident size so far, in bytes."""
    with open("/proc/self/status") as status:
        for line in status:
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    raise RuntimeError("/proc/self/status has no VmHWM")
