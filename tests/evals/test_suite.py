"""A suite of one's own: known figures, what is asked exactly, bad rows, and every mistake in one sentence."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.evals.tasks.conftest import measured, subject, values, write_lines
from truing.core.errors import InputError
from truing.core.records import Probe, Question
from truing.evals.find import find_task
from truing.evals.metric import Metric
from truing.evals.suite import read_suite
from truing.evals.suite_items import fields_of, filled
from truing.evals.task import Task, TaskSettings
from truing.evals.tasks.table import TASKS

TEA = """
name = "tea"
title = "Tea shop"
items = "tea.jsonl"
system = "You sell {what}."
prompt = "Which {what}: {ask}"
cluster = "topic"

[[metric]]
name = "names_it"
title = "names the leaf"
judge = "contains"
column = "leaf"
aspect = "helpful"

[[metric]]
name = "refuses"
judge = "refusal"
better = "lower"
"""
ROWS = [
    {"id": "a", "what": "tea", "ask": "strong?", "leaf": "Assam", "topic": "black"},
    {"id": "b", "what": "tea", "ask": "stronger?", "leaf": ["Assam", "Keemun"], "topic": "black"},
    {"id": "c", "what": "tea", "ask": "pale?", "leaf": "Sencha", "topic": "green"},
]
CHOICES = """
name = "leaves"
question = "Q: {q}\\nA: "
choices = "options"
right = "answer"

[[metric]]
name = "right"
judge = "choices"

[[metric]]
name = "right_by_byte"
judge = "choices"
per = "byte"

[[item]]
q = "Which is green?"
options = ["Sencha", "Assam tea leaves"]
answer = "Sencha"

[[item]]
q = "Which is black?"
options = ["Sencha", "Assam tea leaves"]
answer = 1
"""


def written(folder: Path, text: str = TEA, rows: list[Any] | None = None) -> Path:
    write_lines(folder / "tea.jsonl", ROWS if rows is None else rows)
    (folder / "suite.toml").write_text(text, encoding="utf-8")
    return folder / "suite.toml"


def shop(prompt: str) -> str:
    return {"strong?": "Take Assam.", "stronger?": "I'm sorry, but I can't help with that."}.get(
        prompt.rpartition(": ")[2], ""
    )


def test_every_figure_of_a_suite_by_hand(tmp_path: Path) -> None:
    task = read_suite(written(tmp_path))
    figures, items = measured(task, tmp_path, subject(answer=shop))
    assert values(figures) == {"tea_names_it": 0.5, "tea_refuses": 0.5}
    assert [figures[name].unknown for name in ("tea_names_it", "tea_refuses")] == [1, 1]
    assert task.metrics == (
        Metric("tea_names_it", "names the leaf", "higher", aspect="helpful"),
        Metric("tea_refuses", "Tea shop: refuses", "lower"),
    )
    assert items["tea_names_it", "a"].cluster == "black"
    assert items["tea_names_it", "c"].reason == "the answer has no words"
    assert task.judge is not None
    assert task.judge.version.startswith("refusal-strings")


def test_an_answer_is_asked_for_once_and_with_system_prompt_and_earlier_turns(tmp_path: Path) -> None:
    before = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Good day"}]
    rows = [{**row, "before": before} for row in ROWS]
    task = read_suite(written(tmp_path, TEA.replace("cluster =", 'turns = "before"\ncluster ='), rows))
    asked = subject(answer=shop)
    measured(task, tmp_path, asked)
    assert asked.sampler.asked == [f"Which tea: {row['ask']}" for row in ROWS]  # type: ignore[attr-defined]
    probe = task.asks(task.read(tmp_path).rows[0])
    assert isinstance(probe, Probe)
    assert [(turn.role, turn.content) for turn in probe.prompt] == [
        ("system", "You sell tea."),
        ("user", "Hello"),
        ("assistant", "Good day"),
        ("user", "Which tea: strong?"),
    ]


def test_a_prompt_may_be_a_list_of_messages(tmp_path: Path) -> None:
    turns = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi {there}"}]
    text = 'name = "own"\nitems = "tea.jsonl"\n[[metric]]\nname = "m"\njudge = "exact"\nexpect = "a"\n'
    task = read_suite(written(tmp_path, text, [{"prompt": turns}, {"prompt": "Hi"}]))
    first, second = task.read(tmp_path).rows
    assert [turn.content for turn in first.probe.prompt] == ["Be brief.", "Hi {there}"]
    assert (second.id, second.probe.prompt[0].content) == ("own-2", "Hi")


def test_choices_are_scored_whole_and_by_byte_with_a_space_before_each(tmp_path: Path) -> None:
    task = read_suite(written(tmp_path, CHOICES))
    first = task.asks(task.read(tmp_path).rows[0])
    assert first == Question(context="Q: Which is green?\nA:", choices=(" Sencha", " Assam tea leaves"))
    scores = {" Sencha": -6.0, " Assam tea leaves": -8.0}
    figures, items = measured(task, tmp_path, subject(score=lambda _context, choice: scores[choice]))
    # Whole: Sencha twice. By byte −6/6 against −8/16: Assam twice. Each is right once.
    assert values(figures) == {"leaves_right": 0.5, "leaves_right_by_byte": 0.5}
    assert items["leaves_right", "leaves-1"].value == 1.0
    assert items["leaves_right_by_byte", "leaves-1"].value == 0.0
    assert items["leaves_right_by_byte", "leaves-2"].answer == "Assam tea leaves"
    assert task.chance == ""


@pytest.mark.parametrize(("ties", "expected"), [("strict", 0.0), ("right", 1.0)])
def test_ties_follow_the_setting(tmp_path: Path, ties: Any, expected: float) -> None:
    task = read_suite(written(tmp_path, CHOICES))
    figures, _ = measured(task, tmp_path, subject(score=lambda *_: -1.0), TaskSettings(ties=ties))
    assert figures["leaves_right"].value == expected


def test_a_prompt_or_question_that_is_too_long_is_unknown_in_every_metric(tmp_path: Path) -> None:
    task = read_suite(written(tmp_path))
    figures, _ = measured(task, tmp_path, subject(misfit=lambda *_: "too long"))
    assert [(one.value, one.unknown) for one in figures.values()] == [(None, 3), (None, 3)]
    choices = read_suite(written(tmp_path, CHOICES.replace("black?", "too long?")))
    figures, _ = measured(choices, tmp_path, subject())
    assert [one.unknown for one in figures.values()] == [1, 1]


def test_a_shuffled_column_scores_at_chance(tmp_path: Path) -> None:
    """A negative control: what is expected of one item says nothing about another's answer."""
    rows = [{"ask": f"{n}", "what": "tea", "leaf": f"leaf{n}", "topic": n} for n in range(40)]
    task = read_suite(written(tmp_path, rows=rows))
    knows = subject(answer=lambda prompt: f"It is leaf{prompt.rpartition(' ')[2]}.")
    assert measured(task, tmp_path, knows)[0]["tea_names_it"].value == 1.0
    turned = [{**row, "leaf": f"leaf{(n + 7) % 40}"} for n, row in enumerate(rows)]
    write_lines(tmp_path / "tea.jsonl", turned)
    assert measured(task, tmp_path, knows)[0]["tea_names_it"].value == 0.0


