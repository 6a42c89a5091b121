"""Rewards as training meets them: a plain Python function as a `Reward`, and the check of what any reward returns."""

import importlib
import importlib.util
import inspect
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import SupportsFloat

from truing.core.digest import digest_file
from truing.core.errors import InputError, RunError
from truing.core.protocols import Reward
from truing.core.records import Answer, Conversation

Function = Callable[[Conversation, Answer], float]


class FunctionReward:
    """A function (conversation, answer) → number as a `Reward`. Change `version` when the function changes."""

    def __init__(self, function: Function, version: str = "1") -> None:
        self.function = function
        self.version = version

    def score(self, rows: Sequence[tuple[Conversation, Answer]]) -> list[float]:
        """One number a row. Raises `RunError` where the function returns something else."""
        scores = [self.function(prompt, answer) for prompt, answer in rows]
        for score in scores:
            if not isinstance(score, SupportsFloat):
                raise RunError(f"the reward function returned {score!r} instead of a number; does it lack a return?")
        return [float(score) for score in scores]


def function_reward(where: str) -> FunctionReward:
    """The function that `FILE.py:NAME` or `package.module:NAME` names; its version is the file's hash.

    Raises `InputError` where there is no such function.
    """
    source, _, name = where.rpartition(":")
    if not source or not name.isidentifier():
        raise InputError(f"reward function {where!r}: write it as FILE.py:NAME or package.module:NAME")
    try:
        module = _file(Path(source)) if source.endswith(".py") else importlib.import_module(source)
    except Exception as error:  # whatever the user's own module raises while it is read
        raise InputError(
            f"reward function {where!r}: {source} cannot be imported ({type(error).__name__}: {error})"
        ) from None
    function = getattr(module, name, None)
    if not callable(function):
        raise InputError(f"reward function {where!r}: {source} has no function {name}")
    return FunctionReward(function, digest_file(Path(inspect.getfile(module))))


def _file(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def scores_of(reward: Reward, rows: Sequence[tuple[Conversation, Answer]]) -> list[float]:
    """What a reward says of the rows. Raises `RunError` unless that is one finite number for each."""
    scores = reward.score(rows)
    if len(scores) != len(rows):
        raise RunError(
            f"the reward gave {len(scores)} scores for {len(rows)} answers; it must give one for each. Training "
            "stopped and the last checkpoint is kept"
        )
    for score, (_, answer) in zip(scores, rows, strict=True):
        if not math.isfinite(score):
            raise RunError(
                f"the reward gave {score} for the answer {answer.text[:60]!r}; it must give a finite number. Training "
                "stopped and the last checkpoint is kept"
            )
    return scores
