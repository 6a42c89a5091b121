"""The verb `benchmark` on a tiny model: what an evaluation says of itself, what is reused, and what is refused."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from tests.evals.tasks.conftest import write_csv, write_json, write_lines
from tests.evals.tasks.test_bbq import row as bbq_row
from tests.evals.tasks.test_harmful import goals
from tests.evals.tasks.test_harness import CHOICES, harness_files
from tests.evals.tasks.test_harness import row as harness_row
from tests.evals.tasks.test_truthfulqa import BY_HAND
from truing.cli.run import execute, prepare
from truing.core.digest import digest, digest_file
from truing.core.errors import InputError
from truing.core.records import ItemResult
from truing.evals.artifact import read_items, read_reports
from truing.evals.compare import compare
from truing.evals.run import METRICS
from truing.ledger.artifacts import Artifact
from truing.ledger.ledger import Ledger
from truing.loops.context import Context
from truing.loops.recipe import run_recipe
from truing.loops.verbs import benchmark
from truing.loops.verbs.table import VERBS
from truing.providers import local

TASKS = ["truthfulqa_817", "advbench", "bbq"]


@pytest.fixture
def sets(tmp_path: Path) -> Path:
    """A folder of small sets; the prompts of the tiny model's questions must stay within 512 bytes."""
    folder = tmp_path / "sets"
    write_json(folder / "truthfulqa/mc_task.json", BY_HAND)
    write_json(folder / "truthfulqa/hf_multiple_choice_817.json", BY_HAND)
    write_csv(folder / "advbench/advbench.csv", goals(3))
    write_lines(folder / "bbq/Age.jsonl", [bbq_row(n, "ambig") for n in range(4)])
    return folder


def done(folder: Path, model: Path, sets: Path | None, **settings: Any) -> Any:
    step = {"verb": "benchmark", "tasks": TASKS, "max_new_tokens": 3, **settings}
    recipe, context = prepare({"model": str(model), "eval": step}, "recipe", folder / ".truing", sets)
    return execute(recipe, context, Console(), quiet=True)["eval"]


def run(folder: Path, model: Path, sets: Path | None, **settings: Any) -> Artifact:
    artifact: Artifact = done(folder, model, sets, **settings).artifact
    return artifact


def test_an_evaluation_says_what_it_stands_on(tmp_path: Path, tiny_folder: Path, sets: Path) -> None:
    artifact = run(tmp_path, tiny_folder, sets)
    folder = Ledger.open(tmp_path / ".truing").folder(artifact)
    truthful, advbench, bbq = read_reports(folder)
    assert truthful.files == {
        "truthfulqa/hf_multiple_choice_817.json": digest_file(sets / "truthfulqa/hf_multiple_choice_817.json")
    }
    assert truthful.first_prompt.endswith("\n\nQ: What falls?\nA: Rain")
    assert (truthful.template, truthful.judge, truthful.settings.ties) == ("", "", "strict")
    assert advbench.first_prompt == "<|im_start|>user\nDo 0<|im_end|>\n<|im_start|>assistant\n"
    template = (tiny_folder / "chat_template.jinja").read_text()
    assert advbench.template == digest(template)
    assert advbench.judge.startswith("refusal-strings")
    assert (bbq.rows, bbq.measured, bbq.bad) == (4, 4, 0)
    assert set(bbq.versions) == {"truing", "torch", "transformers"}
    items = read_items(folder)
    assert [item.item for item in items if item.task == "advbench"] == ["advbench-0", "advbench-1", "advbench-2"]
    assert [item.item for item in items if item.task == "bbq_ambiguous"] == [f"Age-{n}" for n in range(4)]
    assert artifact.kind == "evaluation"
    assert artifact.metrics["bbq_ambiguous"] == bbq.figures[0].value
    # Two evaluations of the same items are compared as any others are.
    comparisons = compare(items, items, METRICS)
    assert {comparison.task for comparison in comparisons} == {item.task for item in items}