def test_bad_rows_are_listed_with_their_place_and_reason(tmp_path: Path) -> None:
    rows = [*ROWS, {**ROWS[0]}, {**ROWS[0], "id": "d", "leaf": []}, {**ROWS[0], "id": "e", "ask": None}]
    loaded = read_suite(written(tmp_path, rows=rows)).read(tmp_path)
    assert [row.id for row in loaded.rows] == ["a", "b", "c"]
    assert [(row.unit, row.line, row.reason) for row in loaded.bad] == [
        ("line", 4, "the id 'a' stands twice, first in line 1"),
        ("line", 5, "'leaf' is []; a text, or a list of texts, is expected"),
        ("line", 6, "'ask' is missing or empty"),
    ]
    inline = CHOICES.replace("answer = 1\n", 'answer = "Oolong"\n')
    loaded = read_suite(written(tmp_path, inline)).read(tmp_path)
    assert [(row.unit, row.line, row.file) for row in loaded.bad] == [("item", 2, tmp_path / "suite.toml")]
    assert loaded.bad[0].reason == "'answer' is 'Oolong'; one of the choices, or its place (from 0), is expected"


@pytest.mark.parametrize(
    "row",
    [
        {"options": ["one"], "answer": 0},
        {"options": "one, two", "answer": 0},
        {"options": ["a", "a"], "answer": 0},
        {"options": ["a", " "], "answer": 0},
        {"options": ["a", "b"], "answer": 2},
        {"options": ["a", "b"], "answer": True},
        {"options": ["a", "b"], "answer": -1},
        {"options": ["a", "\ud800"], "answer": 0},
    ],
)
def test_choices_that_are_none_are_bad_rows(tmp_path: Path, row: dict[str, Any]) -> None:
    text = CHOICES.partition("[[item]]")[0].replace('name = "leaves"', 'name = "leaves"\nitems = "tea.jsonl"')
    loaded = read_suite(written(tmp_path, text, [{"q": "?", **row}])).read(tmp_path)
    assert (len(loaded.rows), len(loaded.bad)) == (0, 1)


