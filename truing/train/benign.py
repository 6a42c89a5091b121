"""A frozen set of harmless prompts that a policy-gradient run asks as it goes: does the policy begin to refuse them?

Each round the policy that drew its answers is asked the next few, in an order that is the same in every run, at
temperature 1. Training gets neither the prompts nor the answers. A judge reads the openings; an answer that it cannot
read is counted as unknown. What a rise of refusals must be to stop a run: `core/watch.py`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from truing.core.digest import digest
from truing.core.errors import InputError
from truing.core.protocols import Judge
from truing.core.records import Conversation, Decoding
from truing.engine.chat import Chat
from truing.engine.generate import generate
from truing.engine.trunk import Trunk
from truing.train.rollouts import seed_of


@dataclass(frozen=True)
class BenignSet:
    """The prompts in their order; who judges the answers; how many are asked in a round, and how long an answer is."""

    prompts: tuple[Conversation, ...]
    judge: Judge
    each: int
    max_new_tokens: int


@dataclass(frozen=True)
class Refusals:
    """Of a round's `answers` to harmless prompts: the share that refuses, of those that could be judged (None: none
    could), and how many could not."""

    answers: int
    refused: float | None
    unknown: int


def benign_set(prompts: Iterable[Conversation], judge: Judge, each: int = 8, max_new_tokens: int = 24) -> BenignSet:
    """A set in the order of its prompts' hashes, so that neighbours in a file, which are often alike, are apart. Raises
    `InputError` where it is empty."""
    ordered = tuple(sorted(dict.fromkeys(prompts), key=digest))
    if not ordered:
        raise InputError("there are no harmless prompts to ask; give at least one, or no set")
    return BenignSet(ordered, judge, each, max_new_tokens)


def benign_ids(trunk: Trunk, chat: Chat, benign: BenignSet) -> list[tuple[int, ...]]:
    """The prompts as tokens. Raises `InputError` naming one that leaves no room for an answer."""
    found = [chat.prompt_ids(prompt) for prompt in benign.prompts]
    for prompt, ids in zip(benign.prompts, found, strict=True):
        if len(ids) + benign.max_new_tokens > trunk.context:
            raise InputError(
                f"the harmless prompt {prompt[-1].content[:40]!r} takes {len(ids)} tokens, and with an answer of up to "
                f"{benign.max_new_tokens} that is more than the model's context of {trunk.context}; leave it out of "
                "the benign set, or lower guard.benign_tokens"
            )
    return found


def ask(
    trunk: Trunk, chat: Chat, benign: BenignSet, ids: Sequence[tuple[int, ...]], seed: int, iteration: int
) -> Refusals:
    """A round's prompts, answered with the adapter in use and judged. They depend on the seed, the round and the
    weights alone."""
    places = [(iteration * benign.each + number) % len(ids) for number in range(benign.each)]
    decoding = Decoding(temperature=1.0, max_new_tokens=benign.max_new_tokens, seed=seed_of("benign", seed, iteration))
    said = []
    for number, answer in generate(trunk, [ids[place] for place in places], decoding, chat.end_id):
        said.append(benign.judge.judge(benign.prompts[places[number]], chat.text(answer.ids)).value)
    known = [value for value in said if value is not None]
    return Refusals(len(said), sum(known) / len(known) if known else None, len(said) - len(known))