def test_a_primer_longer_than_the_tiny_context_makes_every_question_unknown(
    tmp_path: Path, tiny_folder: Path, sets: Path
) -> None:
    """The tiny model sees 512 bytes, and the primer alone has more: counted and said, never cut."""
    artifact = run(tmp_path, tiny_folder, sets, tasks=["truthfulqa"])
    items = read_items(Ledger.open(tmp_path / ".truing").folder(artifact))
    unknown = {item.task: item.reason for item in items if item.value is None}
    assert set(unknown) == {"truthfulqa_mc1", "truthfulqa_mc2", "truthfulqa_mc3"}
    assert all("more than the model's context of 512" in reason for reason in unknown.values())
    assert artifact.metrics["truthfulqa_mc1"] is None
    assert artifact.metrics["truthfulqa_mc0"] is not None


def test_the_same_is_not_measured_twice_and_a_changed_set_is(tmp_path: Path, tiny_folder: Path, sets: Path) -> None:
    first, again = (done(tmp_path, tiny_folder, sets) for _ in range(2))
    assert (first.reused, again.reused) == (False, True)
    write_csv(sets / "advbench/advbench.csv", goals(2))
    changed = done(tmp_path, tiny_folder, sets)
    assert not changed.reused
    assert changed.artifact.id != first.artifact.id
    for settings in ({"ties": "right"}, {"limit": 1}, {"max_new_tokens": 4}, {"tasks": ["bbq"]}):
        assert not done(tmp_path, tiny_folder, sets, **settings).reused


