"""Was an instruction followed? A check for each of IFEval's 25 kinds (Zhou et al. 2023, arXiv:2311.07911, table 1).

Each is told by the text alone, as the paper's own program tells it, with these differences, which are ours:
- sentences and words in capitals are found by `truing.core.text`, not by NLTK;
- keywords are words, never patterns;
- which language an answer is in is told by langdetect, as there (the extra `ifeval`); without it, or where it finds
  none, the answer is unknown (there: followed).

An answer that says nothing follows no instruction. Loosely, an instruction is followed where the answer follows it, or
does so without its first line, its last, both, and each of these without asterisks: a model may introduce its answer.
"""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from truing.core.text import sentences, words
from truing.data.ifeval import Instruction

Arguments = Mapping[str, Any]
NO_LANGUAGE = (
    "its language cannot be told: there are no words, or langdetect is missing (`pip install 'truing[ifeval]'`)"
)


def followed(instruction: Instruction, answer: str) -> bool | None:
    """Whether an answer follows an instruction to the letter; None where that cannot be told."""
    return bool(answer.strip()) and _CHECKS[instruction.kind](answer, instruction.arguments)


def followed_loosely(instruction: Instruction, answer: str) -> bool | None:
    """Whether it does so in one of its loose readings."""
    lines = answer.split("\n")
    readings = [answer, *("\n".join(part).strip() for part in (lines[1:], lines[:-1], lines[1:-1]))]
    readings += [text.replace("*", "") for text in readings]
    found = [followed(instruction, text) for text in readings]
    return True if True in found else None if None in found else False


def language_of(text: str) -> str | None:
    """The language's code, as langdetect says it; None without langdetect, or where a text has no letters."""
    try:
        import langdetect
    except ModuleNotFoundError:
        return None
    langdetect.DetectorFactory.seed = 0  # it draws at random, and would say now this, now that of short texts
    try:
        code: str = langdetect.detect(text)
    except langdetect.LangDetectException:
        return None
    return code


def _in_language(answer: str, code: str) -> bool | None:
    told = language_of(answer)
    return None if told is None else told == code


def _holds(count: int, relation: str, threshold: int) -> bool:
    return count < threshold if relation == "less than" else count >= threshold


def _count(keyword: str, answer: str) -> int:
    return len(re.findall(re.escape(keyword.strip()), answer, re.IGNORECASE))


def _keywords(answer: str, told: Arguments) -> bool:
    return all(_count(keyword, answer) for keyword in told["keywords"])


def _forbidden(answer: str, told: Arguments) -> bool:
    return not any(
        re.search(rf"\b{re.escape(word)}\b", answer, re.IGNORECASE) for word in map(str.strip, told["forbidden_words"])
    )


def _paragraphs_by_stars(answer: str, told: Arguments) -> bool:
    """Exactly so many between dividers `***`; an empty one is none at either end, and wrong between."""
    parts = [part.strip() for part in answer.split("***")]
    inner = parts[1:-1]
    ends = [part for part in (parts[0], *parts[1:][-1:]) if part]
    return all(inner) and bool(len(inner) + len(ends) == told["num_paragraphs"])


def _first_word(answer: str, told: Arguments) -> bool:
    """Exactly so many paragraphs between blank lines, and the n-th begins with the word."""
    parts = [part.strip() for part in answer.split("\n\n")]
    place = told["nth_paragraph"]
    count = sum(map(bool, parts))
    if count != told["num_paragraphs"] or place > count or not parts[place - 1]:
        return False
    word = re.split(r"[.,?!'\"]", parts[place - 1].split()[0].lstrip("'").lstrip('"'))[0]
    return bool(word.lower() == told["first_word"].lower())


def _postscript(answer: str, told: Arguments) -> bool:
    marker = told["postscript_marker"].strip()
    # A space may stand between the letters.
    pattern = {"P.S.": r"p\.\s?s\.", "P.P.S": r"p\.\s?p\.\s?s"}.get(marker, re.escape(marker))
    return re.search(pattern, answer, re.IGNORECASE) is not None


def _bullets(answer: str, told: Arguments) -> bool:
    """Exactly so many lines that begin with a hyphen, or with one asterisk and something else."""
    lines = [line.lstrip() for line in answer.split("\n")]
    found = [line for line in lines if line.startswith("-") or re.match(r"\*[^*]", line)]
    return bool(len(found) == told["num_bullets"])


