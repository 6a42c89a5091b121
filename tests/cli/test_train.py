"""What `--reward` becomes in a training step: settings stay settings, a trained model becomes a role."""

import pytest

from truing.cli.train import _policy
from truing.core.errors import InputError


def test_a_trained_model_is_a_role_alone_or_within_a_sum() -> None:
    alone = _policy("ppo", "ledger:judge", after_sft=True)
    assert list(alone) == ["sft", "ppo"]
    assert alone["ppo"] == {"verb": "ppo", "data": "comparisons", "reward_model": "ledger:judge", "start_from": "sft"}
    text = '{sum = [{name = "m", model = "ledger:judge"}, {name = "r", judge = "refusal", unknown = 0, weight = -1}]}'
    step = _policy("rloo", text, after_sft=False)["rloo"]
    assert step["reward_model"] == "ledger:judge"
    assert [part.get("model") for part in step["reward"]["sum"]] == ["reward_model", None]
    assert step["reward"]["sum"][1] == {"name": "r", "judge": "refusal", "unknown": 0.0, "weight": -1.0}


def test_without_a_trained_model_no_role_is_filled() -> None:
    step = _policy("grpo", "mine.py:score", after_sft=False)["grpo"]
    assert step == {"verb": "grpo", "data": "comparisons", "reward": {"function": "mine.py:score"}}


def test_two_trained_models_are_refused_by_name() -> None:
    text = '{sum = [{name = "a", model = "ledger:x"}, {name = "b", model = "ledger:y"}]}'
    with pytest.raises(InputError, match="may hold one trained model, and this one names ledger:x, ledger:y"):
        _policy("ppo", text, after_sft=False)
