"""IFEval by hand: both levels, both readings, what cannot be told, what cannot be used, labels that say nothing."""

import random
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.evals.tasks.conftest import measured, real, subject, values, write_lines
from truing.core.records import Message
from truing.data.ifeval import ARGUMENTS
from truing.evals.tasks.ifeval import IFEVAL

FILE = "ifeval/input_data.jsonl"
QUOTED, COMMA = "startend:quotation", "punctuation:no_comma"
GERMAN = "language:response_language"


def row(number: int, *kinds: str, arguments: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    given = [{} for _ in kinds] if arguments is None else arguments
    return {"key": 1000 + number, "prompt": f"Ask {number}", "instruction_id_list": list(kinds), "kwargs": given}


def says(*answers: str) -> Any:
    return subject(answer=lambda prompt: answers[int(prompt.split()[1])])


def test_every_figure_of_a_file_by_hand(tmp_path: Path) -> None:
    """Strictly the first prompt alone is followed whole, and 3 of 5 instructions; loosely the second is, too, and 4."""
    write_lines(tmp_path / FILE, [row(0, QUOTED, COMMA), row(1, QUOTED), row(2, COMMA, QUOTED)])
    figures, items = measured(IFEVAL, tmp_path, says('"Yes."', 'Here:\n"Yes."', "Well then."))
    assert values(figures) == {
        "ifeval_strict": pytest.approx(1 / 3),
        "ifeval_loose": pytest.approx(2 / 3),
        "ifeval_instructions_strict": pytest.approx(3 / 5),
        "ifeval_instructions_loose": pytest.approx(4 / 5),
    }
    assert items["ifeval_strict", "1002"].detail == {f"1 {COMMA}": 1.0, f"2 {QUOTED}": 0.0}
    assert items["ifeval_strict", "1002"].reason == f"does not follow 2 {QUOTED}"
    assert items["ifeval_strict", "1000"].reason == "follows all"
    by_instruction = figures["ifeval_instructions_strict"]
    assert (by_instruction.n, by_instruction.unknown) == (5, 0)
    assert (by_instruction.low or 0) < 3 / 5 < (by_instruction.high or 0)


def test_what_cannot_be_told_is_unknown_unless_the_prompt_is_not_followed_anyway(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "langdetect", None)
    german = {"language": "de"}
    rows = [row(0, GERMAN, arguments=[german]), row(1, GERMAN, COMMA, arguments=[german, {}]), row(2, COMMA)]
    write_lines(tmp_path / FILE, rows)
    figures, items = measured(IFEVAL, tmp_path, says("Ja.", "Ja, ja.", "Ja."))
    assert [items["ifeval_strict", f"100{n}"].value for n in range(3)] == [None, 0.0, 1.0]
    assert "pip install 'truing[ifeval]'" in items["ifeval_strict", "1000"].reason
    strict = figures["ifeval_instructions_strict"]
    assert (strict.value, strict.n, strict.unknown) == (1 / 2, 4, 2)


def test_a_prompt_that_does_not_fit_is_unknown_with_all_its_instructions(tmp_path: Path) -> None:
    write_lines(tmp_path / FILE, [row(0, QUOTED, COMMA), row(1, COMMA)])
    system = subject(answer=lambda _: "Well.", misfit=lambda prompt, _: "is long" if "0" in prompt[-1].content else "")
    figures, items = measured(IFEVAL, tmp_path, system)
    assert (items["ifeval_loose", "1000"].value, items["ifeval_loose", "1000"].reason) == (None, "is long")
    assert (figures["ifeval_strict"].value, figures["ifeval_strict"].unknown) == (1.0, 1)
    assert (figures["ifeval_instructions_loose"].n, figures["ifeval_instructions_loose"].unknown) == (3, 2)


def test_where_nothing_is_known_no_figure_is(tmp_path: Path) -> None:
    write_lines(tmp_path / FILE, [row(0, COMMA)])
    figures, _ = measured(IFEVAL, tmp_path, subject(misfit=lambda *_: "is long"))
    assert set(values(figures).values()) == {None}


def test_the_prompt_is_asked_as_it_stands(tmp_path: Path) -> None:
    write_lines(tmp_path / FILE, [row(4, COMMA)])
    (one,) = IFEVAL.read(tmp_path).rows
    assert IFEVAL.asks(one).prompt == (Message(role="user", content="Ask 4"),)  # type: ignore[union-attr]


@pytest.mark.parametrize("shuffled", [False, True])
def test_under_shuffled_instructions_an_obedient_model_is_at_chance(tmp_path: Path, shuffled: bool) -> None:
    """It says as many words as it is told, of 1 to 10: another's number is the same one time in ten, or is exceeded."""
    draw = random.Random(0)
    told = [draw.randint(1, 10) for _ in range(300)]
    keys = random.Random(1).sample(told, len(told)) if shuffled else told
    rows = []
    for number, key in enumerate(keys):
        kinds = ["length_constraints:number_words"] * 2
        exactly = [{"num_words": key, "relation": "at least"}, {"num_words": key + 1, "relation": "less than"}]
        rows.append(row(number, *kinds, arguments=exactly))
    write_lines(tmp_path / FILE, rows)
    figures, _ = measured(IFEVAL, tmp_path, says(*("word " * count for count in told)))
    assert figures["ifeval_strict"].value == (pytest.approx(1 / 10, abs=0.06) if shuffled else 1.0)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"key": 1000}, "the id '1000' stands twice, first in line 1"),
        ({"key": [1]}, "'key' is [1]; a number or a text is expected"),
        ({"prompt": 3}, "'prompt' is 3; a text is expected"),
        ({"instruction_id_list": []}, "'instruction_id_list' and 'kwargs' must be lists of the same length"),
        ({"kwargs": [{}, {}]}, "'instruction_id_list' and 'kwargs' must be lists of the same length"),
        ({"instruction_id_list": ["startend:bow"]}, "the instruction 'startend:bow' is none of IFEval's 25"),
        ({"kwargs": ["x"]}, "the arguments of punctuation:no_comma are no object"),
        ({"kwargs": [{"frequency": 2}]}, "punctuation:no_comma has the arguments frequency; none are expected"),
        ({"instruction_id_list": [GERMAN]}, "language:response_language has the arguments none; language are expected"),
    ],
)
def test_a_row_that_cannot_be_used_is_listed(tmp_path: Path, changes: dict[str, Any], reason: str) -> None:
    write_lines(tmp_path / FILE, [row(0, COMMA), {**row(1, COMMA), **changes}])
    loaded = IFEVAL.read(tmp_path)
    assert [one.id for one in loaded.rows] == ["1000"]
    assert (loaded.bad[0].line, loaded.bad[0].reason.startswith(reason)) == (2, True), loaded.bad[0].reason


