"""A deployed model as a `Sampler`: many questions at once, asked again where that helps, within a pace and a budget.

What all providers share is here, once: their libraries' own retries are off. How one question is put is `openai.py`'s,
`anthropic.py`'s and `gemini.py`'s matter. What this does not know is whether the same name is the same model tomorrow:
every answer carries its time and the name that the server told.
"""

import asyncio
import itertools
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime

from truing.core.digest import digest
from truing.core.errors import InputError, RunError, TruingError
from truing.core.records import Answer, Conversation, Decoding, Observation
from truing.providers.background import in_background
from truing.providers.draws import Draw, draws_of
from truing.providers.limits import Budget, Pace, Spending, Tokens, likely_tokens
from truing.providers.settings import RemoteConfig
from truing.providers.wire import Asker, FailedError, Reply, Request

Put = Callable[[tuple[int, Answer]], None]
_SHORTEST_KEY = 8  # shorter ones are placeholders, and stand in any text
_LONGEST_TOLD = 300


class _Run:
    """One reading of `sample`. `under_way` are the tokens held back for requests that have not ended, `stopped` is why
    no more is asked; what is under way still ends."""

    def __init__(self, asker: Asker, concurrency: int, put: Put) -> None:
        self.asker, self.put = asker, put
        self.slots = asyncio.Semaphore(concurrency)
        self.ended = asyncio.Event()
        self.under_way = Tokens()
        self.stopped: TruingError | OSError | None = None


