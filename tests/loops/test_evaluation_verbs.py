"""The verbs `evaluate`, `gate` and `report` on a tiny model: items, verdict and page say what they stand on."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from tests.engine.families import tiny
from tests.loops.tiny import byte_tokenizer
from truing.cli.run import execute, prepare
from truing.core.errors import InputError
from truing.core.records import Comparison, ItemResult, Message
from truing.data import native
from truing.data.statistics import describe
from truing.evals.artifact import read_items
from truing.ledger.artifacts import Artifact
from truing.ledger.ledger import Ledger
from truing.loops.context import Context
from truing.loops.recipe import run_recipe
from truing.loops.verbs.evaluation import benchmark_probes, summarise
from truing.loops.verbs.gating import read_gate
from truing.loops.verbs.table import VERBS
from truing.providers.local import LocalSystem

PROBES = [
    {"id": f"{group}-{n}", "group": group, "topic": f"{group} {n}", "prompt": f"{group} {n}?", **answers}
    for n in range(3)
    for group, answers in (("harmful", {}), ("benign_twin", {"chosen": "Do so.", "rejected": "No."}))
]
EVALUATE = {"verb": "evaluate", "data": "ledger:data", "max_new_tokens": 3}
RULE = {"metric": "over_refusal", "require": "no worse", "margin": 0.1}


@pytest.fixture
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ledger:
    """Holds a dataset with probes, made without the embedding model that the verb `dataset` asks."""
    monkeypatch.chdir(tmp_path)
    rows = [
        Comparison(id=f"r{n}", prompt=(Message(role="user", content=f"Q{n}?"),), chosen="Yes.", rejected="No.")
        for n in range(4)
    ]
    made = Ledger.open(tmp_path / ".truing")
    for name, probes in (("data", PROBES), ("bare", [])):
        with made.begin() as staging:
            (staging / "train.jsonl").write_text("".join(native.line(row) + "\n" for row in rows))
            (staging / "probes.jsonl").write_text("".join(json.dumps(probe) + "\n" for probe in probes))
            (staging / "statistics.json").write_text(describe(rows).model_dump_json())
            made.commit(
                staging, kind="dataset", verb="dataset", verb_version=1, name=name, config={}, parents=[], seed=0
            )
    return made


def run(ledger: Ledger, model: Path, **steps: Any) -> dict[str, Artifact]:
    recipe, context = prepare({"model": str(model), **steps}, "recipe", ledger.root)
    return {name: done.artifact for name, done in execute(recipe, context, Console(), quiet=True).items()}


def test_from_probes_to_a_page_every_artifact_says_what_it_stands_on(ledger: Ledger, tiny_folder: Path) -> None:
    training = {"batch_rows": 4, "adapter": {"rank": 2}, "epochs": 1}
    made = run(
        ledger,
        tiny_folder,
        sft={"verb": "sft", "data": "ledger:data", **training},
        base=EVALUATE,
        candidate={**EVALUATE, "adapter": "sft"},
        gate={"verb": "gate", "baseline": "base", "candidate": "candidate", "rule": [RULE]},
    )
    items = {name: read_items(ledger.folder(made[name])) for name in ("base", "candidate")}
    for side in items.values():
        assert [item.item for item in side if item.task == "refusal"] == ["harmful-0", "harmful-1", "harmful-2"]
        assert {item.task for item in side} == {"refusal", "over_refusal", "preference_accuracy", "reference_logprob"}
    # The bare model against itself prefers nothing; an adapter that was trained does.
    assert {item.value for item in items["base"] if item.task == "preference_accuracy"} == {0.5}
    assert {item.value for item in items["candidate"] if item.task == "preference_accuracy"} <= {0.0, 1.0}
    comparisons, report = read_gate(ledger.folder(made["gate"]))
    assert {comparison.task: comparison.n for comparison in comparisons}["over_refusal"] == 3
    assert made["gate"].metrics["verdict"] == report.status
    # A page of a gate that an earlier run made, in a recipe of another model: it tells of the model that was measured.
    other = run(ledger, Path("elsewhere"), page={"verb": "report", "gate": "ledger:gate"})
    page = (ledger.folder(other["page"]) / "report.html").read_text(encoding="utf-8")
    assert str(tiny_folder) in page
    assert "elsewhere" not in page
    assert made["sft"].short in page


def test_the_page_of_a_policy_gradient_run_shows_its_rounds_without_being_asked(
    ledger: Ledger, tiny_folder: Path
) -> None:
    function = "def vowels(rows):\n    return [sum(one in 'aeiou' for one in answer.text) for _, answer in rows]\n"
    Path("rewards.py").write_text(function, encoding="utf-8")
    reward = {"function": "rewards.py:vowels"}
    rollout = {"prompts": 2, "samples": 2, "max_new_tokens": 4, "may_all_be_cut": True}
    rloo = {"verb": "rloo", "data": "ledger:data", "reward": reward, "gold": reward, "iterations": 4}
    made = run(
        ledger,
        tiny_folder,
        rloo={**rloo, "rollout": rollout, "adapter": {"rank": 2}, "guard": {"block": 2, "benign_tokens": 3}},
        base=EVALUATE,
        candidate={**EVALUATE, "adapter": "rloo"},
        gate={"verb": "gate", "baseline": "base", "candidate": "candidate", "rule": [RULE]},
        page={"verb": "report", "gate": "gate"},
    )
    page = (ledger.folder(made["page"]) / "report.html").read_text(encoding="utf-8")
    assert "rloo: 4 rounds of drawing answers" in page
    assert f"kept: the policy of round {made['rloo'].metrics['kept_step']:.0f}" in page
    for panel in ("proxy reward", "gold reward", "KL (nats an answer)", "harmless refused", "√KL"):
        assert panel in page
    assert "no limit is set" in page  # the KL's state is unknown, and says why
    assert page.count("<svg") == 3  # before and after, the rounds, the rewards against √KL


def test_a_full_training_is_measured_as_an_adapter_is(ledger: Ledger, tiny_folder: Path) -> None:
    training = {"batch_rows": 4, "adapter": {"method": "full", "upper_layers": 1}, "epochs": 1}
    steps = {
        "sft": {"verb": "sft", "data": "ledger:data", **training},
        "dpo": {"verb": "preference", "data": "ledger:data", "start_from": "sft", **training},
        "candidate": {**EVALUATE, "adapter": "dpo"},
    }
    made = run(ledger, tiny_folder, **steps)
    assert {file.name for file in made["dpo"].files} == {"full.safetensors", "truing.json", "steps.jsonl"}
    items = read_items(ledger.folder(made["candidate"]))
    assert {item.value for item in items if item.task == "preference_accuracy"} <= {0.0, 1.0}


def test_settings_of_the_model_make_other_artifacts_and_its_defaults_do_not(ledger: Ledger, tiny_folder: Path) -> None:
    made = []
    for settings in ({}, {"dtype": "float32", "device": "cpu"}, {"dtype": "bfloat16"}, {"template": "plain"}):
        values = {"model": {"name": str(tiny_folder), **settings}, "base": EVALUATE}
        recipe, context = prepare(values, "recipe", ledger.root)
        made.append(execute(recipe, context, Console(), quiet=True)["base"])
    assert [done.reused for done in made] == [False, True, False, False]
    assert len({done.artifact.id for done in made}) == 3
    assert made[2].artifact.config["model_dtype"] == "bfloat16"
    with pytest.raises(InputError, match=r"recipe: \[model\] template 'chatlm': neither"):
        prepare({"model": {"name": "m", "template": "chatlm"}, "base": EVALUATE}, "recipe", ledger.root)
    with pytest.raises(InputError, match=r"recipe: \[model\]: unknown key 'dtpye'; did you mean 'dtype'\?"):
        prepare({"model": {"name": "m", "dtpye": "x"}, "base": EVALUATE}, "recipe", ledger.root)


def test_a_model_that_cannot_fork_says_so_once(
    ledger: Ledger, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tokenizer = byte_tokenizer()
    tiny("mamba", vocab_size=len(tokenizer)).float().save_pretrained(tmp_path / "mamba")
    tokenizer.save_pretrained(tmp_path / "mamba")
    sft = {
        "verb": "sft",
        "data": "ledger:data",
        "batch_rows": 4,
        "epochs": 1,
        "adapter": {"rank": 2, "upper_layers": 1},
    }
    steps = {"sft": sft, "base": EVALUATE, "candidate": {**EVALUATE, "adapter": "sft"}}
    recipe, context = prepare({"model": str(tmp_path / "mamba"), **steps}, "recipe", ledger.root)
    execute(recipe, context, Console(), quiet=False)
    assert capsys.readouterr().out.count("padded path: recurrent layers cannot fork") == 1


def test_an_evaluation_that_was_stopped_does_not_ask_again(
    ledger: Ledger, tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    sample = LocalSystem.sample

    def counted(self: LocalSystem, prompts: Any, decoding: Any) -> Iterator[Any]:
        asked.extend(prompt[-1].content for prompt in prompts)
        return sample(self, prompts, decoding)

    monkeypatch.setattr(LocalSystem, "sample", counted)
    recipe, _ = prepare({"model": str(tiny_folder), "base": EVALUATE}, "recipe", ledger.root)
    stopped: Any = run_recipe(recipe, VERBS, Context(ledger.root, recipe.model))
    first = next(record for record in stopped if isinstance(record, ItemResult))
    stopped.close()
    assert ledger.list("evaluation") == []
    asked.clear()
    records = run_recipe(recipe, VERBS, Context(ledger.root, recipe.model))
    assert sum(isinstance(record, ItemResult) for record in records) == 12
    assert sorted([first.prompt, *asked]) == sorted(probe["prompt"] for probe in PROBES)


def test_a_dataset_without_probes_measures_nothing_and_says_so(ledger: Ledger, tiny_folder: Path) -> None:
    with pytest.raises(InputError, match=r"\[base\] there is nothing to measure: the dataset has no probes"):
        run(ledger, tiny_folder, base={**EVALUATE, "data": "ledger:bare"})
    assert ledger.list("evaluation") == []


def test_a_missing_benchmark_is_refused_before_the_first_step(ledger: Ledger, tmp_path: Path) -> None:
    (tmp_path / "advbench").mkdir()
    with pytest.raises(InputError, match=r"\[base\] --benchmarks .* there is no .*advbench/advbench\.csv"):
        prepare({"base": EVALUATE}, "recipe", ledger.root, tmp_path)


def test_benchmark_prompts_are_evenly_spaced_and_none_twice(tmp_path: Path) -> None:
    for name in ("advbench", "xstest"):
        (tmp_path / name).mkdir()
    goals = "goal,target\n" + "".join(f'"goal, {n}",x\n' for n in range(10))
    (tmp_path / "advbench" / "advbench.csv").write_text(goals)
    asked = "id,prompt,type,label\n" + "".join(f"{n},ask {n},any,{'un' * (n % 2)}safe\n" for n in range(6))
    (tmp_path / "xstest" / "xstest_prompts.csv").write_text(asked)
    probes = benchmark_probes(tmp_path, 4)
    prompts = {group: [p.prompt[0].content for p in probes if p.group == group] for group in {p.group for p in probes}}
    assert prompts == {
        "advbench": ["goal, 0", "goal, 2", "goal, 5", "goal, 7"],
        "xstest_safe": ["ask 0", "ask 2", "ask 4"],
        "xstest_unsafe": ["ask 1", "ask 3", "ask 5"],
    }
    assert len({probe.id for probe in probes}) == len(probes)
    (tmp_path / "advbench" / "advbench.csv").write_text(f"{goals},x\n")
    with pytest.raises(InputError, match=r"advbench\.csv, line 12: 'goal' is missing or empty; fetch the file again"):
        benchmark_probes(tmp_path, 4)


def test_a_summary_counts_unknown_and_cut_apart_from_the_mean() -> None:
    def item(number: int, value: float | None, finished: bool) -> ItemResult:
        return ItemResult(task="t", item=str(number), cluster="", value=value, finished=finished)

    summary = summarise([item(1, 1.0, True), item(2, 0.0, False), item(3, None, True)])
    assert summary == {"t": {"mean": 0.5, "n": 3, "unknown": 1, "cut": 1}}
    assert summarise([item(1, None, False)])["t"]["mean"] is None
