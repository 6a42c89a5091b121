"""Best of n: n answers a prompt, scored by a reward; each prompt's are kept as soon as they are whole.

The answers of one prompt share its prefix in the engine. What a kept line holds is found again by its key, the digest
of all that it depends on: a run that was killed goes on, and one with other settings is told from it.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from pydantic import ValidationError

from truing.core.digest import canonical_json, digest
from truing.core.errors import InputError, RunError
from truing.core.protocols import Reward, Sampler
from truing.core.records import Answer, Conversation, Decoding, Progress, Record
from truing.judges.rewards import SumReward


class Candidate(Record):
    """One answer with its reward. `parts` are a weighted sum's scores, `logprob` the answer's (nats, end included)."""

    answer: str
    reward: float
    parts: Mapping[str, float] = {}
    finished: bool
    tokens: int
    logprob: float


class Sampled(Record):
    """All answers to one prompt, in the order of their draws. `best` is the place of the first with the most reward."""

    key: str
    prompt: Conversation
    best: int
    candidates: tuple[Candidate, ...]


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
            best = max(range(n), key=lambda draw: candidates[draw].reward)
            yield Sampled(key=keys[number], prompt=prompts[number], best=best, candidates=tuple(candidates))


def _scored(reward: Reward, prompt: Conversation, answers: Sequence[Answer]) -> list[Candidate]:
    rows = [(prompt, answer) for answer in answers]
    parts: dict[str, list[float]] = {}
    if isinstance(reward, SumReward):
        parts = reward.parts(rows)
        rewards = reward.total(parts)
    else:
        rewards = reward.score(rows)
    return [
        Candidate(
            answer=answer.text,
            reward=score,
            parts={name: scores[number] for name, scores in parts.items()},
            finished=answer.finished,
            tokens=len(answer.token_ids),
            logprob=sum(answer.logprobs),
        )
        for number, (answer, score) in enumerate(zip(answers, rewards, strict=True))
    ]


class SampleFile:
    """A JSON Lines file with a line a prompt. `kept` holds the lines of an earlier run by their keys; a last line that
    a kill cut short is taken away, and its prompt is sampled again."""

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