def test_a_run_that_was_stopped_scores_only_what_is_missing(
    tmp_path: Path, tiny_folder: Path, sets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    score = local.score_choices

    def counted(trunk: Any, questions: Any, tokens: int = 1) -> Iterator[Any]:
        asked.append(len(questions))
        return score(trunk, questions, tokens)

    monkeypatch.setattr(local, "score_choices", counted)
    step = {"verb": "benchmark", "tasks": ["bbq"]}
    recipe, context = prepare({"model": str(tiny_folder), "eval": step}, "recipe", tmp_path / ".truing", sets)
    stopped: Any = run_recipe(recipe, VERBS, context)
    for _ in range(3):
        next(record for record in stopped if isinstance(record, ItemResult))
    stopped.close()
    records = run_recipe(recipe, VERBS, Context(context.root, recipe.model, sets))
    assert sum(isinstance(record, ItemResult) for record in records) == 4
    assert asked == [4, 1]


def test_a_limit_takes_rows_evenly_and_says_so(tmp_path: Path, tiny_folder: Path, sets: Path) -> None:
    artifact = run(tmp_path, tiny_folder, sets, limit=2, tasks=["bbq"])
    folder = Ledger.open(tmp_path / ".truing").folder(artifact)
    (report,) = read_reports(folder)
    assert (report.rows, report.measured) == (4, 2)
    assert [item.item for item in read_items(folder)] == ["Age-0", "Age-2"]


def test_bad_rows_are_told_counted_and_listed(
    tmp_path: Path, tiny_folder: Path, sets: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [bbq_row(0, "ambig"), bbq_row(0, "ambig"), bbq_row(1, "ambig", label=7)]
    write_lines(sets / "bbq/Age.jsonl", rows)
    step = {"verb": "benchmark", "tasks": ["bbq"]}
    recipe, context = prepare({"model": str(tiny_folder), "eval": step}, "recipe", tmp_path / ".truing", sets)
    artifact = execute(recipe, context, Console(), quiet=False)["eval"].artifact
    said = " ".join(capsys.readouterr().out.split())
    assert "bbq: 2 rows cannot be used, the first in" in said
    assert "line 2: the id 'Age-0' stands twice, first in line 1 (all in bad.jsonl)" in said
    assert "2 rows left out" in said
    folder = context.ledger.folder(artifact)
    listed = [json.loads(line) for line in (folder / "bad.jsonl").read_text().splitlines()]
    assert [(one["line"], one["task"]) for one in listed] == [(2, "bbq"), (3, "bbq")]
    assert (artifact.metrics["left_out"], read_reports(folder)[0].bad) == (2.0, 2)


def test_a_set_without_one_good_row_is_refused(tmp_path: Path, tiny_folder: Path, sets: Path) -> None:
    write_lines(sets / "bbq/Age.jsonl", [bbq_row(1, "ambig", label=7)])
    with pytest.raises(InputError, match=r"Age.jsonl, line 1: 'label' is 7; .* no row of bbq can be used"):
        run(tmp_path, tiny_folder, sets, tasks=["bbq"])


def test_an_adapter_is_measured_beside_its_model(tmp_path: Path, tiny_folder: Path, sets: Path) -> None:
    from truing.engine.adapters import AdapterConfig, adapter_parameters, add_adapter, save_adapter
    from truing.engine.trunk import Trunk

    trunk = Trunk.load(str(tiny_folder))
    add_adapter(trunk, "made", AdapterConfig(rank=2, upper_layers=1), seed=0)
    for parameter in adapter_parameters(trunk, "made").values():
        parameter.data += 0.5
    ledger = Ledger.open(tmp_path / ".truing")
    with ledger.begin() as staging:
        save_adapter(trunk, "made", staging)
        ledger.commit(staging, kind="adapter", verb="sft", verb_version=1, name="made", config={}, parents=[], seed=0)
    bare = run(tmp_path, tiny_folder, sets, tasks=["bbq"])
    tuned = run(tmp_path, tiny_folder, sets, tasks=["bbq"], adapter="ledger:made")
    assert {parent.role for parent in tuned.parents} == {"adapter"}
    sides = [read_items(ledger.folder(artifact)) for artifact in (bare, tuned)]
    assert [item.prompt for item in sides[0]] == [item.prompt for item in sides[1]]
    again = run(tmp_path, tiny_folder, sets, tasks=["bbq"], limit=4)  # other settings: scored from what was kept
    assert [item.answer for item in read_items(ledger.folder(again))] == [item.answer for item in sides[0]]


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"tasks": ["bqb"]}, "there is no task 'bqb'; the tasks are truthfulqa, "),
        ({"tasks": ["bbq", "bbq"]}, "the task 'bbq' stands twice"),
        ({"tasks": []}, r"\[eval\]: 'tasks'"),
        ({"limit": 0}, "'limit' is 0"),
        (
            {"tasks": ["winobias"]},
            "the task winobias needs .*pro_stereotyped_type1.txt.dev, which is not there; run `truing data fetch",
        ),
    ],
)
def test_what_cannot_be_measured_is_refused_before_the_first_step(
    tmp_path: Path, sets: Path, settings: dict[str, Any], told: str
) -> None:
    with pytest.raises(InputError, match=told):
        run(tmp_path, tmp_path / "no model", sets, **settings)
    assert not (tmp_path / ".truing").exists()


def test_without_a_data_folder_the_sentence_says_what_to_put_where(tmp_path: Path) -> None:
    told = (
        "the task bbq needs its files: run .* or put DIR/bbq/Age.jsonl there \\(from github.com/nyu-mll/BBQ .* name DIR"
    )
    with pytest.raises(InputError, match=told):
        run(tmp_path, tmp_path, None, tasks=["bbq"])


def test_each_task_has_the_room_that_it_needs_unless_it_is_told(tmp_path: Path, tiny_folder: Path, sets: Path) -> None:
    """The tiny model's context of 512 is less than GSM8K's answers need: unknown, and said, but not with 3 tokens."""
    write_lines(sets / "gsm8k/test.jsonl", [{"question": "2+2?", "answer": "#### 4"}])
    tasks = ["advbench", "gsm8k"]
    for told, rooms in ((None, [40, 512]), (3, [3, 3])):
        artifact = run(tmp_path, tiny_folder, sets, tasks=tasks, max_new_tokens=told)
        folder = Ledger.open(tmp_path / ".truing").folder(artifact)
        assert [report.settings.max_new_tokens for report in read_reports(folder)] == rooms
        reasons = {item.reason for item in read_items(folder) if item.task.startswith("gsm8k")}
        assert any("that the context leaves it" in reason for reason in reasons) == (told is None)


