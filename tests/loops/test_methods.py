"""Runs of one recipe with several seeds: what they share, and which evaluations make a method."""

import json
from pathlib import Path
from typing import Any

import pytest

from truing.core.errors import InputError
from truing.core.records import ItemResult, Progress
from truing.evals.artifact import read_items
from truing.evals.methods import compare_methods
from truing.ledger.artifacts import Artifact, Cost, Parent
from truing.ledger.ledger import Ledger
from truing.loops.api import run_recipe
from truing.loops.events import StepDone, StepStarted
from truing.loops.methods import method_runs
from truing.loops.verbs.dataset import read_rows

SMALL = {"epochs": 1, "batch_rows": 4, "adapter": {"rank": 2, "upper_layers": 1}}
MEASURED = {"verb": "evaluate", "data": "data", "gold_model": "gold", "max_new_tokens": 4}
STEPS: dict[str, Any] = {
    "data": {
        "verb": "dataset", "source": "rows.jsonl", "probes": "held_out", "held_out": 4, "split": "content",
        "limit": 12, "seed": 0,
    },
    "others": {
        "verb": "dataset", "source": "rows.jsonl", "probes": "", "held_out": 2, "split": "content",
        "apart_from": "data", "seed": 100,
    },
    "gold": {"verb": "reward", "data": "others", "seed": 100, **SMALL},
    "base": MEASURED,
    "sft": {"verb": "sft", "data": "data", **SMALL},
    "dpo": {"verb": "preference", "data": "data", "start_from": "sft", **SMALL},
    "sft_measured": {**MEASURED, "adapter": "sft"},
    "dpo_measured": {**MEASURED, "adapter": "dpo"},
}  # fmt: skip
SHARED = ["data", "others", "gold"]


def seeded(model: Path, seed: int, ledger: str = "ledger") -> tuple[dict[str, Artifact], dict[str, bool], set[str]]:
    """One run: its artifacts, which were reused, and the steps that computed states below the adapters."""
    made, reused, lower, step = {}, {}, set(), ""
    for record in run_recipe({"model": str(model), "seed": seed, **STEPS}, ledger):
        if isinstance(record, StepStarted):
            step = record.step
        elif isinstance(record, Progress) and record.stage == "lower layers":
            lower.add(step)
        elif isinstance(record, StepDone):
            made[record.step], reused[record.step] = record.artifact, record.reused
    return made, reused, lower


