"""The verbs ppo, rloo and grpo on a tiny model on disk: adapter and curve, reuse, and what is refused beforehand."""

import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from truing.cli.run import execute, prepare
from truing.core.errors import InputError
from truing.ledger.artifacts import Artifact
from truing.ledger.ledger import Ledger
from truing.train.records import PolicyStep

FAST: dict[str, Any] = {
    "data": "data",
    "reward": {"function": "rewards.py:vowels"},
    "iterations": 2,
    "rollout": {"prompts": 2, "samples": 2, "max_new_tokens": 4, "may_all_be_cut": True},
    "adapter": {"rank": 2, "upper_layers": 1},
}
DATA = {"verb": "dataset", "source": "rows.jsonl", "probes": "", "held_out": 0.0}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with rows, two of them with one prompt, and a reward."""
    monkeypatch.chdir(tmp_path)
    rows = [{"id": f"r{n}", "prompt": f"Q{n // 2}?", "chosen": f"Yes, {n}.", "rejected": f"No {n}!"} for n in range(6)]
    Path("rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    Path("rewards.py").write_text(
        "def vowels(rows):\n    return [sum(letter in 'aeiou' for letter in answer.text) for _, answer in rows]\n"
    )
    return tmp_path


def run(model: Path, steps: dict[str, Any], ledger: str = "ledger") -> dict[str, Artifact]:
    recipe, context = prepare({"model": str(model), "seed": 5, "data": DATA, **steps}, "recipe", Path(ledger))
    done = execute(recipe, context, Console(), quiet=True)
    assert context.__dict__.get("trunk") is None or context.trunk.peft is None  # the trunk is bare again
    return {name: one.artifact for name, one in done.items()}


def test_each_makes_an_adapter_with_its_curve_and_equal_inputs_make_equal_artifacts(tiny_folder: Path) -> None:
    steps = {verb: {"verb": verb, **FAST} for verb in ("ppo", "rloo", "grpo", "online_dpo")}
    made = run(tiny_folder, steps)
    again = run(tiny_folder, steps, "another")
    for verb in steps:
        artifact = made[verb]
        assert (artifact.kind, artifact.id) == ("adapter", again[verb].id)
        folder = Ledger.open(Path("ledger")).folder(artifact)
        curve = [PolicyStep.model_validate_json(line) for line in (folder / "steps.jsonl").read_text().splitlines()]
        assert [step.step for step in curve] == [1, 2]
        assert {curve[0].rollout_seconds, curve[0].training_seconds, curve[0].tokens_per_second} == {None}
        assert (folder / "adapter_model.safetensors").is_file()
        assert artifact.metrics["reward"] == curve[-1].reward
        assert artifact.metrics["prompts"] == 3


def test_it_starts_from_an_adapter_and_another_reward_is_another_step(tiny_folder: Path) -> None:
    sft = {"verb": "sft", "data": "data", "epochs": 1, "adapter": FAST["adapter"]}
    steps = {"sft": sft, "rloo": {"verb": "rloo", "start_from": "sft", **FAST}}
    first = run(tiny_folder, steps)
    assert first["rloo"].metrics["kl_k1"] != 0
    assert run(tiny_folder, steps)["rloo"].id == first["rloo"].id
    Path("rewards.py").write_text("def vowels(rows):\n    return [len(answer.text) for _, answer in rows]\n")
    assert run(tiny_folder, steps)["rloo"].id != first["rloo"].id


def test_a_trained_model_is_the_reward_and_another_reward_decides_what_is_kept(tiny_folder: Path) -> None:
    model = {"verb": "reward", "data": "data", "epochs": 1, "adapter": FAST["adapter"]}
    policy = {key: value for key, value in FAST.items() if key != "reward"}
    steps = {
        "data": {**DATA, "held_out": 0.4},
        "proxy": model,
        "rloo": {"verb": "rloo", **policy, "reward_model": "proxy", "gold": {"function": "rewards.py:vowels"}},
    }
    made = run(tiny_folder, steps)
    rloo = made["rloo"]
    assert {parent.role: parent.artifact for parent in rloo.parents}["reward_model"] == made["proxy"].id
    curve = Ledger.open(Path("ledger")).folder(rloo) / "steps.jsonl"
    golds = [PolicyStep.model_validate_json(line).gold for line in curve.read_text().splitlines()]
    assert None not in golds
    best = max(range(len(golds)), key=lambda place: (golds[place] or 0.0, -place))
    assert (rloo.metrics["kept_step"], rloo.metrics["kept_gold"]) == (best + 1, golds[best])
    parts = [{"name": "m", "model": "reward_model"}, {"name": "v", "function": "rewards.py:vowels", "weight": 0.5}]
    summed = run(tiny_folder, {**steps, "rloo": {**steps["rloo"], "reward": {"sum": parts}}})["rloo"]
    assert summed.key != rloo.key


def test_rewards_and_their_roles_must_meet(tiny_folder: Path) -> None:
    policy = {key: value for key, value in FAST.items() if key != "reward"}
    model = {"verb": "reward", "data": "data"}
    for steps, why in (
        (
            {"rloo": {"verb": "rloo", **FAST, "reward_model": "proxy"}},
            "the role reward_model is filled, and reward does",
        ),
        (
            {"rloo": {"verb": "rloo", **policy, "reward": {"model": "reward_model"}}},
            "is used by reward, and not filled",
        ),
        (
            {"rloo": {"verb": "rloo", **policy, "reward": {"model": "ledger:x"}}},
            'model = "ledger:x" must be "reward_model"',
        ),
    ):
        with pytest.raises(InputError, match=why):
            run(tiny_folder, {"proxy": model, **steps})


def test_a_reward_that_is_not_there_is_said_before_anything_runs(tiny_folder: Path) -> None:
    for where, why in (
        ("absent.py:vowels", "there is no such file"),
        ("rewards.py:consonants", "there is no function"),
    ):
        with pytest.raises(InputError, match=rf"\[rloo\] .*{why}"):
            run(tiny_folder, {"rloo": {"verb": "rloo", **FAST, "reward": {"function": where}}})
    with pytest.raises(InputError, match="needs a reward"):
        run(tiny_folder, {"rloo": {"verb": "rloo", "data": "data"}})
    assert not Path("ledger").exists()
