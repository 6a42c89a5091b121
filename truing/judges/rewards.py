"""Rewards behind one protocol: a rule file, a Python function, a judge, a trained model, or a weighted sum of rewards.

`RewardSetting` is what a file or the command line says; `open_reward` makes a reward of it. What cannot be told is
never taken for a number: unless a setting says what an unknown answer is worth, scoring stops with a sentence.
"""

import difflib
import importlib
import importlib.util
import math
import sys
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

from pydantic import Field, model_validator

from truing.core.config import Config, read_toml
from truing.core.digest import digest, digest_file
from truing.core.errors import InputError, TruingError
from truing.core.protocols import Judge, Reward
from truing.core.records import Answer, Conversation
from truing.core.rules import Rules, mean_score, parse_rules, read_rules
from truing.judges.honesty import AdmissionJudge
from truing.judges.refusal import RefusalJudge

Rows = Sequence[tuple[Conversation, Answer]]
JUDGES: dict[str, Callable[[], Judge]] = {"refusal": RefusalJudge, "admission": AdmissionJudge}
_KINDS = ("rule", "function", "judge", "model", "sum")


class RewardSetting(Config):
    """Which reward is meant, by exactly one key: `rule`, a rule file; `function`, `file.py:name` or `module:name`;
    `judge`, one of ours; `model`, a trained reward model (`ledger:NAME` or a folder; in a recipe "reward_model", the
    role); `sum`, parts with names and weights. `unknown` is what an answer is worth of which a rule or the judge cannot
    tell; without it, such an answer stops the run."""

    rule: str | None = None
    function: str | None = None
    judge: Literal["refusal", "admission"] | None = None
    model: str | None = None
    sum: tuple["Part", ...] | None = Field(default=None, min_length=1)
    unknown: float | None = Field(default=None, allow_inf_nan=False)

    @model_validator(mode="after")
    def _is_one_reward(self) -> "RewardSetting":
        named = [kind for kind in _KINDS if getattr(self, kind) is not None]
        if len(named) != 1:
            raise ValueError(f"a reward is exactly one of {', '.join(_KINDS)}; found {' and '.join(named) or 'none'}")
        if self.unknown is not None and named[0] not in ("rule", "judge"):
            raise ValueError(f"unknown has no meaning beside {named[0]!r}; leave it out")
        names = [part.name for part in self.sum or ()]
        if len(set(names)) < len(names):
            raise ValueError(f"two parts of a sum have one name ({', '.join(names)}); give each its own")
        return self

    def models(self) -> set[str]:
        """The trained models that are named, here or in parts."""
        return {
            *([self.model] if self.model is not None else []),
            *(name for part in self.sum or () for name in part.models()),
        }


class Part(RewardSetting):
    """A part of a weighted sum. A negative weight turns a reward into a penalty."""

    name: str = Field(min_length=1)
    weight: float = Field(default=1.0, allow_inf_nan=False)


RewardSetting.model_rebuild()


class RuleReward:
    """The weighted mean of the rules' scores, in [0, 1]."""

    def __init__(self, rules: Rules, unknown: float | None = None) -> None:
        self.rules, self.unknown = rules, unknown
        self.version = digest([rules.version, unknown])

    def score(self, rows: Rows) -> list[float]:
        """Raises `InputError` naming the row of which a rule cannot tell, unless `unknown` says what it is worth."""
        scores = []
        for number, (_, answer) in enumerate(rows, start=1):
            results = self.rules.evaluate(answer.text)
            reasons = [f"{v.rule}: {v.reason}" for result in results for v in result.violations if not v.certain]
            scores.append(_known(mean_score(results), self.unknown, number, "; ".join(reasons)))
        return scores


class JudgeReward:
    """1.0 where the judge says yes, 0.0 where it says no."""

    def __init__(self, judge: Judge, unknown: float | None = None) -> None:
        self.judge, self.unknown = judge, unknown
        self.version = digest([judge.version, unknown])

    def score(self, rows: Rows) -> list[float]:
        """Raises `InputError` naming the row of which the judge cannot tell, unless `unknown` says what it is worth."""
        outcomes = [self.judge.judge(prompt, answer.text) for prompt, answer in rows]
        return [_known(one.value, self.unknown, row, one.reason) for row, one in enumerate(outcomes, start=1)]


def _known(value: float | None, unknown: float | None, row: int, reason: str) -> float:
    if value is not None:
        return value
    if unknown is None:
        raise InputError(
            f"row {row} of the answers cannot be scored ({reason}); set `unknown` to what such an answer is worth"
        )
    return unknown


class FunctionReward:
    """A Python function from rows of (conversation, answer) to as many finite numbers."""

    def __init__(self, function: Callable[[Rows], Any], name: str, version: str) -> None:
        self.function, self.name, self.version = function, name, version

    def score(self, rows: Rows) -> list[float]:
        """Raises `InputError` if the function fails, or returns anything else than one finite number for each row."""
        try:
            found = self.function(list(rows))
            values = found.tolist() if hasattr(found, "tolist") else found
        except TruingError:
            raise
        except Exception as error:  # whatever a user's function may raise
            raise InputError(f"{self.name} failed with {type(error).__name__}: {error}; mend it") from error
        if not isinstance(values, list | tuple):
            raise InputError(f"{self.name} returned {_shown(values)}; expected a list with a number for each row")
        if len(values) != len(rows):
            raise InputError(f"{self.name} returned {len(values)} numbers for {len(rows)} rows; return one for each")
        return [self._finite(value, row, rows[row - 1][1]) for row, value in enumerate(values, start=1)]

    def _finite(self, value: Any, row: int, answer: Answer) -> float:
        try:
            number = math.nan if isinstance(value, str | bytes) else float(value)
        except (TypeError, ValueError, OverflowError, RuntimeError):
            number = math.nan
        if math.isfinite(number):
            return number
        what = f"{self.name} returned {_shown(value)} for row {row} (answer {_shown(answer.text)})"
        raise InputError(f"{what}; return a finite number for each row")


