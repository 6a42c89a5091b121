"""TRL's side of PPO: `PPOTrainer.train` itself, one iteration a call, given its answers.

`batch_generation` alone is replaced: it returns given answers and the policy's logits of them, as TRL's returns and
keeps them ([answers, tokens, vocabulary]); the time that making these takes is not counted. In TRL's favour, too: the
reference is the policy without its adapter and the critic carries an adapter (TRL would train all its weights), and
the reward model's adapter is merged. One thing is set right: an optimiser step is taken after each minibatch, as
meant, and not after each `gradient_accumulation_steps` of them.
"""

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from datasets import Dataset
from peft import LoraConfig, get_peft_model, inject_adapter_in_model, set_peft_model_state_dict
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer
from trl.experimental.ppo import PPOConfig, PPOTrainer, ppo_trainer
from worker import serve

EPOCHS, ROWS, MINIBATCH = 2, 16, 8
PAD = "<|endoftext|>"  # TRL masks this token wherever it stands; the end of turn, which pads else, is in every prompt


class PPO:
    """The trainer and its three models."""

    def __init__(self, model: str, work: Path, samples: int) -> None:
        self.samples = samples
        self.groups = json.loads((work / "given.json").read_text())["groups"][str(samples)]
        tokenizer = AutoTokenizer.from_pretrained(model, padding_side="left")
        tokenizer.pad_token = PAD
        self.pad = tokenizer.pad_token_id
        reward = get_peft_model(_scorer(model), _lora(work / "reward", task_type="SEQ_CLS"))
        weights = load_file(work / "reward" / "adapter_model.safetensors")
        weights["base_model.model.score.weight"] = load_file(work / "reward" / "head.safetensors")["weight"][None]
        set_peft_model_state_dict(reward, weights)
        reward = reward.merge_and_unload().requires_grad_(False)
        critic = inject_adapter_in_model(_lora(work / "policy", task_type="SEQ_CLS"), _scorer(model))
        critic.score.weight.data.zero_()
        critic.score.weight.requires_grad_(True)
        data = Dataset.from_dict({"input_ids": [group["ids"] for group in self.groups for _ in range(samples)]})
        self.trainer = PPOTrainer(
            args=PPOConfig(
                output_dir=tempfile.mkdtemp(), learning_rate=1e-5, per_device_train_batch_size=MINIBATCH,
                gradient_accumulation_steps=ROWS // MINIBATCH, num_mini_batches=ROWS // MINIBATCH,
                num_ppo_epochs=EPOCHS, total_episodes=ROWS, local_rollout_forward_batch_size=MINIBATCH,
                response_length=64, stop_token="eos", temperature=1.0, missing_eos_penalty=1.0, kl_coef=0.05,
                num_sample_generations=0, save_strategy="no", gradient_checkpointing=False, bf16=False, use_cpu=True,
                report_to=[],
            ),
            processing_class=tokenizer,
            model=AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32),
            ref_model=None,
            reward_model=reward,
            value_model=critic,
            train_dataset=data,
            eval_dataset=data,
            peft_config=_lora(work / "policy"),
        )  # fmt: skip
        set_peft_model_state_dict(self.trainer.policy_model, load_file(work / "policy" / "adapter_model.safetensors"))
        self.trainer.accelerator.gradient_accumulation_steps = 1
        self.trainer.log = self._keep
        self.metrics: dict[str, Any] = {}
        self.answers = torch.empty(0)
        self.away = 0.0

    def step(self, prompts: list[int], orders: list[list[int]]) -> dict[str, Any]:
        """Seconds of an iteration, its padded tokens, and what TRL says of divergence and scores."""
        ids = [self.groups[number]["ids"] for number in prompts for _ in range(self.samples)]
        answers = [answer for number in prompts for answer in self.groups[number]["answers"]]
        longest = max(map(len, answers))
        queries = torch.tensor([[self.pad] * (max(map(len, ids)) - len(one)) + one for one in ids])
        self.answers = torch.tensor([one + [self.pad] * (longest - len(one)) for one in answers])
        self.trainer.dataloader = [{"input_ids": queries}]
        shuffles = iter(orders)
        with (
            patch.object(ppo_trainer, "batch_generation", self._given),
            patch.object(np.random, "permutation", lambda _rows: np.array(next(shuffles))),
        ):
            started = time.perf_counter()
            self.trainer.train()
            seconds = time.perf_counter() - started - self.away
        assert next(shuffles, None) is None, "the trainer shuffled fewer times than it has epochs"
        numbers = {"kl": self.metrics["objective/kl"], "score": self.metrics["objective/scores"]}
        return {"seconds": seconds, "tokens": queries.numel() + self.answers.numel(), "numbers": numbers}

    @torch.no_grad()
    def _given(
        self, policy: Any, queries: torch.Tensor, _size: int, pad: int, _settings: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """In place of `batch_generation`: [answers, prompt and answer] ids, [answers, tokens, vocabulary] logits."""
        started = time.perf_counter()
        whole = torch.cat([queries, self.answers], dim=1)
        logits = torch.empty(*self.answers.shape, policy.config.vocab_size)
        for row in range(len(whole)):
            part = slice(row, row + 1)
            logits[part] = ppo_trainer.forward(policy, whole[part], pad).logits[:, queries.shape[1] - 1 : -1]
        self.away = time.perf_counter() - started
        return whole, logits

    def _keep(self, metrics: dict[str, Any], *_others: Any) -> None:
        self.metrics = metrics


def _scorer(model: str) -> Any:
    return AutoModelForSequenceClassification.from_pretrained(model, num_labels=1, dtype=torch.float32)


def _lora(saved: Path, **changes: Any) -> LoraConfig:
    config = LoraConfig.from_pretrained(saved)
    config.inference_mode = False
    for key, value in changes.items():
        setattr(config, key, value)
    return config


if __name__ == "__main__":
    kind, model, _file, work, threads = sys.argv[1:]
    torch.set_num_threads(int(threads))
    it = PPO(model, Path(work), 1 if kind == "ppo-alone" else 4)
    serve({"ready": lambda: None, "step": it.step})