def test_runs_of_two_seeds_share_what_does_not_follow_the_seed_and_make_a_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_folder: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    rows = [{"id": f"r{n}", "prompt": f"Q{n}?", "chosen": f"Yes, {n}.", "rejected": f"No {n}!"} for n in range(20)]
    Path("rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    (first, _, lower), (second, reused, again) = (seeded(tiny_folder, seed) for seed in (0, 1))
    assert [name for name, was in reused.items() if was] == SHARED
    assert all((first[name].id == second[name].id) == (name in SHARED) for name in STEPS)
    assert {"sft", "dpo"} <= lower  # and with another seed the states below the adapters are read back
    assert again == set()
    ledger = Ledger.open("ledger")
    parts = [{row.id for part in ("train", "held_out") for row in read_rows(ledger.folder(first[name]), part)}
             for name in ("data", "others")]  # fmt: skip
    assert (len(parts[0]), len(parts[1]), parts[0] & parts[1]) == (12, 8, set())

    base = [read_items(ledger.folder(made["base"])) for made in (first, second)]
    assert base[0] == base[1]  # the same answers of the bare model, drawn once
    duels = [item for item in base[0] if item.task == "win_rate"]
    assert {item.value for item in duels} == {0.5}
    assert max(abs(item.detail["kl"] or 0) for item in duels) < 1e-4

    runs, notices = method_runs(ledger, ["base", "sft", "dpo_measured"])
    assert notices == []
    assert [(run.method, run.seed) for run in runs] == [(m, s) for m in ("base", "sft", "dpo_measured") for s in (0, 1)]
    results = {(one.method, one.measure): one for one in compare_methods(runs, "base")}
    assert {measure for _, measure in results} == {
        "preference_accuracy", "win_rate", "kl", "length", "ended", "seconds", "seconds_in_all", "peak_mb",
    }  # fmt: skip
    assert results["base", "win_rate"].mean == 0.5
    assert results["sft", "kl"].mean != 0
    own, every = (results["dpo_measured", name].mean or 0 for name in ("seconds", "seconds_in_all"))
    assert 0 < own < every  # SFT came before it
    assert (results["sft", "peak_mb"].mean or 0) > 10

    # What a step took is no part of what it is: the same in another ledger, at another speed, has the same ids.
    elsewhere, *_ = seeded(tiny_folder, 0, "elsewhere")
    assert {name: one.id for name, one in elsewhere.items()} == {name: one.id for name, one in first.items()}


class Made:
    """A ledger filled by hand: evaluations of adapters, behind them data and gold."""

    def __init__(self, folder: Path) -> None:
        self.ledger = Ledger.open(folder / ".truing")

    def commit(
        self,
        kind: str,
        name: str,
        seed: int,
        config: dict[str, Any],
        cost: Cost | None = None,
        tasks: str = "",
        **parents: Artifact,
    ) -> Artifact:
        with self.ledger.begin() as staging:
            if tasks:
                (staging / "tasks.json").write_text(tasks)
            item = ItemResult(task="refusal", item="i", cluster="i", value=float(seed % 2), prompt="?")
            (staging / "items.jsonl").write_text(item.model_dump_json() + "\n")
            return self.ledger.commit(
                staging, kind=kind, verb=kind, verb_version=1, name=name, config=config, seed=seed, cost=cost,
                parents=[Parent(role=role, artifact=parent.id) for role, parent in parents.items()],
            )  # fmt: skip

    def run(
        self, seed: int, beta: float = 0.1, tokens: int = 8, gold_seed: int = 100, cost: Cost | None = None
    ) -> Artifact:
        data = self.commit("dataset", "data", 0, {})
        gold = self.commit("reward", "gold", gold_seed, {}, Cost(seconds=1000.0, peak_mb=1))
        proxy = self.commit("reward", "proxy", seed, {}, Cost(seconds=5.0, peak_mb=1))
        ppo = self.commit("adapter", "ppo", seed, {"beta": beta}, cost, data=data, reward_model=proxy)
        return self.commit("evaluation", "measured", seed, {"tokens": tokens}, None, adapter=ppo, gold_model=gold)


@pytest.fixture
def made(tmp_path: Path) -> Made:
    return Made(tmp_path)


def test_evaluations_of_other_settings_are_left_out_and_counted_and_the_newest_says_which(made: Made) -> None:
    for seed in (0, 1):
        made.run(seed, beta=0.2)
    made.run(2, beta=0.1)
    for seed in (0, 1, 2):
        made.run(seed, beta=0.3)
    runs, notices = method_runs(made.ledger, ["ppo"])
    assert [run.seed for run in runs] == [0, 1, 2]
    assert notices == ["ppo: 3 evaluations with other settings, or older ones of a seed, left out"]
    made.ledger.touch(made.run(1, beta=0.2))
    runs, notices = method_runs(made.ledger, ["measured", "measured"])
    assert ([run.seed for run in runs], len(notices)) == ([0, 1], 1)


def test_what_a_method_stands_on_is_its_reward_model_too_and_not_what_measures_it(made: Made) -> None:
    made.run(0, cost=Cost(seconds=20.0, peak_mb=900))
    made.run(1)  # it was stopped and went on, say: nobody knows how long it took
    known, unknown = method_runs(made.ledger, ["ppo"])[0]
    assert (known.seconds, known.seconds_in_all, known.peak_mb) == (20.0, 25.0, 900)
    assert (unknown.seconds, unknown.seconds_in_all, unknown.peak_mb) == (None, None, None)


def test_another_gold_for_each_seed_or_another_way_of_measuring_is_no_comparison(made: Made) -> None:
    for seed in (0, 1):
        made.run(seed, gold_seed=seed)
    with pytest.raises(InputError, match=r"do not share one gold reward \(.*\); give its step, and the dataset"):
        method_runs(made.ledger, ["ppo"])
    bare = made.commit("evaluation", "bare", 0, {"tokens": 9})
    with pytest.raises(
        InputError, match=r"measured .* were measured with another tokens; evaluate all methods"
    ) as told:
        method_runs(made.ledger, ["measured", "bare"])
    assert bare.short in str(told.value)


def test_runs_bring_the_metrics_of_suites_and_not_truings_own(made: Made) -> None:
    metrics = [{"task": task, "title": task, "better": "higher"} for task in ("refusal", "tea_right")]
    settings = {"max_new_tokens": 40, "seed": 0, "ties": "strict", "grader": ""}
    report = {
        "task": "tea", "title": "Tea", "task_version": 1, "files": {}, "rows": 1, "measured": 1, "bad": 0,
        "template": "", "first_prompt": "", "judge": "", "accuracy": None, "chance": "", "settings": settings,
        "versions": {}, "metrics": metrics, "figures": [],
    }  # fmt: skip
    for seed in (0, 1):
        made.commit("evaluation", "bare", seed, {}, tasks=json.dumps([report]))
    runs, _ = method_runs(made.ledger, ["bare"])
    assert [[metric.task for metric in run.metrics] for run in runs] == [["tea_right"], ["tea_right"]]


def test_a_name_without_evaluation_is_refused(made: Made) -> None:
    made.run(0)
    for name in ("data", "pppo"):
        with pytest.raises(InputError, match=f"'{name}': there is no evaluation of this name, nor of an adapter"):
            method_runs(made.ledger, [name])
