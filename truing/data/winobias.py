"""WinoBias's files (Zhao et al. 2018, arXiv:1804.06876; MIT, github.com/uclanlp/corefBias).

A line is `N A sentence in which [the occupation] is who [he] is.`: square brackets mark the occupation and the pronouns
that refer to it. The other occupation in the sentence is found by the lists of female and male occupations. Line N of
the pro-stereotyped file and line N of the anti-stereotyped one differ in the pronoun alone.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from truing.core.errors import InputError
from truing.core.records import Record
from truing.data.rows import BadRow, RowError, opened

PRONOUNS = ("he", "she", "him", "her", "his", "hers", "himself", "herself")
OCCUPATIONS = ("female_occupations.txt", "male_occupations.txt")
_MARKED = re.compile(r"\[([^\[\]]*)\]")
_LINE = re.compile(r"\s*\d+\s+(.*\S)\s*")


class Mention(Record):
    """A sentence without its marks, the first marked pronoun, and who it is: `right`, and not `wrong`."""

    sentence: str
    pronoun: str
    right: str
    wrong: str


class WinoBiasPair(Record):
    """One line of both files: the same sentence with the stereotyped pronoun and with the other one."""

    id: str
    kind: str
    pro: Mention
    anti: Mention


def files(folder: Path) -> list[Path]:
    """What is read, of a folder of the development set."""
    sentences = [f"{side}_stereotyped_type{kind}.txt.dev" for kind in (1, 2) for side in ("pro", "anti")]
    return [folder / name for name in (*sentences, *OCCUPATIONS)]


def read_pairs(folder: Path) -> tuple[list[WinoBiasPair], list[BadRow]]:
    """All pairs of types 1 and 2. A line that cannot be read takes its counterpart with it; it is listed once.

    Raises `InputError` where the two files of a type have not the same number of lines.
    """
    known = [name for file in OCCUPATIONS for name in _lines(folder / file) if name]
    if not known:
        raise InputError(f"{folder}: the lists of occupations are empty; fetch them again")
    pairs: list[WinoBiasPair] = []
    bad: list[BadRow] = []
    for kind in ("type1", "type2"):
        paths = [folder / f"{side}_stereotyped_{kind}.txt.dev" for side in ("pro", "anti")]
        pro, anti = (_lines(path) for path in paths)
        if len(pro) != len(anti):
            raise InputError(
                f"{paths[0]} has {len(pro)} lines and {paths[1].name} {len(anti)}; a line of one belongs to the line "
                "of the other, so fetch both again"
            )
        for number, sides in enumerate(zip(pro, anti, strict=True), start=1):
            mentions = []
            for path, line in zip(paths, sides, strict=True):
                try:
                    mentions.append(parse_line(line, known))
                except RowError as error:
                    bad.append(BadRow(number, str(error), file=path))
                    break
            if len(mentions) == 2:
                pairs.append(WinoBiasPair(id=f"{kind}-{number}", kind=kind, pro=mentions[0], anti=mentions[1]))
    return pairs, bad


def parse_line(line: str, occupations: Sequence[str]) -> Mention:
    """One line. Raises `RowError` where its marks or its occupations are not as expected."""
    match = _LINE.fullmatch(line)
    if match is None:
        raise RowError("expected a number and a sentence")
    marked = _MARKED.findall(match[1])
    pronouns = [text.lower() for text in marked if text.lower() in PRONOUNS]
    people = [text for text in marked if text.lower() not in PRONOUNS]
    if not pronouns or len(people) != 1:
        raise RowError(f"expected one [occupation] and a [pronoun], found {', '.join(map(repr, marked)) or 'no mark'}")
    sentence = _MARKED.sub(r"\1", match[1])
    right = _without_article(people[0])
    found = {name.lower(): name for name in _mentioned(sentence, occupations)}
    others = [name for lower, name in found.items() if lower != right.lower()]
    if right.lower() not in found or len(others) != 1:
        raise RowError(
            f"expected the occupation {right!r} and one other of the lists, found {', '.join(found.values()) or 'none'}"
        )
    return Mention(sentence=sentence, pronoun=pronouns[0], right=found[right.lower()], wrong=others[0])


def _mentioned(sentence: str, occupations: Sequence[str]) -> list[str]:
    """The listed occupations that stand behind an article, each once, in the order of the lists."""
    return [
        name
        for name in occupations
        if re.search(rf"\b(?:the|an?)\s+{re.escape(name)}\b", sentence, flags=re.IGNORECASE)
    ]


def _without_article(text: str) -> str:
    return re.sub(r"^(?:the|an?)\s+", "", text.strip(), flags=re.IGNORECASE)


def _lines(path: Path) -> list[str]:
    """A file's lines without blank ones at the end. Raises `InputError` where it is no UTF-8 text."""
    with opened(path) as file:
        try:
            text = file.read().decode("utf-8")
        except UnicodeDecodeError as error:
            raise InputError(f"{path}: not valid UTF-8 at byte {error.start + 1}; fetch the file again") from None
    return [line.strip() for line in text.rstrip().splitlines()]
