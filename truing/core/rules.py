"""Rules over the text of an answer, from one TOML file: as a reward (how well, 0 to 1), a judge and a rail.

Each `[[rule]]` is one of `KINDS`. What a rule finds has its place in the answer, and a score that falls the further the
answer is from the rule; 1.0 exactly where nothing is found. A rule that cannot tell says so: a reading grade of no
words, JSON nested too deep to be read, a regular expression that took too long. That is never a yes or a no.

Regular expressions are those of the `regex` library, which stops a search after a limit of processor time; Python's own
`re` cannot be stopped. Rules see wording only: they do not know what an answer means.
"""

import difflib
import functools
from abc import abstractmethod
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar

import regex
from pydantic import Field, field_validator, model_validator

from truing.core.config import Config, read_toml
from truing.core.digest import digest
from truing.core.errors import InputError
from truing.core.layout import FORMATS, FormatName
from truing.core.records import Record
from truing.core.text import characters, find_phrase, fold, reading_grade, says_something, words

_VERSION = 1  # higher whenever the same rules may score the same text otherwise
SEARCH_SECONDS = 1.0
_FLAGS = {"ignore_case": regex.IGNORECASE, "multiline": regex.MULTILINE, "dot_all": regex.DOTALL}


class Violation(Record):
    """What a rule found: the place in the answer (characters) where there is one, and why. `certain` is False where the
    rule could not tell: a rail that lets through what has no violations lets nothing through unread."""

    rule: str
    reason: str
    start: int | None = None
    end: int | None = None
    certain: bool = True


class RuleResult(Record):
    """One rule on one answer: its score in [0, 1] (None where it cannot tell) and what it found."""

    rule: str
    weight: float
    score: float | None
    violations: tuple[Violation, ...]


class Found(NamedTuple):
    """What a rule says of a text: a score, and (reason, start, end) of each thing found."""

    score: float | None
    places: list[tuple[str, int | None, int | None]]


class Rule(Config):
    """What every rule has: a name, and a weight in the mean of the scores."""

    name: str = Field(min_length=1)
    kind: str
    applies_to: Literal["answer"] = "answer"
    weight: float = Field(default=1.0, gt=0, allow_inf_nan=False)

    @abstractmethod
    def find(self, text: str) -> Found:
        """Hold a text against the rule."""


class Pattern(Rule):
    """A regular expression that must (or must not) be found in the answer as it stands. Graded where it must not: one
    place halves the score, two leave a third."""

    regex: str
    flags: tuple[Literal["ignore_case", "multiline", "dot_all"], ...] = ()
    must: Literal["match", "not_match"] = "match"

    @field_validator("regex")
    @classmethod
    def _compiles(cls, pattern: str) -> str:
        try:
            _compiled(pattern, ())
        except regex.error as error:
            where = "" if error.pos is None else f" at character {error.pos + 1}"
            raise ValueError(f"not a regular expression: {error.msg}{where}; mend it") from None
        except (RecursionError, OverflowError, MemoryError):
            raise ValueError("a regular expression too deep or too large to be compiled; simplify it") from None
        return pattern

    def find(self, text: str) -> Found:
        pattern = _compiled(self.regex, self.flags)
        try:
            if self.must == "match":
                found = pattern.search(text, timeout=SEARCH_SECONDS) is not None
                return Found(1.0, []) if found else Found(0.0, [(f"{self.regex!r} is not found", None, None)])
            places = [match.span() for match in pattern.finditer(text, timeout=SEARCH_SECONDS)]
        except TimeoutError:
            why = f"{self.regex!r} was not done after {SEARCH_SECONDS:g} s; write it so that it backtracks less"
            return Found(None, [(why, None, None)])
        return _fewer(((f"{self.regex!r} is found", start, end) for start, end in places))


