"""truing's side: its own trainers, advanced one record at a time, and its own generation.

PPO and RLOO are given their answers: the trainer asks for them where it would draw them. All else is the trainer's:
scoring, the reference's and the critic's passes, advantages, minibatches and AdamW.
"""

import json
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ours import Operations, matrix_rate, tokens_of
from prepare import (
    ALL_LAYERS,
    ANSWERS,
    EPOCHS,
    LONGEST_ANSWER,
    MICRO,
    MINIBATCH,
    PAIRS,
    SAMPLES,
    Prepare,
    conversation,
    drawn,
)  # fmt: skip
from rows import pairs
from safetensors.torch import save_file
from torch.optim.optimizer import register_optimizer_step_pre_hook
from worker import serve

from truing.core.records import Conversation, Decoding
from truing.engine import generate as engine
from truing.engine.adapters import adapter_parameters, copy_weights, load_adapter, remove_adapter, use_adapter
from truing.engine.chat import Chat
from truing.engine.sampling import Generated
from truing.engine.scalar import ends, load_head, values_at
from truing.engine.tree import TokenSequence, build_forest
from truing.engine.trunk import Trunk
from truing.providers.reward import RewardModel
from truing.train import rollouts
from truing.train.grpo import GRPOConfig, train_grpo
from truing.train.optimise import OptimiserConfig
from truing.train.policy import KLConfig
from truing.train.ppo import PPOConfig, train_ppo
from truing.train.records import PolicyStep, RewardStep
from truing.train.reward import Judged, RewardConfig, train_reward
from truing.train.rloo import RLOOConfig, train_rloo
from truing.train.rollouts import RolloutConfig, prompts_of
from truing.train.rows import schedule

TOKENS = 1024  # a micro-batch


class Reward:
    """The reward model's step: `train_reward`."""

    def __init__(self, trunk: Trunk, file: Path, work: Path) -> None:
        self.trunk, self.saved = trunk, work / "reward"
        chat = Chat(trunk.tokenizer, trunk.context, score_tail=True)  # TRL reads the template's newline
        self.pairs = [Judged(*tokens_of(chat, row)) for row in pairs(file, PAIRS)]
        self.records: Any = None

    def plan(self, steps: int) -> list[dict[str, Any]]:
        """What each step is asked: the numbers of its pairs."""
        return [{"rows": rows} for _, _, rows in schedule(range(PAIRS), 1, MICRO, seed=0)][:steps]

    def check(self, rows: list[int], save_to: str) -> None:
        """Write rewards and gradient of the trainer's first step over these pairs, from the saved model."""
        head = load_head(self.trunk, self.saved)
        pairs = [self.pairs[row] for row in rows]
        config = RewardConfig(
            batch_rows=len(pairs), microbatch_tokens=1_000_000, adapter=ALL_LAYERS, optimiser=_not_moving()
        )
        gradients = _caught(self.trunk, "check", head.parameters())
        records = train_reward(self.trunk, head, pairs, config, name="check", start_from=self.saved)
        next(records)  # the adapter is there
        sides = ([pair.chosen for pair in pairs], [pair.rejected for pair in pairs])
        forest = build_forest([sequence for side in sides for sequence in side])
        with torch.no_grad():
            rewards = values_at(self.trunk, head, forest, ends(forest))
        list(records)
        remove_adapter(self.trunk, "check")
        del gradients["head.bias"]  # it moves both rewards of a pair alike; the other side has none
        save_file({"rewards": rewards, **gradients}, save_to)

    def begin(self, steps: int) -> dict[str, Any]:
        """Up to the first step."""
        del steps
        config = RewardConfig(batch_rows=MICRO, adapter=ALL_LAYERS, optimiser=OptimiserConfig(learning_rate=1e-5))
        head = load_head(self.trunk, self.saved)
        self.records = train_reward(self.trunk, head, self.pairs, config, start_from=self.saved)
        return {"microbatch_tokens": next(self.records).microbatch_tokens}

    def step(self, rows: list[int]) -> dict[str, Any]:
        """The trainer's next step: its seconds, tokens and operations."""
        forest = build_forest([one for row in rows for one in (self.pairs[row].chosen, self.pairs[row].rejected)])
        started = time.perf_counter()
        record = next(self.records)
        seconds = time.perf_counter() - started
        assert isinstance(record, RewardStep), record
        needed = Operations(self.trunk, forest).forward_and_backward
        return {"seconds": seconds, "tokens": len(forest), "operations": needed}