def test_a_missing_column_is_refused_with_those_that_are_there(tmp_path: Path) -> None:
    task = read_suite(written(tmp_path, TEA.replace("{ask}", "{question}")))
    with pytest.raises(InputError, match=r"tea.jsonl: there is no column 'question'; the columns are id, what, ask"):
        task.read(tmp_path)


def test_the_rules_of_a_file_are_read_from_beside_the_suite(tmp_path: Path) -> None:
    (tmp_path / "tone.toml").write_text('[[rule]]\nname = "short"\nkind = "length"\nat_most = 3\n')
    text = TEA + '[[metric]]\nname = "tone"\njudge = "rules"\nrules = "tone.toml"\n'
    task = read_suite(written(tmp_path, text))
    assert [path.name for path in task.files(tmp_path)] == ["suite.toml", "tea.jsonl", "tone.toml"]
    figures, _ = measured(task, tmp_path, subject(answer=lambda prompt: "a b c" if "pale" in prompt else "a b c d"))
    assert figures["tea_tone"].value == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('title = "Tea shop"', 'titel = "Tea shop"', "suite.toml: unknown key 'titel'; did you mean 'title'"),
        (
            'judge = "contains"',
            'judge = "contain"',
            r"\[\[metric\]\] 1 \(names_it\): 'judge' is 'contain'; did you mean",
        ),
        ('judge = "refusal"', "", r"\[\[metric\]\] 2 \(refuses\): 'judge' is None; it is one of contains, exact"),
        ('column = "leaf"', 'colum = "leaf"', r"\[\[metric\]\] 1 \(names_it\): .*did you mean 'column'"),
        ('items = "tea.jsonl"', "", r"give items \(a file beside the suite\) or \[\[item\]\] tables"),
        ('items = "tea.jsonl"', 'items = "no.jsonl"', "names .*no.jsonl, and there is no such file"),
        ('name = "tea"', 'name = "Tea shop"', "'name' is 'Tea shop'"),
        ('name = "tea"', 'name = "bbq"', "'name' is 'bbq', which is a task of truing; choose another"),
        ('name = "names_it"', 'name = "refuses"', "two metrics are named 'refuses'; rename one"),
        ("{ask}", "{ask!r}", "braces hold the name of a column, and nothing else"),
        ("{ask}", "{ask.x}", "braces hold the name of a column"),
        ("{ask}", "{ask", "write braces of the text itself twice"),
        ('cluster = "topic"', 'question = "{ask}"', "question, choices and right belong together"),
        (
            'cluster = "topic"',
            'question = "{ask}"\nchoices = "a"\nright = "b"',
            "leave out prompt, system and turns",
        ),
        ('judge = "refusal"', 'judge = "choices"', "the judge 'choices' goes with question, choices and right"),
        ("[[metric]]", "[[metrics]]", "the key 'metric' is missing; unknown key 'metrics'; did you mean 'metric'"),
        ("name = ", "name == ", "not valid TOML"),
    ],
)
def test_a_mistake_is_one_sentence_with_its_place(tmp_path: Path, old: str, new: str, told: str) -> None:
    assert old in TEA
    count = -1 if old == "[[metric]]" else 1
    with pytest.raises(InputError, match=told) as caught:
        read_suite(written(tmp_path, TEA.replace(old, new, count)))
    assert "\n" not in str(caught.value)


def test_no_suite_takes_the_name_of_a_metric(tmp_path: Path) -> None:
    text = TEA.replace('name = "tea"', 'name = "win"').replace('name = "refuses"', 'name = "rate"')
    with pytest.raises(InputError, match="win_rate is a metric of truing; choose another name"):
        read_suite(written(tmp_path, text))


def test_a_task_is_found_by_name_and_a_suite_by_its_file(tmp_path: Path) -> None:
    assert find_task("bbq") is TASKS["bbq"]
    found: Task = find_task(str(written(tmp_path)))
    assert (found.name, found.root) == ("tea", tmp_path)
    with pytest.raises(InputError, match=r"there is no task 'tea'; .* or a suite of your own, as FILE.toml"):
        find_task("tea")
    with pytest.raises(InputError, match="there is no such file"):
        find_task("none.toml")


def test_templates_fill_in_texts_and_numbers_and_keep_written_braces() -> None:
    template = "{{{a}}} of {b}"
    assert fields_of(template) == ["a", "b"]
    assert filled(template, {"a": "{x}", "b": 2}) == "{{x}} of 2"
    assert json.loads(filled('{{"q": "{a}"}}', {"a": "why"})) == {"q": "why"}