class Length(Rule):
    """From `at_least` to `at_most` words, or characters as a reader counts them; the score is the ratio of the length
    and the nearer limit."""

    unit: Literal["words", "characters"] = "words"
    at_least: int = Field(default=0, ge=0)
    at_most: int | None = Field(default=None, ge=0)

    @model_validator(mode="after")
    def _has_a_band(self) -> "Length":
        if not self.at_least and self.at_most is None:
            raise ValueError("a length needs at_least, at_most, or both")
        return _not_empty(self)

    def find(self, text: str) -> Found:
        length = len(words(text)) if self.unit == "words" else characters(text)
        if length < self.at_least:
            return Found(length / self.at_least, [(f"{length} {self.unit}, at least {self.at_least}", None, None)])
        if self.at_most is not None and length > self.at_most:
            return Found(self.at_most / length, [(f"{length} {self.unit}, at most {self.at_most}", None, None)])
        return Found(1.0, [])


class _Mention(Rule):
    """`phrases` are found whatever their case, Unicode form and white space; unless `whole_words` is false (for scripts
    without spaces), never inside a longer word."""

    phrases: tuple[str, ...] = Field(min_length=1)
    whole_words: bool = True

    @field_validator("phrases")
    @classmethod
    def _say_something(cls, phrases: tuple[str, ...]) -> tuple[str, ...]:
        for number, phrase in enumerate(phrases, start=1):
            if not says_something(phrase):
                raise ValueError(f"phrase {number} is empty; leave it out")
        return phrases


class MustMention(_Mention):
    """All phrases must be there (the score is the share that is), or any one of them."""

    need: Literal["all", "any"] = "all"

    def find(self, text: str) -> Found:
        folded = fold(text)
        missing = [p for p in self.phrases if next(find_phrase(folded, p, self.whole_words), None) is None]
        if self.need == "any":
            if len(missing) < len(self.phrases):
                return Found(1.0, [])
            return Found(0.0, [(f"mentions none of {', '.join(map(repr, missing))}", None, None)])
        score = 1 - len(missing) / len(self.phrases)
        return Found(score, [(f"does not mention {phrase!r}", None, None) for phrase in missing])


class MustNotMention(_Mention):
    """No phrase may be there. One place halves the score, two leave a third."""

    def find(self, text: str) -> Found:
        folded = fold(text)
        return _fewer(
            (f"mentions {phrase!r}", place.start, place.end)
            for phrase in self.phrases
            for place in find_phrase(folded, phrase, self.whole_words)
        )


class Format(Rule):
    """The answer's form: one of the checks in `layout`."""

    format: FormatName

    def find(self, text: str) -> Found:
        return Found(*FORMATS[self.format](text))


class ReadingLevel(Rule):
    """The Flesch–Kincaid grade, `at_least` to `at_most`; a grade outside halves the score, two leave a third."""

    at_least: float | None = Field(default=None, allow_inf_nan=False)
    at_most: float | None = Field(default=None, allow_inf_nan=False)

    @model_validator(mode="after")
    def _has_a_band(self) -> "ReadingLevel":
        if self.at_least is None and self.at_most is None:
            raise ValueError("a reading level needs at_least, at_most, or both")
        return _not_empty(self)

    def find(self, text: str) -> Found:
        grade = reading_grade(text)
        if grade is None:
            return Found(None, [("there is no word to read", None, None)])
        if self.at_least is not None and grade < self.at_least:
            reason = f"reading grade {grade:.1f}, at least {self.at_least:g}"
            return Found(1 / (1 + self.at_least - grade), [(reason, None, None)])
        if self.at_most is not None and grade > self.at_most:
            reason = f"reading grade {grade:.1f}, at most {self.at_most:g}"
            return Found(1 / (1 + grade - self.at_most), [(reason, None, None)])
        return Found(1.0, [])


KINDS: dict[str, type[Rule]] = {
    "pattern": Pattern,
    "length": Length,
    "must_mention": MustMention,
    "must_not_mention": MustNotMention,
    "format": Format,
    "reading_level": ReadingLevel,
}