class RemoteSystem:
    """`provider:model` at an address. `open_asker` begins a connection within the running event loop; `key` is only
    what must not be seen in any text. Budget, pace and counts hold for all that this system is asked."""

    def __init__(
        self,
        provider: str,
        model: str,
        address: str,
        config: RemoteConfig,
        open_asker: Callable[[], Asker],
        *,
        key: str | None = None,
        system_prompt: str | None = None,
    ) -> None:
        """Raises `InputError` where a cost is limited and no price is known."""
        self.name = f"{provider}:{model}"
        self.provider, self.address, self.system_prompt = provider, address, system_prompt
        self._model, self._config, self._open_asker, self._key = model, config, open_asker, key
        self._budget = Budget(config, model)
        self._pace = Pace(config.requests_per_minute, config.tokens_per_minute)
        self._failures = 0
        self._counts: Counter[str] = Counter()

    @property
    def identity(self) -> str:
        """The digest of what answers depend on beside prompt, decoding and time: address and name, not weights."""
        settings = [sorted(self._config.omit), self._config.logprobs, self.system_prompt]
        return digest(["deployed", self.provider, self.address, self._model, settings])

    def cost(self, tokens: Tokens) -> float | None:
        """The price of tokens; None where none is set."""
        return self._budget.cost(tokens)

    @property
    def spending(self) -> Spending:
        """What was asked so far, and what it cost."""
        budget, counts = self._budget, self._counts
        return Spending(
            requests=counts["requests"],
            answers=counts["answers"],
            missing=counts["missing"],
            prompt_tokens=budget.told.prompt,
            output_tokens=budget.told.output,
            thinking_tokens=counts["thinking"],
            untold=budget.untold,
            untold_at_most=sum(budget.lost),
            cost_at_least=budget.cost(budget.told),
            cost_at_most=budget.cost(budget.told.plus(budget.lost)),
        )

    def sample(
        self, prompts: Sequence[Conversation], decoding: Decoding, keep: Put | None = None
    ) -> Iterator[tuple[int, Answer]]:
        """Answers as they come: (index of the prompt, answer). They are asked for in order; equal prompts that stand
        together are asked for together or, where the budget ends, not at all. `keep` gets each answer as soon as it is
        there, in another thread, however long the reader takes for the one before.

        An answer that could not be had is `missing`, and says why. Raises `InputError` where no question can be
        answered (key, model, address), `RunError` where the budget or the server ends it, after all answers that came.
        """
        draws = draws_of(prompts, decoding, self._config, self.system_prompt)

        async def ask_all(put: Put) -> None:
            def keep_and_put(came: tuple[int, Answer]) -> None:
                if keep is not None:
                    keep(came)
                put(came)

            await self._ask_all(draws, keep_and_put)

        yield from in_background(ask_all)

    async def _ask_all(self, draws: Sequence[Draw], put: Put) -> None:
        run = _Run(self._open_asker(), self._config.concurrency, put)
        try:
            async with asyncio.TaskGroup() as group:
                for _, equal in itertools.groupby(draws, key=lambda draw: (draw.request.system, draw.request.turns)):
                    block = list(equal)
                    if not await self._admitted(run, block, len(draws)):
                        break
                    for draw in block:
                        await run.slots.acquire()
                        group.create_task(self._one(run, draw))
        finally:
            await run.asker.close()
        if run.stopped is not None:
            raise run.stopped

    async def _admitted(self, run: _Run, block: Sequence[Draw], total: int) -> bool:
        """Hold the block's tokens back, once the budget has room; False where it never will, or the run was stopped."""
        most = [draw.most for draw in block]
        while run.stopped is None and not self._budget.fits(run.under_way, *most):
            if run.under_way == Tokens():
                needed = sum(map(sum, most))
                spent = sum(self._budget.told.plus(self._budget.lost))
                run.stopped = RunError(
                    f"the budget of {self._budget.limit()} has no room for the next prompt: {spent} tokens are spent, "
                    f"it may take {needed} more; {block[0].number} of {total} answers were asked for, and what came is "
                    "kept. Raise the budget to go on"
                )
                break
            run.ended.clear()
            await run.ended.wait()
        if run.stopped is None:
            for tokens in most:
                run.under_way = run.under_way.plus(tokens)
        return run.stopped is None

    async def _one(self, run: _Run, draw: Draw) -> None:
        """One answer: its attempts, and what came of them. Nothing where the run was stopped before there was one."""
        try:
            found, attempts = await self._attempts(run, draw)
        finally:
            run.under_way = run.under_way.plus(draw.most, times=-1)
            run.slots.release()
            run.ended.set()
        if found is None:
            return
        where = f"{self.name} at {self.address}"
        if isinstance(found, Reply):
            self._failures = 0
        elif found.fatal:
            run.stopped = run.stopped or InputError(f"{where}: {self._told(str(found))}")
            return
        else:
            self._failures += 1
            if self._failures >= self._config.failures_in_a_row:
                what = f"{self._failures} requests in a row brought no reply, the last: {self._told(str(found))}"
                run.stopped = run.stopped or RunError(f"{where}: {what}")
        answer = self._answer(draw.request, found, attempts)
        self._counts["missing" if answer.missing else "answers"] += 1
        try:
            run.put((draw.number, answer))
        except OSError as error:  # what cannot be kept is not worth its price
            run.stopped = run.stopped or error

    async def _attempts(self, run: _Run, draw: Draw) -> tuple[Reply | FailedError | None, int]:
        """Ask until there is a reply, or no use in asking again. The tokens of one attempt are held back all the
        time."""
        for attempt in itertools.count(1):
            await self._turn(draw)
            if run.stopped is not None:
                return None, attempt
            self._counts["requests"] += 1
            try:
                async with asyncio.timeout(self._config.timeout):
                    reply = await run.asker.ask(draw.request)
            except TimeoutError:
                failed = FailedError(f"no reply within {self._config.timeout:g} s", again=True, billed=True)
            except FailedError as error:
                failed = error
            except asyncio.CancelledError:
                self._budget.settle(draw.most, None)
                raise
            else:
                self._budget.settle(draw.most, reply.usage)
                self._counts["thinking"] += reply.thinking_tokens or 0
                return reply, attempt
            self._budget.settle(draw.most, None, failed.billed)
            wait = self._wait(failed, attempt)
            if wait is None:
                return failed, attempt
            if not self._budget.fits(run.under_way):
                return FailedError(f"{failed}; the budget has no room to ask again"), attempt
            await asyncio.sleep(wait)
        raise AssertionError("unreachable")

    async def _turn(self, draw: Draw) -> None:
        """Wait until the pace, and a pause that the server asked for, let the next request start."""
        clock = asyncio.get_running_loop().time
        start = self._pace.reserve(clock(), likely_tokens(draw.most))
        while (wait := max(start, self._pace.held_until) - clock()) > 0:
            await asyncio.sleep(wait)

    def _wait(self, failed: FailedError, attempt: int) -> float | None:
        """Seconds until the next attempt, at random so that many do not come back at once; None where there is none."""
        config = self._config
        if not failed.again or attempt > config.retries:
            return None
        if failed.wait is None:
            return random.uniform(0, min(config.longest_wait, config.backoff * 2.0 ** min(attempt - 1, 60)))
        if failed.wait > config.longest_wait:
            return None
        self._pace.hold(asyncio.get_running_loop().time() + failed.wait)
        return failed.wait + random.uniform(0, min(config.longest_wait, config.backoff))

    def _answer(self, request: Request, found: Reply | FailedError, attempts: int) -> Answer:
        reply = found if isinstance(found, Reply) else None
        text = "" if reply is None else self._hidden(reply.text)
        if reply is None:
            missing = f"no reply: {found}"
        elif text != reply.text:
            missing = "the reply held the key, which was taken out"
        elif not reply.missing and not text.strip():
            missing = f"the reply is empty (stop reason: {reply.stop or 'none told'})"
        else:
            missing = reply.missing
        observed = Observation(
            time=datetime.now(UTC),
            provider=self.provider,
            reported_model=self._hidden(reply.model) if reply and reply.model else None,
            stop=self._hidden(reply.stop) if reply and reply.stop else None,
            replied=reply is not None,
            attempts=attempts,
            prompt_tokens=reply.prompt_tokens if reply else None,
            output_tokens=reply.output_tokens if reply else None,
            thinking_tokens=reply.thinking_tokens if reply else None,
            request={
                "model": self._model,
                "base_url": self.address,
                "max_new_tokens": request.max_new_tokens,
                "temperature": request.temperature,
                "seed": request.seed,
                "stream": self._config.stream,
            },
        )
        return Answer(
            text=text,
            token_ids=(),
            logprobs=reply.logprobs if reply else (),
            finished=reply.finished if reply else None,
            least_gap=None,
            observed=observed,
            missing=self._told(missing),
        )

    def _hidden(self, text: str) -> str:
        """The text without the key: no server's echo brings it into a message, a file or the ledger."""
        if self._key is None or len(self._key) < _SHORTEST_KEY:
            return text
        return text.replace(self._key, "[key]")

    def _told(self, text: str) -> str:
        """What a server told, as part of a sentence: the key goes first, lest a part of it stay where the rest is
        cut."""
        line = " ".join(self._hidden(text).split())
        return line if len(line) <= _LONGEST_TOLD else line[: _LONGEST_TOLD - 1] + "…"
