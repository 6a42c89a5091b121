"""Answers judged by a judge of one's choice: none is drawn again; figures, lineage and unknowns are the judge's."""

import dataclasses
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from tests.evals.tasks.conftest import write_csv
from tests.evals.tasks.test_harmful import behaviours, goals
from tests.loops.test_judge_verb import FAST, write
from truing.cli.run import execute, prepare
from truing.core.errors import InputError
from truing.core.records import Conversation, ItemResult, Outcome
from truing.data.labelled import XSTEST
from truing.evals.artifact import metrics_of, read_items, read_reports
from truing.evals.tasks.advbench import ADVBENCH
from truing.judges.agreement import Validation, agreement_of, validate
from truing.judges.validate import JudgeAccuracy
from truing.ledger.artifacts import Artifact
from truing.ledger.ledger import Ledger
from truing.loops import judges
from truing.loops.judges import Asking, NamedJudge, is_trained, open_judge
from truing.loops.systems import answered_by
from truing.loops.validation import find_validation, keep_validation, validate_named
from truing.loops.verbs.benchmark import figures_of
from truing.providers.local import LocalSystem

EVAL = {"verb": "benchmark", "tasks": ["advbench", "harmbench"], "max_new_tokens": 4}


@pytest.fixture(autouse=True)
def sets(tmp_path: Path) -> Path:
    write_csv(tmp_path / "sets/advbench/advbench.csv", goals(6))
    write_csv(tmp_path / "sets/harmbench/behaviors_text_test.csv", behaviours())
    return tmp_path / "sets"


def run(here: Path, tiny: Path, **steps: dict[str, Any]) -> Artifact:
    """The last step's artifact."""
    values = {"name": "r", "model": {"name": str(tiny)}, **steps}
    recipe, prepared = prepare(values, "test", here / "ledger", here / "sets")
    made: Artifact = list(execute(recipe, prepared, Console(stderr=True), quiet=True).values())[-1].artifact
    return made


class Coin:
    """A judge by a coin. It counts what it was shown."""

    version = "coin-1"

    def __init__(self) -> None:
        self.random = np.random.default_rng(0)
        self.shown: list[str] = []

    def judge(self, prompt: Conversation, _answer: str) -> Outcome:
        self.shown.append(prompt[0].content)
        return Outcome(value=float(self.random.integers(2)), reason="a coin", detail={"side": 1.0})


def named(monkeypatch: pytest.MonkeyPatch, judge: Any, question: Any, accuracy: JudgeAccuracy | None = None) -> None:
    """Have every name mean this judge."""
    made = NamedJudge("made up", judge, question, accuracy=accuracy)
    for module in ("truing.loops.verbs.rejudge.open_judge", "truing.loops.judges.open_judge"):
        monkeypatch.setattr(module, lambda *_: made)


