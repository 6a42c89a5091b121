"""Rewards as training meets them: a plain Python function as a `Reward`, and the check of what any reward says."""

import importlib
import importlib.util
import inspect
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType

from truing.core.digest import digest_file
from truing.core.errors import InputError, RunError
from truing.core.protocols import Reward
from truing.core.records import Answer, Conversation

Rows = Sequence[tuple[Conversation, Answer]]


class FunctionReward:
    """A Python function from rows of (conversation, answer) to as many numbers. `version` must change when it does."""

    def __init__(self, function: Callable[[Rows], Sequence[float]], name: str, version: str) -> None:
        self.function, self.name, self.version = function, name, version

    def score(self, rows: Rows) -> list[float]:
        """One number a row. Raises `InputError` where the function returns something else."""
        found = self.function(rows)
        try:
            return [float(score) for score in found]
        except TypeError:
            raise InputError(
                f"{self.name} returned {str(found)[:60]}; expected a list with a number for each row"
            ) from None


def load_function(text: str) -> FunctionReward:
    """The function that `file.py:name` or `module:name` names. Its code runs: name only files that you trust. Its
    version is that of its file.

    Raises `InputError` where there is no such function.
    """
    place, _, name = text.rpartition(":")
    if not place or not name.isidentifier():
        raise InputError(f"function {text!r}: write it as file.py:name or module:name")
    try:
        module = _file(Path(place)) if place.endswith(".py") else importlib.import_module(place)
    except Exception as error:  # whatever the user's own module raises while it is read
        raise InputError(f"{place}: cannot be loaded, {type(error).__name__}: {error}; mend it") from None
    function = getattr(module, name, None)
    if not callable(function):
        raise InputError(f"{place}: there is no function {name!r}")
    return FunctionReward(function, text, digest_file(Path(inspect.getfile(module))))


def _file(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def scores_of(reward: Reward, rows: Rows) -> list[float]:
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
