"""The verbs ppo, rloo and grpo on a tiny model on disk: adapter and curve, reuse, and what is refused beforehand."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

from truing.cli.app import main
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


def steps_of(artifact: Artifact) -> list[PolicyStep]:
    curve = Ledger.open(Path("ledger")).folder(artifact) / "steps.jsonl"
    return [PolicyStep.model_validate_json(line) for line in curve.read_text().splitlines()]


def weights(artifact: Artifact) -> bytes:
    return (Ledger.open(Path("ledger")).folder(artifact) / "adapter_model.safetensors").read_bytes()


def test_ppo_leaves_its_critic_beside_an_adapter_that_plain_peft_loads(
    tiny_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from peft import PeftModel
    from safetensors.torch import load_file
    from transformers import AutoModelForCausalLM

    shared = {**FAST, "verb": "ppo", "critic": "shared"}
    made = run(tiny_folder, {"ppo": {"verb": "ppo", **FAST}, "shared": shared, "rloo": {"verb": "rloo", **FAST}})
    files = {name: {file.name for file in artifact.files} for name, artifact in made.items()}
    assert files["ppo"] - files["rloo"] == files["shared"] - files["rloo"] == {"critic.safetensors"}
    folder = Ledger.open(Path("ledger")).folder(made["ppo"])
    assert {"head.weight", "head.bias"} < load_file(folder / "critic.safetensors").keys()
    plain = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(tiny_folder), str(folder))
    kept = load_file(folder / "adapter_model.safetensors")
    loaded = dict(plain.named_parameters())
    assert all(torch.equal(loaded[name.replace(".weight", ".default.weight")], kept[name]) for name in kept)
    for words in (["show", "ppo"], ["trace", "ppo"], ["verify"]):
        monkeypatch.setattr(sys, "argv", ["truing", "--ledger", "ledger", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == 0
    assert "critic.safetensors" in capsys.readouterr().out


def test_a_later_ppo_goes_on_with_the_critic_of_an_earlier_one_if_it_is_told_to(tiny_folder: Path) -> None:
    steps = {
        "first": {"verb": "ppo", **FAST},
        "anew": {"verb": "ppo", **FAST, "start_from": "first"},
        "on": {"verb": "ppo", **FAST, "start_from": "first", "critic_from": "start_from"},
        "shared": {"verb": "ppo", **FAST, "start_from": "first", "critic_from": "start_from", "critic": "shared"},
    }
    made = run(tiny_folder, {name: steps[name] for name in ("first", "anew", "on")})
    anew, on = steps_of(made["anew"])[0], steps_of(made["on"])[0]
    assert anew.reward == on.reward
    assert anew.value_loss != on.value_loss
    with pytest.raises(InputError, match='it has an adapter of its own; set critic = "adapter"'):
        run(tiny_folder, {name: steps[name] for name in ("first", "shared")})
    sft = {"verb": "sft", "data": "data", "epochs": 1, "adapter": FAST["adapter"]}
    with pytest.raises(InputError, match=r"neither critic\.safetensors"):
        run(tiny_folder, {"sft": sft, "ppo": {**steps["on"], "start_from": "sft"}})
    alone = {"verb": "ppo", **FAST, "critic_from": "start_from"}
    with pytest.raises(InputError, match=r"\[ppo\] critic_from = .* needs that role"):
        run(tiny_folder, {"ppo": alone}, "untouched")
    assert not Path("untouched").exists()


def test_harmless_prompts_are_asked_by_default_and_change_nothing_but_what_is_known(tiny_folder: Path) -> None:
    quiet = {**FAST, "guard": {"benign": ""}}
    few = {**FAST, "guard": {"benign_prompts": 3, "benign_tokens": 2}}
    steps = {name: {"verb": "rloo", **one} for name, one in (("asked", FAST), ("quiet", quiet), ("few", few))}
    made = run(tiny_folder, steps)
    assert [step.benign_answers for step in steps_of(made["asked"])] == [8, 8]
    assert [step.benign_answers for step in steps_of(made["few"])] == [3, 3]
    assert {(step.benign_answers, step.benign_refused) for step in steps_of(made["quiet"])} == {(0, None)}
    assert len({weights(made[name]) for name in steps}) == 1
    assert "benign_files" in made["asked"].config
    assert "benign_files" not in made["quiet"].config


def test_another_file_of_harmless_prompts_is_another_step_and_a_wrong_one_is_named(tiny_folder: Path) -> None:
    def step(file: str) -> dict[str, Any]:
        return {"rloo": {"verb": "rloo", **FAST, "guard": {"benign": file}}}

    def write(*rows: tuple[str, str]) -> None:
        probes = [{"id": f"p{n}", "group": group, "topic": "t", "prompt": text} for n, (group, text) in enumerate(rows)]
        Path("own.jsonl").write_text("".join(json.dumps(probe) + "\n" for probe in probes), encoding="utf-8")

    write(("benign_twin", "Harmless?"), ("harmful", "Q1?"))
    first = run(tiny_folder, step("own.jsonl"))["rloo"]
    assert steps_of(first)[0].benign_answers == 8
    write(("benign_twin", "Harmless!"), ("harmful", "Q1?"))
    assert run(tiny_folder, step("own.jsonl"))["rloo"].id != first.id
    with pytest.raises(InputError, match=r'\[rloo\] guard\.benign = "absent\.jsonl": there is no such file'):
        run(tiny_folder, step("absent.jsonl"))
    write(("harmful", "Q1?"))
    with pytest.raises(InputError, match=r'guard\.benign = "own\.jsonl": there is no probe of the group benign_twin'):
        run(tiny_folder, step("own.jsonl"))
    write(("benign_twin", "Q1?"))
    with pytest.raises(InputError, match=r"\[rloo\] guard\.benign: 'Q1\?' is also trained on"):
        run(tiny_folder, step("own.jsonl"))


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
