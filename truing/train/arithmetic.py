"""What decides the last bits of a run beside its inputs.

Sums of floating-point numbers depend on their order, and the order on how many threads share the work, which
instructions the processor has, and which build of torch runs. Under the same of all of these a run on a CPU repeats bit
for bit, killed and resumed or not; under others it agrees to rounding. Nothing here is part of a step's key.
"""

import platform
from pathlib import Path

import torch

_CPU_INFO = Path("/proc/cpuinfo")


def arithmetic() -> str:
    """One line: torch's version, the processor with its instruction set, and the number of threads."""
    threads = torch.get_num_threads()
    instructions = torch.backends.cpu.get_cpu_capability()
    return f"torch {torch.__version__}, {_processor()} ({instructions}), {threads} thread{'s' * (threads > 1)}"


def _processor() -> str:
    """The processor's model where the system tells it, else its architecture."""
    try:
        lines = _CPU_INFO.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, "") or platform.processor() or platform.machine()
