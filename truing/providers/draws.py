"""Prompts as a deployed model's questions: one request for each answer to be drawn, and the most that it can take."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from truing.core.digest import digest
from truing.core.errors import InputError
from truing.core.records import Conversation, Decoding, Message
from truing.providers.limits import Tokens, most_tokens
from truing.providers.settings import RemoteConfig
from truing.providers.wire import Request


@dataclass(frozen=True)
class Draw:
    """One answer to be drawn: the place of its prompt, the question, and the most tokens that it can take."""

    number: int
    request: Request
    most: Tokens


def with_system(prompt: Conversation, system_prompt: str | None) -> Conversation:
    """A dialogue with the system prompt before it, where it has none of its own."""
    if system_prompt is None or (prompt and prompt[0].role == "system"):
        return prompt
    return (Message(role="system", content=system_prompt), *prompt)


def draws_of(
    prompts: Sequence[Conversation], decoding: Decoding, config: RemoteConfig, system_prompt: str | None
) -> list[Draw]:
    """In the order of the prompts. Raises `InputError` for a dialogue that cannot be asked."""
    seen: Counter[Conversation] = Counter()
    warm = decoding.temperature > 0
    draws = []
    for number, prompt in enumerate(prompts):
        said = with_system(prompt, system_prompt)
        system = said[0].content if said and said[0].role == "system" else None
        turns = said if system is None else said[1:]
        if not turns or any(turn.role == "system" for turn in turns) or turns[-1].role != "user":
            raise InputError(
                f"prompt {number + 1}: a deployed model is asked by turns of user and assistant that end with the "
                "user's, after at most one system turn; mend it or leave it out"
            )
        # Where a server heeds the seed, equal prompts must still be different draws.
        seed = int(digest([decoding.seed, seen[prompt]])[:8], 16) >> 1
        seen[prompt] += 1
        request = Request(
            system=system,
            turns=turns,
            max_new_tokens=decoding.max_new_tokens,
            temperature=None if "temperature" in config.omit else decoding.temperature,
            seed=seed if warm and "seed" not in config.omit else None,
        )
        draws.append(Draw(number, request, most_tokens(said, decoding.max_new_tokens)))
    return draws
