"""Best of n: n answers a prompt, scored by a reward; each prompt's are kept as soon as they are whole.

The answers of one prompt share its prefix in the engine. What a kept line holds is found again by its key, the digest
of all that it depends on: a run that was killed goes on, and one with other settings is told from it. A deployed
model's answers carry their time; one that is missing has no reward and is never the best.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from pydantic import ValidationError

from truing.core.digest import canonical_json, digest
from truing.core.errors import InputError, RunError
from truing.core.protocols import Reward, Sampler
from truing.core.records import Answer, Conversation, Decoding, Observation, Progress, Record
from truing.judges.rewards import SumReward


class Candidate(Record):
    """One answer with its reward. `parts` are a weighted sum's scores, `logprob` the answer's (nats, end included).

    None is what a deployed model did not tell, and the reward of an answer that is `missing`, for the reason given
    there.
    """

    answer: str
    reward: float | None
    parts: Mapping[str, float] = {}
    finished: bool | None
    tokens: int | None
    logprob: float | None
    missing: str = ""
    observed: Observation | None = None


class Sampled(Record):
    """All answers to one prompt, in the order of their draws. `best` is the place of the first with the most reward, or
    None where all are missing."""

    key: str
    prompt: Conversation
    best: int | None
    candidates: tuple[Candidate, ...]

    @property
    def rewards(self) -> list[float]:
        """The rewards of the answers that are there."""
        return [one.reward for one in self.candidates if one.reward is not None]


def keys_of(prompts: Sequence[Conversation], identity: str, reward: Reward, n: int, decoding: Decoding) -> list[str]:
    """What tells one prompt's answers from those of other settings; `identity` is that of the system that answers."""
    return [digest(["best of n", identity, reward.version, n, decoding, prompt]) for prompt in prompts]


def best_of(
    system: Sampler,
    reward: Reward,
    prompts: Sequence[Conversation],
    keys: Sequence[str],
    n: int,
    decoding: Decoding,
) -> Iterator[Progress | Sampled]:
    """Yield each prompt's `Sampled` once its n answers are there, and `Progress` with every answer. Prompts must be
    distinct: a draw's randomness depends on how often its prompt came before."""
    if len(set(prompts)) < len(prompts):
        raise ValueError("a prompt stands twice")
    if n > 1 and decoding.temperature == 0:
        raise InputError(f"at temperature 0 all {n} answers to a prompt are the same; raise --temperature")
    waiting: list[dict[int, Answer]] = [{} for _ in prompts]
    repeated = [prompt for prompt in prompts for _ in range(n)]
    for done, (place, answer) in enumerate(system.sample(repeated, decoding), start=1):
        number, draw = divmod(place, n)
        waiting[number][draw] = answer
        yield Progress(stage="sampling", done=done, total=len(repeated))
        if len(waiting[number]) == n:
            answers = [waiting[number][draw] for draw in range(n)]
            waiting[number].clear()
            candidates = _scored(reward, prompts[number], answers)
            known = {draw: one.reward for draw, one in enumerate(candidates) if one.reward is not None}
            best = max(known, key=lambda draw: known[draw]) if known else None
            yield Sampled(key=keys[number], prompt=prompts[number], best=best, candidates=tuple(candidates))


def _scored(reward: Reward, prompt: Conversation, answers: Sequence[Answer]) -> list[Candidate]:
    there = [draw for draw, answer in enumerate(answers) if not answer.missing]
    rows = [(prompt, answers[draw]) for draw in there]
    parts: dict[str, list[float]] = {}
    if not rows:
        scores: list[float] = []
    elif isinstance(reward, SumReward):
        parts = reward.parts(rows)
        scores = reward.total(parts)
    else:
        scores = reward.score(rows)
    rewards: dict[int, float] = dict(zip(there, scores, strict=True))
    return [
        Candidate(
            answer=answer.text,
            reward=rewards.get(draw),
            parts={name: found[there.index(draw)] for name, found in parts.items() if draw in rewards},
            finished=answer.finished,
            tokens=_tokens(answer),
            logprob=sum(answer.logprobs) if answer.logprobs or answer.observed is None else None,
            missing=answer.missing,
            observed=answer.observed,
        )
        for draw, answer in enumerate(answers)
    ]


def _tokens(answer: Answer) -> int | None:
    """The tokens of the answer's text; of a deployed model's as far as it told, which is with or without thinking."""
    if answer.observed is None:
        return len(answer.token_ids)
    written = answer.observed.output_tokens
    return None if written is None else written - (answer.observed.thinking_tokens or 0)


class SampleFile:
    """A JSON Lines file with a line a prompt. `kept` holds the lines of an earlier run by their keys; a last line that
    a kill cut short is taken away, and its prompt is sampled again. So is a prompt of which a deployed model left a
    draw without any reply: its older line stays where it is, and the newer one counts."""

    def __init__(self, path: Path, keys: Sequence[str]) -> None:
        """Raises `InputError` where the file holds anything else than lines of these keys."""
        self.path = path
        self.kept: dict[str, Sampled] = {}
        if not path.absolute().parent.is_dir():
            raise InputError(f"{path}: there is no folder {path.parent}; make it first")
        content = self._read()
        whole = content.rfind(b"\n") + 1
        for number, line in enumerate(content[:whole].split(b"\n")[:-1], start=1):
            try:
                sampled = Sampled.model_validate_json(line)
            except ValidationError:
                raise InputError(
                    f"{path}, line {number}: not written by `truing sample`; choose another file"
                ) from None
            if sampled.key not in keys:
                what = "made from another prompt, model, reward or setting"
                raise InputError(f"{path}, line {number}: {what}; choose another file, or repeat the earlier command")
            if all(one.observed is None or one.observed.replied for one in sampled.candidates):
                self.kept[sampled.key] = sampled
        if whole < len(content):
            os.truncate(path, whole)

    def add(self, sampled: Sampled) -> None:
        """Append a line and flush it to the disk."""
        try:
            with self.path.open("ab") as file:
                file.write(canonical_json(sampled) + b"\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise RunError(f"{self.path}: cannot be written ({error.strerror}); what stands there is kept") from None

    def _read(self) -> bytes:
        try:
            return self.path.read_bytes() if self.path.exists() else b""
        except OSError as error:
            raise InputError(f"{self.path}: cannot be read ({error.strerror}); check the path") from None
