"""What a suite of your own may ask of an answer: each kind of `[[metric]]` is one class here.

What is expected stands in the suite (`expect`, the same for every item) or in a column of the items (`column`). All of
it is read before a model is asked, so that an item whose expectation cannot be understood is a bad row. Kinds that
compare texts see wording only. An answer without a word is unknown to every kind, never right and never wrong.
"""

import math
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self

import regex
from pydantic import Field, model_validator

from truing.core.config import Config, read_toml
from truing.core.errors import InputError
from truing.core.protocols import Judge
from truing.core.records import Conversation, Outcome
from truing.core.rules import parse_rules, read_rules
from truing.core.text import fold
from truing.data.rows import RowError
from truing.evals.metric import Aspect
from truing.judges.honesty import AdmissionJudge
from truing.judges.refusal import RefusalJudge
from truing.judges.rule import RuleJudge
from truing.judges.scope import says_nothing

NAMED: dict[str, Judge] = {"refusal": RefusalJudge(), "admission": AdmissionJudge()}
_NUMBER = regex.compile(r"(?<![\p{L}\d._])[-+−]?(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+|(?=\.\d))(?:\.\d+)?(?:[eE][-+]?\d+)?")


class Held:
    """An answer held against something: by a function of its text, or by another judge, whose verdict is turned round
    where `wanted` is False."""

    def __init__(self, version: str, holds: Callable[[Conversation, str], Outcome], wanted: bool = True) -> None:
        self.version, self._holds, self._wanted = version, holds, wanted

    def judge(self, prompt: Conversation, answer: str) -> Outcome:
        """1.0: as expected. 0.0: not. None: it cannot be told."""
        if says_nothing(answer):
            return Outcome(value=None, reason="the answer has no words")
        outcome = self._holds(prompt, answer)
        if self._wanted or outcome.value is None:
            return outcome
        return Outcome(value=1.0 - outcome.value, reason=outcome.reason)


class SuiteMetric(Config):
    """What every metric has. Its figure is the share of items whose answer is as expected; `better` says which way that
    should move, `aspect` under which heading of a scorecard it stands."""

    name: str = Field(pattern=r"^[a-z0-9_]+$")
    judge: str
    title: str = Field(default="", max_length=80)
    better: Literal["higher", "lower"] = "higher"
    aspect: Aspect | None = None

    def columns(self) -> list[str]:
        """The columns that every item must have for it."""
        return []

    def files(self, _folder: Path) -> list[Path]:
        """What it reads beside the suite, in the suite's folder."""
        return []

    def complete(self, _folder: Path) -> Self:
        """The metric with everything that its files say in it. Raises `InputError`."""
        return self

    @abstractmethod
    def bound(self, row: Mapping[str, Any]) -> Judge:
        """The judge of one item's answer. Raises `RowError` where the item's expectation is of another form."""


class _Expecting(SuiteMetric):
    expect: Any = None
    column: str | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.expect is None) == (self.column is None):
            raise ValueError("give expect (the same for every item) or column (where the items say it)")
        if self.column is None:
            self.bound({})  # a `RowError` is a `ValueError`: the suite's own expectation is held against the same
        return self

    def columns(self) -> list[str]:
        return [] if self.column is None else [self.column]

    def expected(self, row: Mapping[str, Any]) -> Any:
        """What this item's answer is held against."""
        return self.expect if self.column is None else row[self.column]

    def texts(self, row: Mapping[str, Any]) -> tuple[str, ...]:
        """One text or several, each with something in it. Raises `RowError`."""
        found = self.expected(row)
        listed = found if isinstance(found, list | tuple) else [found]
        texts = tuple(str(one) if _is_number(one) else one for one in listed)
        if not texts or not all(isinstance(one, str) and one.strip() for one in texts):
            raise RowError(f"{self.column or 'expect'!r} is {found!r}; a text, or a list of texts, is expected")
        return texts


class Contains(_Expecting):
    """The answer mentions the text (of several: `any` of them, or `all`), whatever its case and Unicode form; unless
    `whole_words` is false, never inside a longer word."""

    need: Literal["any", "all"] = "any"
    whole_words: bool = True

    def bound(self, row: Mapping[str, Any]) -> Judge:
        options = {"phrases": self.texts(row), "need": self.need, "whole_words": self.whole_words}
        return _by_rule("must_mention", options)


class Exact(_Expecting):
    """The answer is the text, or one of several: whatever its case, Unicode form and white space, and with or without a
    full stop at its end."""

    def bound(self, row: Mapping[str, Any]) -> Judge:
        texts = self.texts(row)
        wanted = {_plain(text) for text in texts}

        def holds(_prompt: Conversation, answer: str) -> Outcome:
            if _plain(answer) in wanted:
                return Outcome(value=1.0, reason="the text that was expected")
            return Outcome(value=0.0, reason=f"another text than {' or '.join(map(repr, texts))}")

        return Held("exact-1", holds)