class Rules(NamedTuple):
    """The rules of a file. `version` changes with whatever the rules are, but not with the file's layout."""

    rules: tuple[Rule, ...]

    @property
    def version(self) -> str:
        return f"rules-{_VERSION}-{digest(list(self.rules))[:16]}"

    def evaluate(self, text: str) -> list[RuleResult]:
        """Every rule on a text, in the file's order."""
        return [_result(rule, rule.find(text)) for rule in self.rules]

    def violations(self, text: str) -> list[Violation]:
        """Everything that the rules found, and where; what a rule could not tell is among it (`certain` False)."""
        return [violation for result in self.evaluate(text) for violation in result.violations]


def _result(rule: Rule, found: Found) -> RuleResult:
    certain = found.score is not None
    violations = (
        Violation(rule=rule.name, reason=reason, start=start, end=end, certain=certain)
        for reason, start, end in found.places
    )
    return RuleResult(rule=rule.name, weight=rule.weight, score=found.score, violations=tuple(violations))


def mean_score(results: Iterable[RuleResult]) -> float | None:
    """The mean of the rules' scores by their weights, in [0, 1]; None where one of them cannot tell."""
    results = list(results)
    if any(result.score is None for result in results):
        return None
    total = sum(result.weight for result in results)
    return sum(result.weight * result.score for result in results if result.score is not None) / total


def read_rules(path: Path) -> Rules:
    """Read a rule file. Raises `InputError`: one sentence with the file, the rule, and what to do."""
    return parse_rules(read_toml(path), str(path))


def parse_rules(values: dict[str, Any], where: str) -> Rules:
    """The rules of a TOML file's contents; `where` names it in errors."""
    tables = values.get("rule")
    if unknown := set(values) - {"rule"}:
        raise InputError(f"{where}: unknown key {min(unknown)!r}; a rule file holds [[rule]] tables")
    if not isinstance(tables, list) or not tables or not all(isinstance(table, dict) for table in tables):
        raise InputError(f"{where}: there are no rules; write each as a [[rule]] table with a name and a kind")
    rules = tuple(_rule(table, f"{where}: [[rule]] {number}") for number, table in enumerate(tables, start=1))
    name, times = Counter(rule.name for rule in rules).most_common(1)[0]
    if times > 1:
        raise InputError(f"{where}: {times} rules are named {name!r}; give each a name of its own")
    return Rules(rules)


def _rule(table: dict[str, Any], where: str) -> Rule:
    where = f"{where} ({table['name']})" if isinstance(table.get("name"), str) else where
    kind = table.get("kind")
    if not isinstance(kind, str) or kind not in KINDS:
        known = ", ".join(KINDS)
        if kind is None:
            raise InputError(f"{where}: the key 'kind' is missing; it is one of {known}")
        nearest = difflib.get_close_matches(str(kind), KINDS, n=1, cutoff=0.5)
        hint = f"did you mean {nearest[0]!r}?" if nearest else f"known kinds are {known}"
        raise InputError(f"{where}: unknown kind {kind!r}; {hint}")
    return KINDS[kind].parse(table, where)


@functools.cache
def _compiled(pattern: str, flags: tuple[str, ...]) -> "regex.Pattern[str]":
    return regex.compile(pattern, functools.reduce(lambda all_, name: all_ | _FLAGS[name], flags, regex.VERSION0))


_Band = TypeVar("_Band", Length, ReadingLevel)


def _not_empty(band: _Band) -> _Band:
    if band.at_least is not None and band.at_most is not None and band.at_least > band.at_most:
        raise ValueError(f"the band is empty: at_least {band.at_least:g} is above at_most {band.at_most:g}; swap them")
    return band


def _fewer(places: Iterable[tuple[str, int, int]]) -> Found:
    """The fewer, the better: 1 / (1 + places)."""
    found: list[tuple[str, int | None, int | None]] = list(places)
    return Found(1 / (1 + len(found)), found)