def test_a_tasks_own_judge_named_gives_its_own_items_and_nobody_is_asked_again(
    tmp_path: Path, tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = {**EVAL, "tasks": ["advbench"]}
    first = run(tmp_path, tiny_folder, eval=step)
    monkeypatch.setattr(LocalSystem, "sample", lambda *_: pytest.fail("an answer was drawn again"))
    made = run(tmp_path, tiny_folder, eval=step, judged={"verb": "rejudge", "answers": "eval", "by": "refusal"})
    ledger = Ledger.open(tmp_path / "ledger")
    assert read_items(ledger.folder(made)) == read_items(ledger.folder(first))
    (ours,), (theirs,) = (read_reports(ledger.folder(one)) for one in (first, made))
    assert theirs.figures == ours.figures
    assert made.kind == "evaluation"
    assert [(parent.role, parent.artifact) for parent in made.parents] == [("answers", first.id)]
    assert made.metrics["judge"] == "refusal-strings-3"
    assert made.metrics["judge_sensitivity"] == pytest.approx(241 / 274)
    assert str(made.metrics["judge_measured_on"]).startswith("XSTest")
    assert answered_by(ledger, made) == ledger.get(first.id)


def test_what_no_judge_can_tell_stays_unknown_and_is_not_shown(
    tmp_path: Path, tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    coin = Coin()
    named(monkeypatch, coin, "harm")
    step = {**EVAL, "tasks": ["harmbench"]}
    made = run(tmp_path, tiny_folder, eval=step, judged={"verb": "rejudge", "answers": "eval", "by": "refusal"})
    items = read_items(Ledger.open(tmp_path / "ledger").folder(made))
    recited = [item for item in items if item.detail["category"] == 2]
    assert [item.reason for item in recited] == ["the text under copyright is not at hand to compare with"]
    others = [item for item in items if item.answer.strip() and item.detail["category"] != 2]
    assert {item.reason for item in others} == {"a coin"}
    assert others[0].detail == {"category": 0.0, "side": 1.0}
    assert sorted(coin.shown) == sorted(item.prompt for item in others)


def test_a_judge_that_is_no_better_than_a_coin_corrects_nothing_and_says_so() -> None:
    """The negative control: verdicts by a coin, held against labels that were shuffled, too."""
    random = np.random.default_rng(1)
    labels = [bool(one) for one in random.permutation([True] * 200 + [False] * 200)]
    verdicts = [float(one) for one in random.permutation([1.0] * 200 + [0.0] * 200)]
    found = agreement_of("coin", "shuffled", verdicts, labels, range(400))
    assert 0.4 < (found.agreement.value or 0) < 0.6
    low, high = found.kappa.low, found.kappa.high
    assert low is not None
    assert high is not None
    assert low < 0 < high
    items = [
        ItemResult(task="advbench", item=f"{n}", cluster=f"{n}", value=float(n % 2), answer="A") for n in range(100)
    ]
    coin = JudgeAccuracy(data="a coin", hits=100, misses=100, rejections=100, false_alarms=100)
    by_coin = dataclasses.replace(ADVBENCH, accuracy=coin)
    (_, corrected) = figures_of(by_coin, items)
    assert corrected.value is None
    assert corrected.note == "the judge is no better than a coin there: nothing can be corrected"
    assert "transferred" in corrected.title


def test_a_trained_judge_and_its_validation_are_in_the_lineage(tmp_path: Path, tiny_folder: Path, sets: Path) -> None:
    write(tmp_path / "labels")
    shutil.copytree(tmp_path / "labels/xstest", sets / "xstest")
    step = {**EVAL, "tasks": ["advbench"]}
    trained = run(tmp_path, tiny_folder, mine=FAST)
    one = open_judge("mine", tmp_path / "ledger", Asking())
    kept = keep_validation(tmp_path / "ledger", one, XSTEST, sets, whole(validate_named(one, XSTEST, sets)))
    found = find_validation(tmp_path / "ledger", open_judge("ledger:mine", tmp_path / "ledger", Asking()))
    assert found == kept
    assert kept.parents[0].artifact == trained.id
    judged = {"verb": "rejudge", "answers": "eval", "judge": "ledger:mine", "validation": f"ledger:{kept.id}"}
    made = run(tmp_path, tiny_folder, eval=step, judged=judged)
    assert {parent.role for parent in made.parents} == {"answers", "judge", "validation"}
    assert made.metrics["judge"] == one.judge.version
    assert made.metrics["judge_agreement"] == pytest.approx(kept.metrics["agreement"])
    other = {"verb": "rejudge", "answers": "eval", "by": "refusal", "validation": f"ledger:{kept.id}"}
    with pytest.raises(InputError, match="the validation is of the judge refusal-states-1"):
        run(tmp_path, tiny_folder, eval=step, judged=other)


def whole(generator: Iterator[Any]) -> Validation:
    while True:
        try:
            next(generator)
        except StopIteration as end:
            found: Validation = end.value
            return found


def test_another_judges_evaluation_is_not_compared_with_it(tmp_path: Path, tiny_folder: Path, sets: Path) -> None:
    (sets / "rubric.toml").write_text('criterion = "Refused?"\nquestion = "refusal"\nread = "logprobs"\n')
    step = {**EVAL, "tasks": ["advbench"]}
    by_model = {
        "verb": "rejudge",
        "answers": "eval",
        "by": str(sets / "rubric.toml"),
        "judge_model": {"name": str(tiny_folder)},
    }
    made = run(tmp_path, tiny_folder, eval=step, judged=by_model)
    ledger = Ledger.open(tmp_path / "ledger")
    folders = [ledger.folder(one) for one in (ledger.get("eval"), made)]
    with pytest.raises(
        InputError, match="advbench: the evaluations were judged by refusal-strings-3 and rubric-logprobs"
    ):
        metrics_of(*folders)
    assert metrics_of(folders[0], folders[0]) == metrics_of(folders[1])
    (report,) = read_reports(folders[1])
    assert report.accuracy is None
    assert [figure.name for figure in report.figures] == ["advbench"], "nothing is known by which to correct"
    again = run(tmp_path, tiny_folder, eval=step, judged=by_model)
    assert again.id == made.id
    (sets / "rubric.toml").write_text('criterion = "Declined?"\nquestion = "refusal"\nread = "logprobs"\n')
    assert run(tmp_path, tiny_folder, eval=step, judged=by_model).id != made.id


@pytest.mark.parametrize(
    ("judge", "task", "message"),
    [
        (
            {"by": "refusal"},
            "harmbench",
            "harmbench asks whether an answer does the harm .* it can judge xstest, advbench",
        ),
        (
            {"by": "not-refused"},
            "advbench",
            "answers whether an answer does the harm that was asked for; it can judge harm",
        ),
        ({}, "advbench", "name the judge either by `by` or, a trained one, by `judge`"),
        ({"by": "mine"}, "advbench", "a trained one is named by `judge`"),
        ({"by": "none.toml"}, "advbench", "none.toml: there is no such file"),
        ({"by": "harmbench-cls:x"}, "harmbench", "give the form of its prompt"),
        ({"by": "refusal", "template": "x.toml"}, "advbench", "the judge refusal is none; leave it out"),
        ({"by": "strongreject", "judge_model": {"name": "openai:x"}}, "advbench", "name a local model"),
    ],
)
def test_a_judge_that_does_not_fit_is_named(
    tmp_path: Path, tiny_folder: Path, judge: dict[str, Any], task: str, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        run(
            tmp_path,
            tiny_folder,
            eval={**EVAL, "tasks": [task]},
            judged={"verb": "rejudge", "answers": "eval", **judge},
        )


def test_every_name_says_whether_it_is_a_trained_judges() -> None:
    told = ("refusal", "not-refused", "strongreject", "a.toml", "harmbench-cls:x")
    assert not any(is_trained(name) for name in told)
    assert is_trained("harm_judge")
    assert is_trained("ledger:refusals")
    assert judges.LEDGER == "ledger:"


def test_validation_knows_the_labels_it_was_held_against() -> None:
    """The control to every kept validation: labels that are the verdicts agree wholly, their opposite not at all."""
    labels = [True, False] * 10
    right, wrong = (
        agreement_of("j", "d", [float(one == good) for one in labels], labels, range(20)).agreement.value
        for good in (True, False)
    )
    assert (right, wrong) == (1.0, 0.0)
    assert validate.__name__ == "validate"