class Regex(_Expecting):
    """The regular expression (of the `regex` library) is found in the answer; one that takes too long cannot tell."""

    def bound(self, row: Mapping[str, Any]) -> Judge:
        if len(texts := self.texts(row)) > 1:
            raise RowError(f"{self.column or 'expect'!r} has {len(texts)} texts; one regular expression is expected")
        return _by_rule("pattern", {"regex": texts[0]})


class Number(_Expecting):
    """The answer's last number (or its first) is the expected one, give or take `tolerance`. 1,234.5 and 1e3 are
    numbers; an answer without any does not give the expected one."""

    place: Literal["last", "first"] = "last"
    tolerance: float = Field(default=0.0, ge=0, allow_inf_nan=False)

    def bound(self, row: Mapping[str, Any]) -> Judge:
        wanted = self._number(self.expected(row))

        def holds(_prompt: Conversation, answer: str) -> Outcome:
            found = numbers(answer)
            if not found:
                return Outcome(value=0.0, reason="no number in the answer")
            said = found[-1 if self.place == "last" else 0]
            return Outcome(
                value=float(abs(said - wanted) <= self.tolerance), reason=f"says {said:g}; {wanted:g} is expected"
            )

        return Held("number-1", holds)

    def _number(self, value: Any) -> float:
        found = [float(value)] if _is_number(value) else numbers(value) if isinstance(value, str) else []
        if len(found) != 1 or not math.isfinite(found[0]):
            raise RowError(f"{self.column or 'expect'!r} is {value!r}; one number is expected")
        return found[0]


class Named(SuiteMetric):
    """The behaviour that one of `NAMED` looks for is there; or it is not, where `expect` or the items' `column` is
    false."""

    expect: bool | None = None
    column: str | None = None

    @model_validator(mode="after")
    def _at_most_one(self) -> Self:
        if self.expect is not None and self.column is not None:
            raise ValueError("give expect or column, not both")
        return self

    def columns(self) -> list[str]:
        return [] if self.column is None else [self.column]

    def bound(self, row: Mapping[str, Any]) -> Judge:
        wanted: Any = self.expect is not False
        if self.column is not None:
            wanted = {"true": True, "false": False}.get(str(row[self.column]).lower())
            if wanted is None:
                raise RowError(f"{self.column!r} is {row[self.column]!r}; true or false is expected")
        judge = NAMED[self.judge]
        return Held(judge.version, judge.judge, wanted)


class ByRules(SuiteMetric):
    """The answer keeps to every rule: of a file of rules, named as seen from the suite, or of `[[metric.rule]]`."""

    rules: str | None = None
    rule: tuple[dict[str, Any], ...] = ()

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.rules is None) == (not self.rule):
            raise ValueError("give rules (a file) or [[metric.rule]] tables")
        if self.rule:
            try:
                self.bound({})
            except InputError as error:
                raise ValueError(str(error)) from None
        return self

    def files(self, folder: Path) -> list[Path]:
        return [] if self.rules is None else [folder / self.rules]

    def complete(self, folder: Path) -> Self:
        if self.rules is None:
            return self
        (path,) = self.files(folder)
        read_rules(path)
        return self.model_copy(update={"rule": tuple(read_toml(path)["rule"]), "rules": None})

    def bound(self, row: Mapping[str, Any]) -> Judge:  # noqa: ARG002 (of the class)
        rules = parse_rules({"rule": list(self.rule)}, "rules")
        return Held(rules.version, RuleJudge(rules).judge)


class Choices(SuiteMetric):
    """The right choice is likelier than every other, by its log-probability behind the question: summed over its
    tokens, or divided by their number or by its bytes."""

    per: Literal["choice", "token", "byte"] = "choice"

    def bound(self, row: Mapping[str, Any]) -> Judge:
        del row
        raise AssertionError("choices are scored; there is no answer to judge")


KINDS: dict[str, type[SuiteMetric]] = {
    "contains": Contains,
    "exact": Exact,
    "regex": Regex,
    "number": Number,
    "rules": ByRules,
    "choices": Choices,
    **dict.fromkeys(NAMED, Named),
}


def numbers(text: str) -> list[float]:
    """The numbers of a text, as they stand in it. Digits that belong to a word (v2, B12) are none."""
    found: Sequence[str] = _NUMBER.findall(text)
    return [float(one.replace(",", "").replace("−", "-")) for one in found]


def _by_rule(kind: str, options: dict[str, Any]) -> Held:
    """One rule as a judge. Raises `RowError` where it is none."""
    try:
        rules = parse_rules({"rule": [{"name": "expected", "kind": kind, **options}]}, "expected")
    except InputError as error:
        raise RowError(str(error)) from None
    return Held(rules.version, RuleJudge(rules).judge)


def _plain(text: str) -> str:
    return " ".join(fold(text).text.split()).removesuffix(".").rstrip()


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
