"""The verbs `ppo`, `rloo`, `grpo` and `online_dpo`: prompts of a dataset and a reward in; an adapter and its training
curve out, of PPO the critic as well.

The reward is a setting, `reward` (a rule file, a function, a judge, or a weighted sum: `judges/rewards.py`), or a
trained model in the role `reward_model`, or a sum of which one part is `model = "reward_model"`. A second one, `gold`,
with its role `gold_model`, is not trained on: it decides which round's policy is kept, and whether the run is stopped
(`train/guard.py`). For the same purpose the harmless prompts of `guard.benign` are asked in every round.
"""

import json
from collections.abc import Callable, Collection, Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from truing.core.config import Config
from truing.core.digest import digest, digest_file
from truing.core.errors import InputError
from truing.core.protocols import Reward
from truing.core.records import Conversation, Record
from truing.judges.refusal import RefusalJudge
from truing.judges.rewards import FunctionReward, RewardSetting, open_reward
from truing.loops.context import Context
from truing.loops.recipe import Step, StepResult
from truing.loops.verbs.dataset import BENIGN, load_probes, read_rows
from truing.loops.verbs.kinds import REWARD
from truing.loops.verbs.training import POLICY, _train, chat_of
from truing.starter import STARTER, probe_files
from truing.train import grpo, online, ppo, rloo
from truing.train.benign import BenignSet, benign_set
from truing.train.critic import save_critic
from truing.train.guard import guard
from truing.train.records import Guarded
from truing.train.watched import GuardConfig

if TYPE_CHECKING:
    from torch.nn import Parameter

ROLES = {"reward": "reward_model", "gold": "gold_model"}


class Rewards(Config):
    """What is trained on, what is only watched, and what stops a run."""

    reward: RewardSetting | None = None
    gold: RewardSetting | None = None
    guard: GuardConfig = GuardConfig()


class PPOSettings(ppo.PPOConfig, Rewards):
    """`PPOConfig`, the rewards, and where the critic begins: by expecting 0, or as that of the adapter in the role
    `start_from`, which PPO made, had ended."""

    critic_from: Literal["start_from"] | None = None


class RLOOSettings(rloo.RLOOConfig, Rewards):
    """`RLOOConfig`, and the rewards."""


class GRPOSettings(grpo.GRPOConfig, Rewards):
    """`GRPOConfig`, and the rewards."""


class OnlineDPOSettings(online.OnlineDPOConfig, Rewards):
    """`OnlineDPOConfig`, and the rewards."""


@dataclass
class PolicyGradient:
    """A verb that trains by a reward of the model's own answers, from the bare trunk or from the adapter in the role
    `start_from`, which is then the reference as well."""

    name: str
    version: int
    config: type[Config]
    train: Callable[..., Generator[Record, None, None]]
    kind: str = "adapter"
    roles: Mapping[str, str] = field(default_factory=lambda: {"data": "dataset"})
    optional_roles: Mapping[str, str] = field(
        default_factory=lambda: {"start_from": "adapter", **dict.fromkeys(ROLES.values(), REWARD)}
    )
    uses_model: bool = True

    def reads(self, config: Any, roles: Collection[str], _context: Context) -> Mapping[str, str]:
        """The files of the rewards and of the harmless prompts. Raises `InputError` unless there is a reward, and all
        of them can be opened."""
        settings = rewards_of(config, roles)
        if "reward" not in settings:
            raise InputError(
                'needs a reward: reward = { rule = "FILE.toml" }, { function = "FILE.py:NAME" }, { judge = "refusal" } '
                f"or {{ sum = [...] }}, or {ROLES['reward']} = the name of a `reward` step"
            )
        if isinstance(config, PPOSettings) and config.critic_from is not None and "start_from" not in roles:
            raise InputError('critic_from = "start_from" needs that role: start_from = the name of a `ppo` step')
        files = {f"{name}_files": open_reward(setting, _unread).version for name, setting in settings.items()}
        if benign_prompts(config.guard):
            read = [[path.name, digest_file(path)] for path in probe_files(config.guard.benign)]
            files["benign_files"] = digest([read, RefusalJudge.version])
        return files

    def run(self, step: Step, config: Any) -> Generator[Record, None, StepResult]:
        """Write the adapter and steps.jsonl, one record an iteration; of PPO critic.safetensors."""
        yield from step.context.notices()
        workspace = step.context.ledger.workspace(step.key)
        rows = read_rows(step.parent_folder("data"), "train")
        prompts = list(dict.fromkeys(row.prompt for row in rows))
        if not prompts:
            raise InputError(f"[{step.name}] there are no prompts: the dataset has no training rows")
        start_from = step.parent_folder("start_from") if "start_from" in step.parents else None
        critic: dict[str, Parameter] = {}
        own: dict[str, Any] = {}
        if isinstance(config, PPOSettings):
            own = {"critic_from": start_from if config.critic_from else None, "critic": critic}
        ended: list[Guarded] = []
        with opened_rewards(step, config) as rewards:
            records = self.train(
                step.context.trunk,
                chat_of(step),
                prompts,
                rewards["reward"],
                config,
                seed=step.seed,
                name=POLICY,
                start_from=start_from,
                checkpoint=workspace / "checkpoint.safetensors",
                gold=rewards.get("gold"),
                benign=_benign(step.name, config.guard, set(prompts)),
                **own,
            )
            curve, best = workspace / "steps.jsonl", workspace / "best.safetensors"
            guarded = guard(records, step.context.trunk, POLICY, config.guard, config.iterations, curve, best, critic)
            result = yield from _train(step, _noting(guarded, ended), 0)
        if critic:
            save_critic(step.context.trunk, critic, config.adapter, step.folder)
        lines = (step.folder / "steps.jsonl").read_text(encoding="utf-8").splitlines()
        last = json.loads(lines[-1]) if lines else {}  # empty where somebody took the curve away
        shown = {name: last.get(name) for name in ("reward", "kl_k1", "mean_length", "eos_rate", "coefficient")}
        watched = config.iterations >= 2 * config.guard.block
        said = "; ".join(f"{one.signal}: {one.reason}" for one in ended[0].alarms) if watched else None  # unknown
        alarms = {"alarms": said}
        kept = {"kept_step": ended[0].kept_step, "kept_gold": ended[0].kept_gold} if "gold" in rewards else {}
        return StepResult(metrics={**result.metrics, **shown, **kept, **alarms, "prompts": len(prompts)})