@pytest.mark.parametrize(
    ("kind", "name", "value", "expected"),
    [
        ("keywords:existence", "keywords", "tide", "a list of texts"),
        ("keywords:existence", "keywords", [], "a list of texts"),
        ("keywords:letter_frequency", "letter", "ab", "one letter"),
        ("length_constraints:number_words", "num_words", 2.5, "a whole number"),
        ("length_constraints:number_words", "num_words", True, "a whole number"),
        ("length_constraints:number_words", "relation", "at most", "'less than' or 'at least'"),
        ("length_constraints:nth_paragraph_first_word", "nth_paragraph", 0, "a whole number from 1"),
        ("startend:end_checker", "end_phrase", " ", "a text"),
    ],
)
def test_an_argument_of_another_type_is_named(tmp_path: Path, kind: str, name: str, value: Any, expected: str) -> None:
    right: dict[str, Any] = {
        "keywords": ["tide"], "letter": "a", "let_frequency": 1, "let_relation": "at least", "num_words": 2,
        "relation": "at least", "num_paragraphs": 2, "nth_paragraph": 1, "first_word": "Then", "end_phrase": "Bye.",
    }  # fmt: skip
    told = {key: right[key] for key in ARGUMENTS[kind]}
    write_lines(
        tmp_path / FILE, [row(n, kind, arguments=[told | change]) for n, change in enumerate(({}, {name: value}))]
    )
    loaded = IFEVAL.read(tmp_path)
    assert len(loaded.rows) == 1
    assert loaded.bad[0].reason == f"{name!r} of {kind} is {value!r}; {expected} is expected"


def test_arguments_that_are_null_are_not_given(tmp_path: Path) -> None:
    """As in the copies of the set that give every instruction every key."""
    write_lines(tmp_path / FILE, [row(0, COMMA, arguments=[{"num_words": None, "relation": None}])])
    (one,) = IFEVAL.read(tmp_path).rows
    assert one.instructions[0].arguments == {}


def test_the_real_file(shared_data: Path) -> None:
    loaded = real(IFEVAL, shared_data)
    assert len(loaded.rows) + len(loaded.bad) == 541
    assert {one.kind for row in loaded.rows for one in row.instructions} == set(ARGUMENTS)
