"""The verbs `ppo`, `rloo` and `grpo`: prompts of a dataset and a reward in; an adapter and its training curve out.

The reward is a Python function, named by the setting `reward_function` as FILE.py:NAME or module:NAME. It takes rows of
(conversation, answer) and returns a list with a number for each.
"""

import json
from collections.abc import Callable, Collection, Generator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from truing.core.config import Config
from truing.core.errors import InputError
from truing.core.records import Record
from truing.loops.context import Context
from truing.loops.recipe import Step, StepResult
from truing.loops.verbs.dataset import read_rows
from truing.loops.verbs.training import POLICY, _train
from truing.train import grpo, ppo, rloo
from truing.train.rewards import load_function


class PPOSettings(ppo.PPOConfig):
    """`PPOConfig`, and where the reward comes from."""

    reward_function: str


class RLOOSettings(rloo.RLOOConfig):
    """`RLOOConfig`, and where the reward comes from."""

    reward_function: str


class GRPOSettings(grpo.GRPOConfig):
    """`GRPOConfig`, and where the reward comes from."""

    reward_function: str


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
    optional_roles: Mapping[str, str] = field(default_factory=lambda: {"start_from": "adapter"})
    uses_model: bool = True

    def reads(self, config: Any, _roles: Collection[str], _context: Context) -> Mapping[str, str]:
        """The file of the reward function. Raises `InputError` unless it can be imported and has the function."""
        return {"reward": load_function(config.reward_function).version}

    def run(self, step: Step, config: Any) -> Generator[Record, None, StepResult]:
        """Write the adapter and steps.jsonl, one record an iteration."""
        from truing.engine.chat import Chat

        yield from step.context.notices()
        trunk, ledger = step.context.trunk, step.context.ledger
        rows = read_rows(step.parent_folder("data"), "train")
        prompts = list(dict.fromkeys(row.prompt for row in rows))
        if not prompts:
            raise InputError(f"[{step.name}] there are no prompts: the dataset has no training rows")
        records = self.train(
            trunk,
            Chat(trunk.tokenizer, trunk.context),
            prompts,
            load_function(config.reward_function),
            config,
            seed=step.seed,
            name=POLICY,
            start_from=step.parent_folder("start_from") if "start_from" in step.parents else None,
            checkpoint=ledger.workspace(step.key) / "checkpoint.safetensors",
        )
        result = yield from _train(step, records, 0)
        curve = (step.folder / "steps.jsonl").read_text(encoding="utf-8").splitlines()
        last = json.loads(curve[-1]) if curve else {}  # empty where somebody took the curve away
        shown = {name: last.get(name) for name in ("reward", "kl_k1", "mean_length", "eos_rate", "coefficient")}
        return StepResult(metrics={**result.metrics, **shown, "prompts": len(prompts)})


POLICY_GRADIENTS = (
    PolicyGradient("ppo", ppo.VERSION, PPOSettings, ppo.train_ppo),
    PolicyGradient("rloo", rloo.VERSION, RLOOSettings, rloo.train_rloo),
    PolicyGradient("grpo", grpo.VERSION, GRPOSettings, grpo.train_grpo),
)
