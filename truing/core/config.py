"""Configuration: TOML in, strict pydantic models out. An unknown key fails and names the nearest known one."""

import difflib
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self, get_args

from pydantic import BaseModel, ConfigDict, ValidationError

from truing.core.errors import InputError


class Config(BaseModel):
    """Base of every configuration: frozen, no unknown keys. Subclasses stand beside their algorithm."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def parse(cls, values: Mapping[str, Any], where: str) -> Self:
        """Validate `values`; on failure raise `InputError` naming `where`, the key, what was found and what to do."""
        try:
            return cls.model_validate(dict(values))
        except ValidationError as error:
            problems = _innermost(error.errors())
            raise InputError(f"{where}: " + "; ".join(_sentence(cls, problem) for problem in problems)) from None


def _innermost(problems: list[Any]) -> list[Any]:
    """Leave out what only follows from a problem further in (a list is "too short" where its one entry is wrong)."""
    places = [problem["loc"] for problem in problems]
    return [
        problem
        for problem in problems
        if not any(place != problem["loc"] and place[: len(problem["loc"])] == problem["loc"] for place in places)
    ]


def _sentence(model: type[BaseModel], problem: Any) -> str:
    path = [str(part) for part in problem["loc"]]
    key = ".".join(path)
    if problem["type"] == "extra_forbidden":
        known = _known_keys(model, path[:-1])
        nearest = difflib.get_close_matches(path[-1], known, n=1, cutoff=0.5)
        hint = f"did you mean {nearest[0]!r}?" if nearest else f"known keys are {', '.join(known) or 'none'}"
        return f"unknown key {key!r}; {hint}"
    if problem["type"] == "missing":
        return f"the key {key!r} is missing"
    reason = str(problem["ctx"]["error"]) if problem["type"] == "value_error" else problem["msg"]
    return f"{key!r} is {problem['input']!r}: {reason}" if key else reason


def _known_keys(model: type[BaseModel], path: list[str]) -> list[str]:
    for part in path:
        if part.isdecimal():  # a place in a list, whose entries the list's own key has led to
            continue
        field = model.model_fields.get(part)
        inner = _model_in(field.annotation) if field else None
        if inner is None:
            return []
        model = inner
    return sorted(model.model_fields)


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The model that an annotation is about: itself, an optional one, or that of a list's entries."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((model for part in get_args(annotation) if (model := _model_in(part))), None)


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file; a missing or malformed file is an `InputError` with its path and, where known, the line."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such file") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check the path") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not valid TOML: {error}") from None


def apply_overrides(values: dict[str, Any], overrides: list[str]) -> dict[str, Any]:
    """Return `values` with each `a.b=c` applied; `c` is read as a TOML value, or as a plain string where it is none."""
    result = _copied(values)
    for override in overrides:
        dotted, separator, text = override.partition("=")
        parts = [part.strip() for part in dotted.split(".")]
        if not separator or not all(parts):
            raise InputError(f"--set {override}: write it as KEY=VALUE, for example --set sft.epochs=2")
        try:
            value = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            value = text
        *parents, last = parts
        table = result
        for part in parents:
            table = table.setdefault(part, {})
            if not isinstance(table, dict):
                raise InputError(f"--set {override}: {part!r} is a value, not a table")
        table[last] = value
    return result


def _copied(values: dict[str, Any]) -> dict[str, Any]:
    return {key: _copied(value) if isinstance(value, dict) else value for key, value in values.items()}
