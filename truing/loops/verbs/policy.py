"""The verbs `ppo`, `rloo` and `grpo`: prompts of a dataset and a reward in; an adapter and its training curve out.

The reward is a setting, `reward` (a rule file, a function, a judge, or a weighted sum: `judges/rewards.py`), or a
trained model in the role `reward_model`, or a sum of which one part is `model = "reward_model"`.
"""

import json
from collections.abc import Callable, Collection, Generator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from truing.core.config import Config
from truing.core.errors import InputError
from truing.core.protocols import Reward
from truing.core.records import Record
from truing.judges.rewards import FunctionReward, RewardSetting, open_reward
from truing.loops.context import Context
from truing.loops.recipe import Step, StepResult
from truing.loops.verbs.dataset import read_rows
from truing.loops.verbs.reward import KIND as REWARD
from truing.loops.verbs.training import POLICY, _train, chat_of
from truing.train import grpo, ppo, rloo

ROLE = "reward_model"


class PPOSettings(ppo.PPOConfig):
    """`PPOConfig`, and the reward."""

    reward: RewardSetting | None = None


class RLOOSettings(rloo.RLOOConfig):
    """`RLOOConfig`, and the reward."""

    reward: RewardSetting | None = None


class GRPOSettings(grpo.GRPOConfig):
    """`GRPOConfig`, and the reward."""

    reward: RewardSetting | None = None


@dataclass
class PolicyGradient:
    """A verb that trains by a reward of the model's own answers, from the bare trunk or from the adapter in the role
    `start_from`, which is then the reference as well."""

    name: str
    version: int
    config: type[Config]
    train: Callable[..., Iterator[Record]]
    kind: str = "adapter"
    roles: Mapping[str, str] = field(default_factory=lambda: {"data": "dataset"})
    optional_roles: Mapping[str, str] = field(default_factory=lambda: {"start_from": "adapter", ROLE: REWARD})
    uses_model: bool = True

    def reads(self, config: Any, roles: Collection[str], _context: Context) -> Mapping[str, str]:
        """The files of the reward. Raises `InputError` unless there is one, and it can be opened."""
        return {"reward_files": open_reward(setting_of(config, roles), _unread).version}

    def run(self, step: Step, config: Any) -> Generator[Record, None, StepResult]:
        """Write the adapter and steps.jsonl, one record an iteration."""
        from truing.providers.reward import RewardModel

        yield from step.context.notices()
        trunk, ledger = step.context.trunk, step.context.ledger
        rows = read_rows(step.parent_folder("data"), "train")
        prompts = list(dict.fromkeys(row.prompt for row in rows))
        if not prompts:
            raise InputError(f"[{step.name}] there are no prompts: the dataset has no training rows")
        models: list[RewardModel] = []

        def open_model(_role: str) -> Reward:
            models.append(RewardModel(trunk, step.parent_folder(ROLE), store=ledger.store))
            return models[-1]

        reward = open_reward(setting_of(config, step.parents), open_model)
        records = self.train(
            trunk,
            chat_of(step),
            prompts,
            reward,
            config,
            seed=step.seed,
            name=POLICY,
            start_from=step.parent_folder("start_from") if "start_from" in step.parents else None,
            checkpoint=ledger.workspace(step.key) / "checkpoint.safetensors",
        )
        try:
            result = yield from _train(step, records, 0)
        finally:
            for model in models:
                model.close()
        curve = (step.folder / "steps.jsonl").read_text(encoding="utf-8").splitlines()
        last = json.loads(curve[-1]) if curve else {}  # empty where somebody took the curve away
        shown = {name: last.get(name) for name in ("reward", "kl_k1", "mean_length", "eos_rate", "coefficient")}
        return StepResult(metrics={**result.metrics, **shown, "prompts": len(prompts)})


def setting_of(config: Any, roles: Collection[str]) -> RewardSetting:
    """The reward that is meant. Raises `InputError` where there is none, or it and the role do not fit together."""
    setting: RewardSetting | None = config.reward
    filled = ROLE in roles
    if setting is None:
        if filled:
            return RewardSetting(model=ROLE)
        raise InputError(
            'needs a reward: reward = { rule = "FILE.toml" }, { function = "FILE.py:NAME" }, { judge = "refusal" } or '
            f"{{ sum = [...] }}, or {ROLE} = the name of a `reward` step"
        )
    named = setting.models()
    if strangers := named - {ROLE}:
        raise InputError(
            f'reward: model = "{min(strangers)}" must be "{ROLE}" in a recipe; fill the role {ROLE} with it'
        )
    if filled != bool(named):
        what = "is filled, and reward does not use it" if filled else "is used by reward, and not filled"
        raise InputError(
            f'the role {ROLE} {what}: write it as model = "{ROLE}" of a part, and {ROLE} = a `reward` step'
        )
    return setting


def _unread(name: str) -> Reward:
    """In place of a trained model, whose files are a parent's: the step's key has them."""
    return FunctionReward(lambda _rows: [], name, "")


POLICY_GRADIENTS = (
    PolicyGradient("ppo", ppo.VERSION, PPOSettings, ppo.train_ppo),
    PolicyGradient("rloo", rloo.VERSION, RLOOSettings, rloo.train_rloo),
    PolicyGradient("grpo", grpo.VERSION, GRPOSettings, grpo.train_grpo),
)