class Policy:
    """An iteration of PPO, RLOO or GRPO on given answers: `train_ppo`, `train_rloo`, `train_grpo`."""

    def __init__(self, trunk: Trunk, work: Path, kind: str) -> None:
        self.trunk, self.work, self.kind = trunk, work, kind
        self.chat = Chat(trunk.tokenizer, trunk.context)
        self.samples = SAMPLES[kind]
        self.prompts = ANSWERS // self.samples
        self.groups = json.loads((work / "given.json").read_text())["groups"][str(self.samples)]
        self.records: Any = None
        rollouts.generate = self._given

    def plan(self, steps: int) -> list[dict[str, Any]]:
        """What each iteration is asked: the numbers of its prompts, and for each epoch the order of its answers."""
        found = []
        for iteration in range(steps):
            orders = [np.random.default_rng([0, iteration, epoch]).permutation(self.prompts) for epoch in range(EPOCHS)]
            answers = [
                [int(group) * self.samples + one for group in order for one in range(self.samples)] for order in orders
            ]
            found.append({"prompts": prompts_of(len(self.groups), iteration, self.prompts, seed=0), "orders": answers})
        return found

    def check(self, prompts: list[int], orders: list[list[int]], save_to: str) -> None:
        """Write the gradient of the first update on the answers to these prompts, from the saved policy."""
        del orders
        gradients = _caught(self.trunk, "check", {})
        records = self._grouped(prompts, 1, "check", _not_moving())
        next(records)
        copy_weights(self.work / "policy", self.trunk, "check")
        list(records)
        remove_adapter(self.trunk, "check")
        save_file(gradients, save_to)

    def begin(self, steps: int) -> dict[str, Any]:
        """Up to the first iteration."""
        if self.kind in ("rloo", "grpo"):
            everything = list(range(len(self.groups)))
            self.records = self._grouped(everything, steps, "policy", OptimiserConfig(learning_rate=1e-5))
        else:
            asked = [conversation(group["prompt"]) for group in self.groups]
            config = PPOConfig(
                **{**self._common(steps), "minibatch_prompts": MINIBATCH // self.samples}, epochs=EPOCHS,
                critic="shared" if self.kind == "ppo-shared" else "adapter",
                optimiser=OptimiserConfig(learning_rate=1e-5),
            )  # fmt: skip
            reward = RewardModel(self.trunk, self.work / "reward")
            self.records = train_ppo(self.trunk, self.chat, asked, reward, config)
        settled = next(self.records)
        copy_weights(self.work / "policy", self.trunk, "policy")
        return {"microbatch_tokens": settled.microbatch_tokens}

    def _grouped(self, prompts: list[int], steps: int, name: str, optimiser: OptimiserConfig) -> Any:
        """RLOO, or GRPO in the form that both sides have: no division by the group's deviation (TRL's is the sample's,
        plus 1e-4) and no divergence (its gradient is another one here)."""
        common = {**self._common(steps), "epochs": 1, "optimiser": optimiser}
        asked = [conversation(self.groups[number]["prompt"]) for number in prompts]
        if self.kind == "rloo":
            return train_rloo(self.trunk, self.chat, asked, self, RLOOConfig(**common), name=name)
        config = GRPOConfig(**{**common, "kl": KLConfig(coefficient=0.0)}, divide_by_std=False)
        return train_grpo(self.trunk, self.chat, asked, self, config, name=name)

    def step(self, prompts: list[int], orders: list[list[int]]) -> dict[str, Any]:
        """The trainer's next iteration: its seconds, tokens and operations, mean divergence and score."""
        del orders
        started = time.perf_counter()
        record = next(one for one in self.records if isinstance(one, PolicyStep))
        seconds = time.perf_counter() - started
        found = {"seconds": seconds, "tokens": record.tokens, "operations": self._operations(prompts)}
        return {**found, "numbers": {"kl": record.kl_k1, "score": record.reward}}

    version = "given"

    def score(self, rows: Sequence[tuple[Conversation, Any]]) -> list[float]:
        """The reward of RLOO and GRPO: the scores that came with the answers."""
        known = {
            (conversation(group["prompt"]), tuple(answer[:-1])): score
            for group in self.groups for answer, score in zip(group["answers"], group["scores"], strict=True)
        }  # fmt: skip
        return [known[prompt, answer.token_ids] for prompt, answer in rows]

    def _given(
        self, _trunk: Trunk, prompts: Sequence[tuple[int, ...]], _decoding: Decoding, _end_id: int
    ) -> Iterator[tuple[int, Generated]]:
        """In place of `generate`."""
        groups = {tuple(group["ids"]): group for group in self.groups}
        taken: Counter[tuple[int, ...]] = Counter()
        for number, ids in enumerate(prompts):
            answer, logprobs = (groups[ids][key][taken[ids]] for key in ("answers", "logprobs"))
            taken[ids] += 1
            yield number, Generated(tuple(answer[:-1]), tuple(logprobs), True, float("inf"))

    def _common(self, iterations: int) -> dict[str, Any]:
        return {
            "iterations": iterations, "minibatch_prompts": self.prompts, "stop_kl": None, "microbatch_tokens": TOKENS,
            "rollout": RolloutConfig(prompts=self.prompts, samples=self.samples, max_new_tokens=LONGEST_ANSWER),
            "kl": KLConfig(coefficient=0.05), "adapter": ALL_LAYERS,
        }  # fmt: skip

    def _operations(self, prompts: list[int]) -> float:
        """The reference's pass and the policy's; with PPO the reward model's and the critic's as well."""
        total = 0.0
        for number in prompts:
            ids, answers = self.groups[number]["ids"], self.groups[number]["answers"]
            one = Operations(self.trunk, build_forest([TokenSequence((*ids, *answer), len(ids)) for answer in answers]))
            policy = one.forward_and_backward + 2 * one.head
            total += one.forward + one.head + one.head  # the reference's log-probabilities; entropies, once
            if self.kind in ("rloo", "grpo"):
                total += policy
            else:
                critic = 0.0 if self.kind == "ppo-shared" else one.forward_and_backward
                total += 2 * one.forward + EPOCHS * (policy + critic)
        return total


class Drawing:
    """Generation with continuous batching, by the policy."""

    def __init__(self, trunk: Trunk, work: Path) -> None:
        self.trunk, self.chat = trunk, Chat(trunk.tokenizer, trunk.context)
        self.asked = json.loads((work / "given.json").read_text())["drawing"]
        load_adapter(trunk, work / "policy", "policy")

    def plan(self, steps: int) -> list[dict[str, Any]]:
        """What each step is asked: a seed."""
        return [{"seed": seed} for seed in range(steps)]

    def begin(self, steps: int) -> dict[str, Any]:
        """Nothing is to be done."""
        del steps
        return {"slots": engine.SLOTS}

    def step(self, seed: int) -> dict[str, Any]:
        """Draw an answer of the given length to every prompt: seconds, and tokens drawn."""
        limits = [one["limit"] for one in self.asked]
        started = time.perf_counter()
        with use_adapter(self.trunk, "policy"):
            made = drawn(self.trunk, self.chat, [tuple(one["ids"]) for one in self.asked], limits, seed)
        seconds = time.perf_counter() - started
        tokens = sum(len(one.logprobs) for one in made)
        assert tokens == sum(limits)
        return {"seconds": seconds, "tokens": tokens}


def _caught(trunk: Trunk, name: str, others: dict[str, torch.nn.Parameter]) -> dict[str, torch.Tensor]:
    """Is filled with the gradients of the next optimiser step, under the names of the adapter's file."""
    gradients: dict[str, torch.Tensor] = {}

    def catch(_adamw: Any, _args: Any, _kwargs: Any) -> None:
        own = {f"base_model.model.{key}": one for key, one in adapter_parameters(trunk, name).items()}
        for key, value in {**own, **others}.items():
            assert value.grad is not None
            gradients[key.replace(f".{name}.", ".")] = value.grad.clone()
        handle.remove()

    handle = register_optimizer_step_pre_hook(catch)
    return gradients


def _not_moving() -> OptimiserConfig:
    """A step whose gradient is looked at, and neither clipped nor taken."""
    return OptimiserConfig(learning_rate=1e-9, warmup=0, clip_norm=1e9)


if __name__ == "__main__":
    kind, model, file, work, threads = sys.argv[1:]
    torch.set_num_threads(int(threads))
    trunk, folder = Trunk.load(model), Path(work)
    it: Any
    if kind == "prepare":
        it = Prepare(trunk, Path(file), folder)
    elif kind == "reward":
        it = Reward(trunk, Path(file), folder)
    elif kind == "rollouts":
        it = Drawing(trunk, folder)
    else:
        it = Policy(trunk, folder, kind)
    calls = {name: getattr(it, name) for name in ("make", "plan", "check", "begin", "step") if hasattr(it, name)}
    serve({"ready": lambda: None, "rate": matrix_rate, **calls})
