"""A tiny trunk with a vocabulary of eight tokens, whose answers therefore end soon, and runs of the three trainers."""

from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Any

import torch

from tests.conftest import tiny_model
from truing.core.protocols import Reward
from truing.core.records import Answer, Conversation, Message
from truing.engine.adapters import AdapterConfig, adapter_parameters
from truing.engine.trunk import Trunk
from truing.judges.rewards import FunctionReward
from truing.train.grpo import GRPOConfig, train_grpo
from truing.train.online import OnlineDPOConfig, train_online_dpo
from truing.train.optimise import OptimiserConfig
from truing.train.policy import PolicyConfig
from truing.train.ppo import PPOConfig, train_ppo
from truing.train.records import PolicyStep
from truing.train.rloo import RLOOConfig, train_rloo
from truing.train.rollouts import RolloutConfig

END, WANTED = 7, 3
ADAPTER = AdapterConfig(rank=2, alpha=4, upper_layers=2)
ROLLOUT = RolloutConfig(prompts=3, samples=4, max_new_tokens=6, may_all_be_cut=True)
SETTINGS: dict[str, Any] = {
    "iterations": 4,
    "minibatch_prompts": 2,
    "stop_kl": None,
    "rollout": ROLLOUT,
    "adapter": ADAPTER,
    "optimiser": OptimiserConfig(learning_rate=5e-3),
}
CONFIGS: dict[str, PolicyConfig] = {
    "rloo": RLOOConfig(**SETTINGS),
    "grpo": GRPOConfig(**SETTINGS),
    "ppo": PPOConfig(**SETTINGS),
    "online": OnlineDPOConfig(**{**SETTINGS, "rollout": ROLLOUT.model_copy(update={"prompts": 6, "samples": 2})}),
}
TRAINERS: dict[str, Any] = {"rloo": train_rloo, "grpo": train_grpo, "ppo": train_ppo, "online": train_online_dpo}


class Chat:
    """A conversation is written as token ids: "1 2 4"."""

    end_id = END

    def prompt_ids(self, conversation: Conversation) -> tuple[int, ...]:
        return tuple(int(word) for word in conversation[-1].content.split())

    def text(self, ids: Sequence[int]) -> str:
        return " ".join(map(str, ids))


def asked(text: str) -> Conversation:
    return (Message(role="user", content=text),)


PROMPTS = [asked("1 2 4"), asked("1 2 5 6"), asked("2 1"), asked("4 4 1 2 0"), asked("5 0")]


def wanted(_prompt: Conversation, answer: Answer) -> float:
    """How often the wanted token is said."""
    return float(answer.token_ids.count(WANTED))


def each(function: Callable[[Conversation, Answer], Any], version: str = "1") -> FunctionReward:
    """A function of one answer as a reward."""
    return FunctionReward(lambda rows: [function(prompt, answer) for prompt, answer in rows], "test", version)


REWARD = each(wanted)


def wanted_of(rows: Any) -> list[float]:
    """`wanted`, as users write a reward."""
    return [wanted(prompt, answer) for prompt, answer in rows]


def trunk(dtype: torch.dtype = torch.float64, **changes: Any) -> Trunk:
    model = tiny_model(vocabulary=8, **changes).to(dtype)
    return Trunk.of(model, tokenizer=None, name="tiny", sha256="0" * 64)


def train(
    trainer: str, on: Trunk, reward: Reward = REWARD, changes: dict[str, Any] | None = None, **options: Any
) -> Generator[Any, None, None]:
    config = type(CONFIGS[trainer]).model_validate({**dict(CONFIGS[trainer]), **(changes or {})})
    items: Generator[Any, None, None] = TRAINERS[trainer](on, Chat(), PROMPTS, reward, config, **options)
    return items


def steps_of(items: Any) -> list[PolicyStep]:
    return [item for item in items if isinstance(item, PolicyStep)]


def weights(of: Trunk, name: str = "policy") -> list[torch.Tensor]:
    return [parameter.detach().clone() for parameter in adapter_parameters(of, name).values()]


def timeless(records: list[PolicyStep]) -> list[dict[str, Any]]:
    """Records without what differs between equal runs."""
    gone = dict.fromkeys(("tokens_per_second", "rollout_seconds", "training_seconds"))
    return [{**record.model_dump(), **gone} for record in records]


def random_adapter(on: Trunk, folder: Path) -> Path:
    """A saved adapter that changes the model."""
    from truing.engine.adapters import add_adapter, remove_adapter, save_adapter

    add_adapter(on, "random", ADAPTER, 5)
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in adapter_parameters(on, "random").values():
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64).to(parameter))
    save_adapter(on, "random", folder)
    remove_adapter(on, "random")
    return folder