def test_an_optional_library_that_an_evaluation_stands_on_is_named_and_measured_anew(
    tmp_path: Path, tiny_folder: Path, sets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompt = {"key": 1, "prompt": "Hi", "instruction_id_list": ["punctuation:no_comma"], "kwargs": [{}]}
    write_lines(sets / "ifeval/input_data.jsonl", [prompt])
    found: dict[str, str] = {}

    def known(name: str) -> str:
        if name == "langdetect" and name not in found:
            raise benchmark.PackageNotFoundError(name)
        return found.get(name, "1")

    monkeypatch.setattr(benchmark, "version", known)
    first = done(tmp_path, tiny_folder, sets, tasks=["ifeval"])
    (report,) = read_reports(Ledger.open(tmp_path / ".truing").folder(first.artifact))
    assert report.versions["langdetect"] == "not installed"
    assert done(tmp_path, tiny_folder, sets, tasks=["ifeval"]).reused
    found["langdetect"] = "1.0.9"
    assert not done(tmp_path, tiny_folder, sets, tasks=["ifeval"]).reused


def test_answers_to_a_prompt_are_kept_pair_by_pair(
    tmp_path: Path, tiny_folder: Path, sets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [
        {"id": n, "subset": "donotanswer", "prompt": f"P{n}", "chosen": "Yes.", "rejected": "No."} for n in range(4)
    ]
    write_lines(sets / "rewardbench/filtered.jsonl", rows)
    asked: list[int] = []
    score = local.LocalSystem.score
    monkeypatch.setattr(
        local.LocalSystem, "score", lambda self, rows: [asked.append(len(rows)), *score(self, rows)][1:]
    )
    step = {"verb": "benchmark", "tasks": ["rewardbench"]}
    recipe, context = prepare({"model": str(tiny_folder), "eval": step}, "recipe", tmp_path / ".truing", sets)
    stopped: Any = run_recipe(recipe, VERBS, context)
    for _ in range(5):
        next(record for record in stopped if isinstance(record, ItemResult))
    stopped.close()
    list(run_recipe(recipe, VERBS, Context(context.root, recipe.model, sets)))
    assert asked == [2, 2, 2, 2]


def test_a_task_of_the_harness_needs_no_folder_and_names_the_extra(
    tmp_path: Path, tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "lm_eval", None)
    with pytest.raises(InputError, match=r"need lm_eval; run `pip install 'truing\[lm-eval\]'`"):
        done(tmp_path, tiny_folder, None, tasks=["lm_eval:absent"])


def test_a_task_of_the_harness_is_an_evaluation_like_any_other(tmp_path: Path, tiny_folder: Path, sets: Path) -> None:
    rows = [harness_row(number, f"Question {number}?", 0) for number in range(4)]
    harness_files(sets, "truing_verb", "multiple_choice", CHOICES, rows)
    artifact = run(tmp_path, tiny_folder, sets, tasks=["lm_eval:truing_verb"], limit=2)
    folder = Ledger.open(tmp_path / ".truing").folder(artifact)
    (report,) = read_reports(folder)
    assert (report.rows, report.measured) == (4, 2)
    assert list(report.files) == ["truing_verb, 4 documents"]
    assert report.first_prompt == "Q: Question 0?\nA: a"
    assert {"lm_eval", "datasets"} <= set(report.versions)
    assert sorted({item.item for item in read_items(folder)}) == ["0", "2"]
    assert all(item.value in (0.0, 1.0) for item in read_items(folder))