def benign_prompts(config: GuardConfig) -> list[Conversation]:
    """The harmless prompts that are meant, none where `config.benign` is empty. Raises `InputError` where the file is
    missing, is none of probes, or has none that is harmless."""
    if not config.benign:
        return []
    for path in probe_files(config.benign):
        if not path.is_file():
            raise InputError(
                f'guard.benign = "{config.benign}": there is no such file; give the path of a file of probes, '
                f'"{STARTER}", or "" for none'
            )
    found = [probe.prompt for probe in load_probes(config.benign) if probe.group == BENIGN]
    if not found:
        raise InputError(f'guard.benign = "{config.benign}": there is no probe of the group {BENIGN}; add some')
    return found


def _benign(name: str, config: GuardConfig, trained: Collection[Conversation]) -> BenignSet | None:
    """The harmless prompts as the trainers ask them. Raises `InputError` where one of them is trained on."""
    prompts = benign_prompts(config)
    for prompt in prompts:
        if prompt in trained:
            raise InputError(
                f"[{name}] guard.benign: {prompt[-1].content[:60]!r} is also trained on, and its answers would say "
                "little; leave it out of one of the two"
            )
    return benign_set(prompts, RefusalJudge(), config.benign_prompts, config.benign_tokens) if prompts else None


def _noting(records: Iterator[Record], ended: list[Guarded]) -> Iterator[Record]:
    for record in records:
        if isinstance(record, Guarded):
            ended.append(record)
        yield record


@contextmanager
def opened_rewards(step: Step, config: Any) -> Iterator[dict[str, Reward]]:
    """The step's rewards by name; trained ones stand on its trunk for as long."""
    from truing.providers.reward import RewardModel

    models: list[RewardModel] = []

    def open_model(role: str) -> Reward:
        store = step.context.ledger.store
        models.append(RewardModel(step.context.trunk, step.parent_folder(role), name=role, store=store))
        return models[-1]

    try:
        settings = rewards_of(config, step.parents)
        yield {name: open_reward(setting, open_model) for name, setting in settings.items()}
    finally:
        for model in models:
            model.close()


def rewards_of(config: Rewards, roles: Collection[str]) -> dict[str, RewardSetting]:
    """The rewards that are meant: a setting, or the model in its role. Raises `InputError` where the two do not fit
    together."""
    found = {}
    for name, role in ROLES.items():
        setting: RewardSetting | None = getattr(config, name)
        if setting is None and role in roles:
            setting = RewardSetting(model=role)
        if setting is None:
            continue
        if strangers := setting.models() - {role}:
            raise InputError(f'{name}: model = "{min(strangers)}" must be "{role}" in a recipe; fill that role with it')
        if (role in roles) != bool(setting.models()):
            what = f"is filled, and {name} does not use it" if role in roles else f"is used by {name}, and not filled"
            raise InputError(f'the role {role} {what}: write model = "{role}" in a part, and {role} = a `reward` step')
        found[name] = setting
    return found


def _unread(name: str) -> Reward:
    """In place of a trained model, whose files are a parent's: the step's key has them."""
    return FunctionReward(lambda _rows: [], name, "")


PPO = PolicyGradient("ppo", ppo.VERSION, PPOSettings, ppo.train_ppo)
RLOO = PolicyGradient("rloo", rloo.VERSION, RLOOSettings, rloo.train_rloo)
GRPO = PolicyGradient("grpo", grpo.VERSION, GRPOSettings, grpo.train_grpo)
ONLINE_DPO = PolicyGradient("online_dpo", online.VERSION, OnlineDPOSettings, online.train_online_dpo)
