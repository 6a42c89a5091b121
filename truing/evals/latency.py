"""How fast a system answers, one prompt at a time: the time to the first token, and the pace after it.

    first token   seconds from asking for one token until it is there
    pace          (tokens − 1) / (seconds of the whole answer − seconds to its first token)

Each prompt is asked twice, once for one token and once for the whole answer; one prompt is asked beforehand and not
counted. An answer of one token has no pace. Seconds belong to a machine and an hour: this is an observation, and no two
of them are the same. What it does not know: how a server fares under many requests at once, and what it keeps of a
prompt that it was just asked (a kept prefix makes the whole answer's beginning faster than the first token says).
"""

import math
import os
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime

from truing.core.protocols import Sampler
from truing.core.quantiles import quantile_interval
from truing.core.records import Answer, Conversation, Decoding, Record

QUANTILES = {"p50": 0.5, "p95": 0.95}


class Timed(Record):
    """One prompt: seconds to the first token and to the whole answer, its tokens (None: not told), and its pace.
    `missing` says why there is no answer."""

    first: float
    whole: float
    tokens: int | None
    missing: str = ""

    @property
    def pace(self) -> float | None:
        """Tokens a second after the first; None where it is not known."""
        seconds = self.whole - self.first
        if self.missing or self.tokens is None or self.tokens < 2 or seconds <= 0:
            return None
        return (self.tokens - 1) / seconds


class Machine(Record):
    """Where it was measured. `device` is what the weights were on; of a deployed model its address."""

    system: str
    processor: str
    cores: int
    threads: int | None
    device: str


class Quantile(Record):
    """A quantile over prompts with its 95% interval; None where too few prompts bound it, or nothing is known."""

    value: float | None
    low: float | None
    high: float | None


class Latency(Record):
    """What was found, of which system, when and where. `unknown` prompts have no answer, `no_pace` others no pace."""

    model: str
    machine: Machine
    began: datetime
    ended: datetime
    prompts: int
    unknown: int
    no_pace: int
    max_new_tokens: int
    first_token_seconds: dict[str, Quantile]
    tokens_per_second: dict[str, Quantile]
    answer_seconds: dict[str, Quantile]


def measure(
    system: Sampler,
    prompts: Sequence[Conversation],
    max_new_tokens: int,
    clock: Callable[[], float] = time.perf_counter,
) -> Iterator[Timed]:
    """Time every prompt, in order, one at a time."""
    _ask(system, prompts[0], 1, clock)  # what happens once (a connection, a first allocation) is not latency
    for prompt in prompts:
        first, one = _ask(system, prompt, 1, clock)
        whole, answer = _ask(system, prompt, max_new_tokens, clock)
        yield Timed(first=first, whole=whole, tokens=_tokens(answer), missing=one.missing or answer.missing)


def _ask(system: Sampler, prompt: Conversation, tokens: int, clock: Callable[[], float]) -> tuple[float, Answer]:
    started = clock()
    ((_, answer),) = system.sample([prompt], Decoding(max_new_tokens=tokens))
    return clock() - started, answer


def _tokens(answer: Answer) -> int | None:
    """How many were generated, the end of turn with them; of a deployed model as its server told."""
    if answer.observed is not None:
        return answer.observed.output_tokens
    return len(answer.token_ids) + bool(answer.finished)


def summarised(found: Sequence[Timed], quantity: Callable[[Timed], float | None]) -> dict[str, Quantile]:
    """The quantiles of a quantity over the prompts that have it."""
    known = [value for one in found if not one.missing and (value := quantity(one)) is not None]
    if not known:
        return {name: Quantile(value=None, low=None, high=None) for name in QUANTILES}
    made = {}
    for name, q in QUANTILES.items():
        value, interval = quantile_interval(known, q)
        low, high = (bound if math.isfinite(bound) else None for bound in interval)
        made[name] = Quantile(value=value, low=low, high=high)
    return made


def machine(device: str, threads: int | None) -> Machine:
    """This one."""
    return Machine(
        system=platform.platform(),
        processor=platform.processor() or platform.machine(),
        cores=os.cpu_count() or 1,
        threads=threads,
        device=device,
    )
