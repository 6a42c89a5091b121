"""The forms that a rule may ask of an answer: JSON, a list, no Markdown, one sentence.

Each check takes the text and gives a score in [0, 1] (None where it cannot tell) and what it found, with places.
Markdown is told by its marks (CommonMark 0.31, and tables), not by a parser: two asterisks round a word are bold
wherever they stand.
"""

import json
from collections.abc import Callable
from typing import Literal, NoReturn

import regex

from truing.core.text import sentences

Places = list[tuple[str, int | None, int | None]]
FormatName = Literal["json", "json_object", "list", "no_markdown", "single_sentence"]

_ITEM = regex.compile(r"[ \t]*(?:[-*+•]|\d{1,9}[.)])[ \t]+\S")
_MARKDOWN = {
    "a heading": r"^ {0,3}#{1,6}(?=[ \t]|$).*",
    "a code fence": r"^ {0,3}(?:`{3,}|~{3,}).*",
    "an item of a list": r"^ *(?:[-*+]|\d{1,9}[.)])[ \t]+(?=\S)",
    "a quotation mark": r"^ {0,3}>",
    "a table": r"^ {0,3}\|.*\|[ \t]*$",
    "bold text": r"\*\*(?=\S)[^*\n]++\*\*|(?<!\w)__(?=\S)[^_\n]++__(?!\w)",
    "italic text": r"(?<![\w*])\*(?=[^\s*])[^*\n]*+(?<=\S)\*(?![\w*])|(?<!\w)_(?=[^\s_])[^_\n]*+(?<=\S)_(?!\w)",
    "code": r"(?<!`)`[^`\n]++`(?!`)",
    "a link": r"!?\[[^\[\]\n]*+\]\([^()\n]*+\)",
}
_MARKS = {name: regex.compile(pattern, regex.MULTILINE) for name, pattern in _MARKDOWN.items()}


class _NotJSONError(ValueError):
    pass


def _json(text: str) -> tuple[float | None, Places]:
    """The whole answer is one JSON value (RFC 8259: no NaN, no infinity)."""
    try:
        json.loads(text, parse_constant=_refuse)
    except json.JSONDecodeError as error:
        return 0.0, [(f"not JSON: {error.msg}", error.pos, min(error.pos + 1, len(text)))]
    except _NotJSONError as error:
        return 0.0, [(f"not JSON: {error}", None, None)]
    except (ValueError, RecursionError) as error:  # numbers of thousands of digits, thousands of brackets
        return None, [(f"JSON that cannot be read: {error}", None, None)]
    return 1.0, []


def _refuse(constant: str) -> NoReturn:
    raise _NotJSONError(f"{constant} is no number")


def _json_object(text: str) -> tuple[float | None, Places]:
    """The whole answer is one JSON object."""
    score, places = _json(text)
    if score == 1.0 and not text.lstrip().startswith("{"):
        return 0.0, [("JSON, but not an object", None, None)]
    return score, places


def _list(text: str) -> tuple[float | None, Places]:
    """Every line is an item of a list or, indented, goes on with one; the score is the share of such lines."""
    lines = [(match.start(), match.end()) for match in regex.finditer(r"[^\n]+", text) if match.group().strip()]
    places: Places = []
    inside = False
    for start, end in lines:
        item = _ITEM.match(text, start, end) is not None
        if not item and not (inside and text[start] in " \t"):
            places.append(("a line that is no item of a list", start, end))
        inside = inside or item
    if not lines:
        return 0.0, [("there is no list", None, None)]
    return 1 - len(places) / len(lines), places


def _no_markdown(text: str) -> tuple[float | None, Places]:
    """No mark of Markdown; one place halves the score, two leave a third."""
    places: Places = []
    for name, pattern in _MARKS.items():
        places += [(f"has {name}", *match.span()) for match in pattern.finditer(text)]
    return 1 / (1 + len(places)), sorted(places, key=lambda place: place[1] or 0)


def _single_sentence(text: str) -> tuple[float | None, Places]:
    """Exactly one sentence; the score is one over their number."""
    found = sentences(text)
    if not found:
        return 0.0, [("there is no sentence", None, None)]
    return 1 / len(found), [("another sentence", place.start, place.end) for place in found[1:]]


FORMATS: dict[FormatName, Callable[[str], tuple[float | None, Places]]] = {
    "json": _json,
    "json_object": _json_object,
    "list": _list,
    "no_markdown": _no_markdown,
    "single_sentence": _single_sentence,
}
