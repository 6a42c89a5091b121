"""How fast a deployed model is asked, and how much it may cost. Counts and times only: nothing here asks anything.

What a request costs is known when its answer comes; before that only the most that it can be. That much is held back
for each request under way, so a budget is never exceeded by what is known.
"""

from typing import NamedTuple

from truing.core.errors import InputError
from truing.core.records import Message, Record
from truing.providers.settings import RemoteConfig

_TOKENS_OF_A_TURN = 16  # what a chat template puts around a message: 3 to 8 in those in use
_BYTES_OF_A_TOKEN = 4  # of English text, as providers count before they answer


class Tokens(NamedTuple):
    """Tokens of prompts, and of all that was written (thinking included)."""

    prompt: int = 0
    output: int = 0

    def plus(self, other: "Tokens", times: int = 1) -> "Tokens":
        """The sum; `times=-1` takes away."""
        return Tokens(self.prompt + times * other.prompt, self.output + times * other.output)


def most_tokens(messages: tuple[Message, ...], max_new_tokens: int) -> Tokens:
    """The most that a request can take: no tokenizer in use makes more tokens of a text than it has bytes."""
    return Tokens(sum(len(one.content.encode()) + _TOKENS_OF_A_TURN for one in messages), max_new_tokens)


def likely_tokens(most: Tokens) -> int:
    """What providers count against a rate before they know: a token for four bytes, and the whole limit."""
    return most.prompt // _BYTES_OF_A_TOKEN + most.output


class Pace:
    """When the next request may start. Requests are spread evenly, so no minute holds more than its rate allows."""

    def __init__(self, requests_per_minute: float | None, tokens_per_minute: float | None) -> None:
        self._a_request = 60.0 / requests_per_minute if requests_per_minute else 0.0
        self._a_token = 60.0 / tokens_per_minute if tokens_per_minute else 0.0
        self._free = 0.0
        self.held_until = 0.0

    def reserve(self, now: float, tokens: int) -> float:
        """The time (seconds, on the clock of `now`) at which a request of so many tokens may start."""
        start = max(now, self._free)
        self._free = start + max(self._a_request, tokens * self._a_token)
        return start

    def hold(self, until: float) -> None:
        """Let nothing start before this time: the server has asked for a pause."""
        self.held_until = max(self.held_until, until)


class Spending(Record):
    """What a deployed model was asked and what that cost. Tokens are the server's counts, output with thinking.

    `untold` requests may have been billed, but their usage was never told (a cut connection, a timeout, a reply without
    it): they took `untold_at_most` tokens. Costs are None where the model has no price.
    """

    requests: int = 0
    answers: int = 0
    missing: int = 0
    prompt_tokens: int = 0
    output_tokens: int = 0
    thinking_tokens: int = 0
    untold: int = 0
    untold_at_most: int = 0
    cost_at_least: float | None = None
    cost_at_most: float | None = None

    def __str__(self) -> str:
        """One line for people."""
        thinking = f" ({self.thinking_tokens} of them thinking)" if self.thinking_tokens else ""
        parts = [
            f"{self.requests} requests, {self.answers} answers, {self.missing} missing",
            f"{self.prompt_tokens} prompt and {self.output_tokens} output tokens{thinking}",
        ]
        if self.untold:
            parts.append(f"of {self.untold} requests no usage was told (at most {self.untold_at_most} tokens)")
        if self.cost_at_least is None or self.cost_at_most is None:
            parts.append("cost unknown (no price is set)")
        elif self.cost_at_least == self.cost_at_most:
            parts.append(f"cost {self.cost_at_most:.6g}")
        else:
            parts.append(f"cost {self.cost_at_least:.6g} to {self.cost_at_most:.6g}")
        return "; ".join(parts)


class Budget:
    """Tokens told, and those lost sight of, against the most that may be spent."""

    def __init__(self, config: RemoteConfig, model: str) -> None:
        """Raises `InputError` where a cost is limited and the model has no price: unknown is not free."""
        self.price = config.prices.get(model)
        self.most_tokens, self.most_cost = config.budget_tokens, config.budget_cost
        if self.most_cost is not None and self.price is None:
            known = ", ".join(config.prices) or "none"
            raise InputError(
                f"budget_cost needs the price of {model!r}; prices are set for {known}: add "
                f'prices."{model}" = {{prompt = …, output = …}} (for a million tokens), or limit budget_tokens'
            )
        self.told, self.lost = Tokens(), Tokens()
        self.untold = 0

    def fits(self, *requests: Tokens) -> bool:
        """Whether these requests, each at its most, cannot exceed the budget."""
        total = self.told.plus(self.lost)
        for most in requests:
            total = total.plus(most)
        if self.most_tokens is not None and sum(total) > self.most_tokens:
            return False
        cost = self.cost(total)
        return self.most_cost is None or cost is None or cost <= self.most_cost

    def settle(self, most: Tokens, told: Tokens | None, billed: bool = True) -> None:
        """A request has ended: its usage was told, or it counts as all that it can have taken unless it was not
        billed."""
        if told is not None:
            self.told = self.told.plus(told)
        elif billed:
            self.lost = self.lost.plus(most)
            self.untold += 1

    def cost(self, tokens: Tokens) -> float | None:
        """The price of tokens; None where none is set."""
        if self.price is None:
            return None
        return (tokens.prompt * self.price.prompt + tokens.output * self.price.output) / 1e6

    def limit(self) -> str:
        """The budget, in words."""
        limits = [f"{self.most_tokens} tokens"] if self.most_tokens is not None else []
        return " and ".join([*limits, *([f"a cost of {self.most_cost:g}"] if self.most_cost is not None else [])])