class SumReward:
    """A weighted sum of named rewards: Σ weight · score."""

    def __init__(self, parts: Mapping[str, tuple[float, Reward]]) -> None:
        self._parts = dict(parts)
        self.version = digest([[name, weight, reward.version] for name, (weight, reward) in self._parts.items()])

    def parts(self, rows: Rows) -> dict[str, list[float]]:
        """Each part's own scores, before its weight: what a record of a run keeps."""
        return {name: reward.score(rows) for name, (_, reward) in self._parts.items()}

    def total(self, parts: Mapping[str, Sequence[float]]) -> list[float]:
        """The sums of scores that `parts` gave."""
        weights = [weight for weight, _ in self._parts.values()]
        columns = [parts[name] for name in self._parts]
        return [math.fsum(w * s for w, s in zip(weights, row, strict=True)) for row in zip(*columns, strict=True)]

    def score(self, rows: Rows) -> list[float]:
        return self.total(self.parts(rows))


def _no_model(name: str) -> Reward:
    raise InputError(
        f"model = {name!r}: there is no place for a trained reward model here; name a rule, function or judge"
    )


def open_reward(setting: RewardSetting, open_model: Callable[[str], Reward] = _no_model) -> Reward:
    """The reward that a setting means; `open_model` opens a trained one by its name. Raises `InputError` for a file, a
    function or a rule that is not right."""
    if setting.rule is not None:
        return RuleReward(read_rules(Path(setting.rule)), setting.unknown)
    if setting.function is not None:
        return load_function(setting.function)
    if setting.judge is not None:
        return JudgeReward(JUDGES[setting.judge](), setting.unknown)
    if setting.model is not None:
        return open_model(setting.model)
    return SumReward({part.name: (part.weight, open_reward(part, open_model)) for part in setting.sum or ()})


def parse_reward(text: str, where: str) -> RewardSetting:
    """A reward as a command line says it: a rule file or a file of settings (.toml), `file.py:name`, the name of a
    judge, a trained model as `ledger:NAME`, or a TOML table such as `{judge = "refusal", unknown = 0}`."""
    if text.lstrip().startswith("{"):
        try:
            return RewardSetting.parse(tomllib.loads(f"reward = {text}")["reward"], where)
        except tomllib.TOMLDecodeError as error:
            raise InputError(f"{where}: not a TOML table: {error}") from None
    if text.endswith(".toml"):
        values = read_toml(Path(text))
        if isinstance(values.get("rule"), str) or (not values.keys() & {"rule"} and values):
            return RewardSetting.parse(values, text)
        parse_rules(values, text)
        return RewardSetting(rule=text)
    if text.startswith("ledger:"):
        return RewardSetting(model=text)
    if ":" in text:
        return RewardSetting(function=text)
    if text in JUDGES:
        return RewardSetting.parse({"judge": text}, where)
    nearest = difflib.get_close_matches(text, JUDGES, n=1, cutoff=0.5)
    hint = f"did you mean {nearest[0]!r}?" if nearest else f"the judges are {', '.join(JUDGES)}"
    raise InputError(
        f"{where} {text}: neither a rule file (.toml), nor file.py:name, nor ledger:NAME, nor a judge; {hint}"
    )


def load_function(text: str) -> FunctionReward:
    """The function that `file.py:name` or `module:name` names. Its code runs: name only files that you trust.

    The version is that of the one file it stands in; what this file imports may change unseen.
    """
    place, _, name = text.rpartition(":")
    if not place or not name.isidentifier():
        raise InputError(f"function {text!r}: write it as file.py:name or module:name")
    module = _load_file(Path(place)) if place.endswith(".py") else _load_module(place)
    function = getattr(module, name, None)
    if not callable(function):
        callables = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
        nearest = difflib.get_close_matches(name, callables, n=1, cutoff=0.5)
        hint = f"did you mean {nearest[0]!r}?" if nearest else f"it has {', '.join(callables) or 'no function'}"
        raise InputError(f"{place}: there is no function {name!r}; {hint}")
    source = getattr(module, "__file__", None)
    return FunctionReward(function, text, digest([text, digest_file(Path(source)) if source else None]))


def _load_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise InputError(f"{path}: there is no such file; a function is written as file.py:name")
    # Known under a name of its own, as dataclasses and pickle look their module up.
    name = f"truing_reward_{digest_file(path)[:16]}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # whatever a user's file may raise
        del sys.modules[name]
        raise InputError(f"{path}: cannot be loaded, {type(error).__name__}: {error}; mend it") from error
    return module


def _load_module(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except Exception as error:  # whatever a user's module may raise
        what = f"module {name!r}: cannot be imported, {type(error).__name__}: {error}"
        raise InputError(f"{what}; install it, or name a file as file.py:name") from error


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:59] + "…"
