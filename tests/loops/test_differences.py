"""Inputs beside outcomes: a planted difference is the only one named, one without an effect is told apart from one with
an effect, the items that moved are the planted ones, and what was not measured says by which command it would be."""

import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from truing.core.errors import InputError
from truing.core.records import ItemResult
from truing.evals.moved import RISKY_CUT
from truing.ledger.artifacts import Artifact, Parent
from truing.ledger.difference import Change, kind_of
from truing.ledger.ledger import Ledger
from truing.loops.differences import SystemDifference, differences
from truing.loops.systems import find_system

MODEL = {"model": "smollm2-135m", "model_sha256": "a" * 64}
Values = Mapping[str, Sequence[float | None]]


class Made:
    """Artifacts put into a ledger by hand: rows, adapters whose weights follow from what they say, evaluations."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger

    def artifact(self, kind: str, name: str, files: Mapping[str, str], **given: Any) -> Artifact:
        settings = {"verb": kind, "verb_version": 1, "config": {}, "parents": [], "seed": 0, **given}
        with self.ledger.begin() as staging:
            for file, text in files.items():
                (staging / file).write_text(text, encoding="utf-8")
            return self.ledger.commit(staging, kind=kind, name=name, **settings)

    def data(self, rows: Sequence[Mapping[str, Any]], name: str = "data", **config: Any) -> Artifact:
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        held = [(row["id"], json.dumps(row)) for row in rows]
        return self.artifact("dataset", name, {"train.jsonl": lines}, config=config, rows=held)

    def adapter(self, name: str, weights: str, data: Artifact | None = None, **config: Any) -> Artifact:
        parents = [] if data is None else [Parent(role="data", artifact=data.id)]
        return self.artifact("adapter", name, {"weights": weights}, config={**MODEL, **config}, parents=parents)

    def evaluation(
        self, name: str, values: Values, adapter: Artifact | None = None, asks: str = "?", **given: Any
    ) -> Artifact:
        lines = [
            ItemResult(task=task, item=f"{task} {number}", cluster=f"{number}", value=value, prompt=f"{number}{asks}")
            for task, found in values.items()
            for number, value in enumerate(found)
        ]
        parents = [] if adapter is None else [Parent(role="adapter", artifact=adapter.id)]
        config = {**MODEL, **given.pop("config", {})}
        files = {"items.jsonl": "".join(line.model_dump_json() + "\n" for line in lines), **given.pop("files", {})}
        verb = given.pop("verb", "evaluate")
        return self.artifact("evaluation", name, files, verb=verb, config=config, parents=parents, **given)


@pytest.fixture
def made(tmp_path: Path) -> Made:
    return Made(Ledger.open(tmp_path / ".truing"))


def named(found: SystemDifference) -> list[tuple[str, str]]:
    return [(kind_of(change), change.where) for change in found.inputs]


BEFORE = {"refusal": [1.0, 1.0, 0.0, 1.0, 1.0], "over_refusal": [0.0, 0.0, 1.0]}
AFTER = {"refusal": [1.0, 0.0, 0.0, 1.0, 1.0], "over_refusal": [1.0, 0.0, 1.0]}


def test_a_planted_setting_is_the_only_input_named_however_the_systems_are_named(made: Made) -> None:
    data = made.data([{"id": "r", "prompt": "?", "chosen": "a", "rejected": "b"}])
    tuned, other = (made.adapter(f"with-{lr}", f"{lr}", data, lr=lr, epochs=2) for lr in (0.1, 0.2))
    made.evaluation("of-tuned", BEFORE, tuned)
    made.evaluation("of-other", AFTER, other)
    for a, b, prefix in (
        ("with-0.1", "with-0.2", ""),
        ("of-tuned", "of-other", "adapter."),
        ("of-tuned", "with-0.2", ""),
        ("with-0.1", "of-other", ""),
    ):
        found = differences(made.ledger, a, b)
        assert named(found) == [("setting", f"{prefix}config.lr")]
        assert (found.rows, found.same_files, found.commands, found.notes) == ((), (), (), ())
        assert found.outcomes is not None
        assert {one.item for one in found.outcomes.moved} == {"refusal 1", "over_refusal 0"}
        assert found.outcomes.changed == {"refusal": 1, "over_refusal": 1}


def test_a_setting_without_effect_is_named_and_said_to_have_made_the_same_files(made: Made) -> None:
    one, other = (made.adapter(f"n-{number}", "same weights", unused=number) for number in (1, 2))
    made.evaluation("a", BEFORE, one)
    made.evaluation("b", BEFORE, other)
    found = differences(made.ledger, "n-1", "n-2")
    assert named(found) == [("setting", "config.unused")]
    assert found.same_files == ("n-1",)
    assert found.outcomes is not None
    assert (found.outcomes.changed, found.outcomes.moved) == ({}, ())
    assert not found.nothing
    assert differences(made.ledger, "a", "b").same_files == ("adapter",)
    made.adapter("n-3", "other weights", unused=1)
    assert differences(made.ledger, "n-2", "n-3").same_files == ()


def test_one_system_named_in_two_ways_does_not_differ(made: Made) -> None:
    adapter = made.adapter("tuned", "weights")
    assert differences(made.ledger, "tuned", adapter.short).commands == ()
    evaluation = made.evaluation("eval", BEFORE, adapter)
    made.evaluation("bare", BEFORE)
    pairs = [("tuned", "eval"), ("eval", evaluation.id), ("bare", "smollm2-135m"), ("smollm2-135m", "smollm2-135m")]
    for a, b in pairs:
        found = differences(made.ledger, a, b)
        assert found.nothing, (a, b)
        assert found.commands == ()
    assert not differences(made.ledger, "tuned", "smollm2-135m").nothing


def test_an_adapter_beside_the_bare_model(made: Made) -> None:
    adapter = made.adapter("tuned", "weights")
    made.evaluation("base", BEFORE)
    made.evaluation("candidate", AFTER, adapter)
    found = differences(made.ledger, "smollm2-135m", "tuned")
    assert found.inputs == (Change(where="adapter", a="(none)", b=f"tuned {adapter.short}"),)
    assert found.outcomes is not None
    assert found.outcomes.changed == {"refusal": 1, "over_refusal": 1}
    assert [one.worsened for one in found.outcomes.moved] == [True, True]
    back = differences(made.ledger, "tuned", "smollm2-135m")
    assert back.outcomes is not None
    assert [one.worsened for one in back.outcomes.moved] == [False, False]


def test_another_base_model_and_template_are_named_as_such(made: Made) -> None:
    made.evaluation("one", BEFORE, config={"model_template": "t1"})
    made.evaluation("other", BEFORE, config={"model": "hf:a/b", "model_sha256": "b" * 64, "model_template": "t2"})
    found = differences(made.ledger, "one", "other")
    assert named(found) == [
        ("base model", "config.model"),
        ("base model", "config.model_sha256"),
        ("template", "config.model_template"),
    ]


def test_a_gate_and_a_report_stand_for_their_candidate(made: Made) -> None:
    base = made.evaluation("base", BEFORE)
    reports = []
    for lr in (0.1, 0.2):
        adapter = made.adapter(f"a{lr}", f"{lr}", lr=lr)
        evaluation = made.evaluation(f"e{lr}", BEFORE if lr == 0.1 else AFTER, adapter)
        roles = [Parent(role="baseline", artifact=base.id), Parent(role="candidate", artifact=evaluation.id)]
        gate = made.artifact("comparison", f"gate{lr}", {"gate.json": f"{lr}"}, parents=roles)
        reports.append(
            made.artifact(
                "report", f"report{lr}", {"report.html": f"{lr}"}, parents=[Parent(role="gate", artifact=gate.id)]
            )
        )
    found = differences(made.ledger, "report0.1", "report0.2")
    assert named(found) == [("setting", "gate.candidate.adapter.config.lr")]
    assert found.outcomes is not None
    assert found.outcomes.changed == {"refusal": 1, "over_refusal": 1}
    assert named(differences(made.ledger, "gate0.1", "a0.2")) == [("setting", "config.lr")]


def test_evaluations_that_measured_alike_are_taken_before_newer_ones_and_others_say_how(made: Made) -> None:
    one, other = (made.adapter(f"lr{lr}", f"{lr}", lr=lr) for lr in (0.1, 0.2))
    made.evaluation("whole", BEFORE, one, config={"judges": "judge-1"})
    made.evaluation("whole", AFTER, other, config={"judges": "judge-1"})
    newer = {"refusal": [0.0, 0.0], "honesty": [1.0, 0.0]}
    made.evaluation("newer", newer, other, config={"judges": "judge-2"})
    found = differences(made.ledger, "lr0.1", "lr0.2")
    assert named(found) == [("setting", "config.lr")]
    assert found.outcomes is not None
    assert {one.task: one.n for one in found.outcomes.comparisons} == {"refusal": 5, "over_refusal": 3}
    assert found.notes == ("measured of lr0.2 only: honesty",)
    made.evaluation("newest", newer, one, config={"judges": "judge-3"})
    found = differences(made.ledger, "lr0.1", "lr0.2")
    assert named(found) == [("setting", "config.lr"), ("judge", "newest.config.judges")]
    assert found.outcomes is not None
    assert {one.task for one in found.outcomes.comparisons} == {"refusal", "over_refusal", "honesty"}


def commands(made: Made, a: str, b: str) -> list[list[str]]:
    found = differences(made.ledger, a, b)
    assert found.outcomes is None
    return [shlex.split(command) for command in found.commands]


def test_what_was_not_measured_says_by_which_command_it_would_be(made: Made) -> None:
    one, other = made.adapter("one", "1", lr=1), made.adapter("two", "2", lr=2)
    assert commands(made, "one", "two") == [["truing", "eval", one.short], ["truing", "eval", other.short]]
    assert commands(made, "one", "hf:a/b") == [["truing", "eval", one.short], ["truing", "eval", "hf:a/b"]]
    asked = ["--task", "TASK", "--data-dir", "DIR"]
    assert commands(made, "one", "openai:m")[1] == ["truing", "eval", "openai:m", *asked]
    tasks = {"tasks": ["bbq", "tea.toml"], "limit": 50, "max_new_tokens": 24, "ties": "strict"}
    made.evaluation("eval", BEFORE, one, verb="benchmark", config=tasks)
    words = ["--task", "bbq,tea.toml", "--data-dir", "DIR", "--limit", "50", "--set", "eval.max_new_tokens=24"]
    assert commands(made, "one", "two") == [["truing", "eval", other.short, *words]]
    assert commands(made, "two", "eval") == [["truing", "eval", other.short, *words]]
    made.evaluation("eval2", {"refusal": [1.0]}, other, asks="!")  # measured, but on nothing that the other has
    assert commands(made, "one", "two") == [["truing", "eval", other.short, *words]]


def test_the_command_names_probes_and_models_that_are_not_the_usual_ones(made: Made) -> None:
    data = made.data([], probes="own.jsonl")
    given = {"model": "hf:a/b", "model_dtype": "bfloat16", "model_template": "0" * 64}
    one, other = (made.adapter(name, name, lr=name, **given) for name in ("one", "two"))
    evaluation = made.evaluation("eval", BEFORE)
    files = {"items.jsonl": (made.ledger.folder(evaluation) / "items.jsonl").read_text()}
    parents = [Parent(role="adapter", artifact=one.id), Parent(role="data", artifact=data.id)]
    made.artifact("evaluation", "own", files, verb="evaluate", config={**MODEL, **given}, parents=parents)
    (words,) = commands(made, "one", "two")
    probes = ["--probes", str(made.ledger.folder(data) / "probes.jsonl")]
    settings = ["--set", "model.dtype=bfloat16", "--set", "model.template=FILE"]
    assert words == ["truing", "eval", other.short, "--model", "hf:a/b", *probes, *settings]


def test_data_needs_no_command(made: Made) -> None:
    row = {"id": "r", "prompt": "?", "chosen": "a", "rejected": "b"}
    made.data([row], "first", limit=1)
    made.data([{**row, "chosen": "c"}], "second", limit=2)
    found = differences(made.ledger, "first", "second")
    assert named(found) == [("setting", "config.limit")]
    assert (found.outcomes, found.commands, len(found.rows)) == (None, (), 1)
    with pytest.raises(InputError, match="'first' and 'smollm2-135m' are a model and an artifact that is none"):
        differences(made.ledger, "first", "smollm2-135m")


def test_rows_are_counted_and_the_first_of_each_kind_told_in_short(made: Made) -> None:
    def row(name: str, chosen: str = "Boil it.", **more: Any) -> dict[str, Any]:
        return {
            "id": name,
            "prompt": [{"role": "user", "content": f"{name}?"}],
            "chosen": chosen,
            "rejected": "No.",
            **more,
        }

    long = "How to " + "stir it " * 40
    kept, gone = [row("kept")], [row(f"gone {n}") for n in range(5)]
    before = [*kept, *gone, row("edited", annotator="ann"), row("long", long), row("tail", long + "once")]
    after = [
        *kept,
        row("edited", "Fry it.", annotator="ann"),
        row("long", "Short."),
        row("tail", long + "twice"),
        row("new", long),
    ]
    made.adapter("a", "1", made.data(before))
    made.adapter("b", "2", made.data(after))
    found = differences(made.ledger, "a", "b", first_rows=3)
    assert found.inputs == ()
    (change,) = found.rows
    assert (change.where, len(change.removed), change.added) == ("data", 5, ("new",))
    told = {(text.how, text.id): text.parts for text in found.row_texts}
    removed = [name for how, name in told if how == "removed"]
    assert removed == ["gone 0", "gone 1", "gone 2"]
    assert told["removed", "gone 0"] == (
        Change(where="prompt", a="gone 0?", b=""),
        Change(where="chosen", a="Boil it.", b=""),
        Change(where="rejected", a="No.", b=""),
    )
    assert told["changed", "edited"] == (Change(where="chosen", a="Boil it.", b="Fry it."),)
    (tail,) = told["changed", "tail"]
    assert tail.b.endswith(f"(another text from character {len(long) + 1} on)")
    for text in found.row_texts:
        for part in text.parts:
            assert len(part.a) <= RISKY_CUT
            assert len(part.b.partition(" (another text")[0]) <= RISKY_CUT
    assert differences(made.ledger, "a", "b", first_rows=0).row_texts == ()


def test_a_suite_that_was_changed_between_is_named_and_not_compared(made: Made) -> None:
    def report(sha: str, judge: str = "") -> dict[str, str]:
        metric = {"task": "tea_right", "title": "Tea", "better": "higher", "unit": "share", "aspect": None}
        settings = {"max_new_tokens": 40, "seed": 0, "ties": "strict", "grader": ""}
        told = {
            "task": "tea", "title": "Tea", "task_version": 1, "files": {"tea.toml": sha}, "rows": 1, "measured": 1,
            "bad": 0, "template": f"{sha}" * 32, "first_prompt": "", "judge": judge, "accuracy": None, "chance": "",
            "settings": settings, "versions": {"truing": sha, "torch": f"2.{sha}"}, "metrics": [metric], "figures": [],
        }  # fmt: skip
        return {"tasks.json": json.dumps([told])}

    values = {"tea_right": [1.0, 0.0], "bbq_ambiguous": [1.0]}
    made.evaluation("one", values, files=report("1"), config={"sets": "1"})
    made.evaluation("two", values, files=report("2"), config={"sets": "2"})
    found = differences(made.ledger, "one", "two")
    assert found.outcomes is not None
    assert [one.task for one in found.outcomes.comparisons] == ["bbq_ambiguous"]
    assert any(note.startswith("what tea asks was changed between the evaluations") for note in found.notes)
    others = [("version", "version of torch"), ("template", "template of tea")]
    assert named(found) == [("data", "config.sets"), *others]
    made.evaluation("three", values, files=report("1"), config={"sets": "1", "judges": "another"})
    found = differences(made.ledger, "one", "three")
    assert found.outcomes is not None
    assert [one.task for one in found.outcomes.comparisons] == ["bbq_ambiguous", "tea_right"]
    assert named(found) == [("judge", "config.judges")]
    made.evaluation("four", values, files=report("1", "somebody"), config={"sets": "1", "judges": "somebody"})
    found = differences(made.ledger, "one", "four")
    assert found.outcomes is not None
    assert [one.task for one in found.outcomes.comparisons] == ["bbq_ambiguous"]
    told = "tea: judged by a judge that is not named and somebody, so its outcomes are not compared"
    assert found.notes == (told,)


def test_answers_that_were_judged_anew_are_those_of_the_system_that_gave_them(made: Made) -> None:
    one, other = made.adapter("one", "1", lr=1), made.adapter("two", "2", lr=2)
    first = made.evaluation("eval", BEFORE, one, verb="benchmark", config={"tasks": ["bbq"]})
    files = {"items.jsonl": (made.ledger.folder(first) / "items.jsonl").read_text()}
    parents = [Parent(role="answers", artifact=first.id)]
    made.artifact("evaluation", "judged", files, verb="rejudge", config={"by": "strings"}, parents=parents)
    system = find_system(made.ledger, "judged")
    assert (system.adapter, system.model["model"]) == (one, "smollm2-135m")
    assert [each.name for each in find_system(made.ledger, "one").evaluations] == ["judged", "eval"]
    made.artifact("evaluation", "again", files, verb="rejudge", config={"by": "own.toml"}, parents=parents)
    assert named(differences(made.ledger, "judged", "again")) == [("judge", "config.by")]
    asked = ["--task", "bbq", "--data-dir", "DIR", "--judge", "strings"]
    assert commands(made, "judged", "two") == [["truing", "eval", other.short, *asked]]