def _constrained(answer: str, _told: Arguments) -> bool:
    return any(f"My answer is {word}." in answer for word in ("yes", "no", "maybe"))


def _highlights(answer: str, told: Arguments) -> bool:
    """At least so many texts between single or double asterisks, on one line each."""
    found = re.findall(r"\*([^\n*]*)\*", answer) + re.findall(r"\*\*([^\n*]*)\*\*", answer)
    return bool(sum(map(bool, map(str.strip, found))) >= told["num_highlights"])


def _sections(answer: str, told: Arguments) -> bool:
    found = re.findall(rf"{re.escape(told['section_spliter'].strip())}\s?\d", answer)
    return bool(len(found) >= told["num_sections"])


def _json(answer: str, _told: Arguments) -> bool:
    text = re.sub(r"^```(?:json|Json|JSON)?|```$", "", answer.strip()).strip()
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _title(answer: str, _told: Arguments) -> bool:
    return any(text.strip("<> \t") for text in re.findall(r"<<([^\n]+)>>", answer))


def _two_responses(answer: str, _told: Arguments) -> bool:
    """Two different ones between `******`; an empty one is none at either end, and wrong between."""
    parts = [part.strip() for part in answer.split("******")]
    given = [part for part in parts if part]
    return all(parts[1:-1]) and len(given) == 2 and given[0] != given[1]


def _repeats(answer: str, told: Arguments) -> bool:
    return answer.strip().lower().startswith(told["prompt_to_repeat"].strip().lower())


def _ends(answer: str, told: Arguments) -> bool:
    return answer.strip().strip('"').lower().endswith(told["end_phrase"].strip().lower())


def _quoted(answer: str, _told: Arguments) -> bool:
    text = answer.strip()
    return len(text) > 1 and text[0] == '"' == text[-1]


def _capital_words(answer: str, told: Arguments) -> bool:
    return _holds(sum(map(str.isupper, words(answer))), told["capital_relation"], told["capital_frequency"])


def _capitals(answer: str, _told: Arguments) -> bool | None:
    return answer.isupper() and _in_language(answer, "en")


def _lowercase(answer: str, _told: Arguments) -> bool | None:
    return answer.islower() and _in_language(answer, "en")


_CHECKS: dict[str, Callable[[str, Arguments], bool | None]] = {
    "keywords:existence": _keywords,
    "keywords:frequency": lambda answer, told: _holds(
        _count(told["keyword"], answer), told["relation"], told["frequency"]
    ),
    "keywords:forbidden_words": _forbidden,
    "keywords:letter_frequency": lambda answer, told: _holds(
        answer.lower().count(told["letter"].strip().lower()), told["let_relation"], told["let_frequency"]
    ),
    "language:response_language": lambda answer, told: _in_language(answer, told["language"]),
    "length_constraints:number_sentences": lambda answer, told: _holds(
        len(sentences(answer)), told["relation"], told["num_sentences"]
    ),
    "length_constraints:number_paragraphs": _paragraphs_by_stars,
    "length_constraints:number_words": lambda answer, told: _holds(
        len(re.findall(r"\w+", answer)), told["relation"], told["num_words"]
    ),
    "length_constraints:nth_paragraph_first_word": _first_word,
    "detectable_content:number_placeholders": lambda answer, told: (
        len(re.findall(r"\[.*?\]", answer)) >= told["num_placeholders"]
    ),
    "detectable_content:postscript": _postscript,
    "detectable_format:number_bullet_lists": _bullets,
    "detectable_format:constrained_response": _constrained,
    "detectable_format:number_highlighted_sections": _highlights,
    "detectable_format:multiple_sections": _sections,
    "detectable_format:json_format": _json,
    "detectable_format:title": _title,
    "combination:two_responses": _two_responses,
    "combination:repeat_prompt": _repeats,
    "startend:end_checker": _ends,
    "startend:quotation": _quoted,
    "change_case:capital_word_frequency": _capital_words,
    "change_case:english_capital": _capitals,
    "change_case:english_lowercase": _lowercase,
    "punctuation:no_comma": lambda answer, _told: "," not in answer,
}
