"""TRL's side of the reward model's step, RLOO, GRPO and generation: its own trainers and transformers' own `generate`.

`compute_loss` of a real trainer, then backward and AdamW; logging and callbacks are left out, in TRL's favour. RLOO is
given its answers: `_generate` alone is replaced, and what follows it (log-probabilities of the policy and the
reference, rewards, advantages) is TRL's. Runs in an environment with TRL alone; nothing of truing is imported.
"""

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from peft import LoraConfig, get_peft_model, set_peft_model_state_dict
from rows import pairs
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    GenerationConfig,
    StoppingCriteria,
    StoppingCriteriaList,
)  # fmt: skip
from trl import GRPOConfig, GRPOTrainer, RewardConfig, RewardTrainer, RLOOConfig, RLOOTrainer
from worker import serve

PAIRS, MICRO, SAMPLES, BATCH = 64, 8, 4, 48
PLAIN = {"gradient_checkpointing": False, "bf16": False, "use_cpu": True, "report_to": []}


class Reward:
    """`RewardTrainer`, its adapter and head as saved."""

    def __init__(self, model: str, file: str, work: Path) -> None:
        config = _lora(work / "reward", task_type="SEQ_CLS", modules_to_save=["score"])
        self.trainer = RewardTrainer(
            model=AutoModelForSequenceClassification.from_pretrained(model, num_labels=1, dtype=torch.float32),
            args=RewardConfig(tempfile.mkdtemp(), max_length=None, per_device_train_batch_size=MICRO, **PLAIN),
            processing_class=AutoTokenizer.from_pretrained(model),
            train_dataset=Dataset.from_list(pairs(Path(file), PAIRS)),
            peft_config=config,
        )
        self.optimiser = _Optimiser(self.trainer.model, work / "reward")

    def check(self, rows: list[int], save_to: str) -> None:
        """Write rewards, chosen ones first, and the gradient."""
        loss, outputs = self.trainer.compute_loss(self.trainer.model, self._batch(rows), return_outputs=True)
        loss.backward()
        gradients = self.optimiser.gradients()
        gradients["head.weight"] = gradients.pop("base_model.model.score.modules_to_save.weight")[0]
        save_file({"rewards": outputs.logits.detach()[:, 0].clone(), **gradients}, save_to)

    def step(self, rows: list[int]) -> dict[str, Any]:
        """Seconds of an optimiser step, and its padded tokens."""
        batch = self._batch(rows)
        started = time.perf_counter()
        self.trainer.compute_loss(self.trainer.model, batch).backward()
        self.optimiser.step()
        return {"seconds": time.perf_counter() - started, "tokens": batch["input_ids"].numel()}

    def _batch(self, rows: list[int]) -> dict[str, torch.Tensor]:
        batch: dict[str, torch.Tensor] = self.trainer.data_collator([self.trainer.train_dataset[row] for row in rows])
        return batch


class Grouped:
    """`RLOOTrainer` or `GRPOTrainer` on given answers. GRPO's reference model is not asked: its coefficient is 0."""

    def __init__(self, model: str, work: Path, kind: str) -> None:
        self.groups = json.loads((work / "given.json").read_text())["groups"][str(SAMPLES)]
        rows = 4 * SAMPLES
        self.kind = kind
        trainer, config, own = {
            "rloo": (RLOOTrainer, RLOOConfig, {"beta": 0.05}),
            "grpo": (GRPOTrainer, GRPOConfig, {"beta": 0.0, "loss_type": "grpo", "scale_rewards": "none"}),
        }[kind]
        self.trainer = trainer(
            model=AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32),
            reward_funcs=[self._scores],
            args=config(
                tempfile.mkdtemp(), num_generations=SAMPLES, per_device_train_batch_size=rows,
                max_completion_length=64, temperature=1.0, **own, **PLAIN,
            ),
            processing_class=AutoTokenizer.from_pretrained(model),
            train_dataset=Dataset.from_list([{"prompt": group["prompt"]} for group in self.groups]),
            peft_config=_lora(work / "policy"),
        )  # fmt: skip
        self.trainer._generate = self._given
        self.trainer.current_gradient_accumulation_steps = 1  # `train` would set it
        self.optimiser = _Optimiser(self.trainer.model, work / "policy")
        self.asked: list[int] = []

    def check(self, prompts: list[int], orders: list[list[int]], save_to: str) -> None:
        """Write the gradient of the first update."""
        del orders
        self.trainer.compute_loss(self.trainer.model, self._inputs(prompts)).backward()
        save_file(self.optimiser.gradients(), save_to)

    def step(self, prompts: list[int], orders: list[list[int]]) -> dict[str, Any]:
        """Seconds of an iteration: log-probabilities of policy and reference, advantages, one update."""
        del orders
        started = time.perf_counter()
        inputs = self._inputs(prompts)
        self.trainer.compute_loss(self.trainer.model, inputs).backward()
        self.optimiser.step()
        seconds = time.perf_counter() - started
        return {"seconds": seconds, "tokens": inputs["prompt_ids"].numel() + inputs["completion_ids"].numel()}

    def _inputs(self, prompts: list[int]) -> dict[str, Any]:
        self.asked = prompts
        rows = [{"prompt": self.groups[number]["prompt"]} for number in prompts for _ in range(SAMPLES)]
        inputs: dict[str, Any] = self.trainer._generate_and_score_completions(rows)
        return inputs

    def _given(self, prompts: list[Any]) -> tuple[Any, ...]:
        """In place of `_generate`: ids of prompts and answers, and texts, which nothing reads. GRPO asks for more: a
        mask of tools, log-probabilities of an inference server, other columns, and images; there are none."""
        ids = [self.groups[number]["ids"] for number in self.asked for _ in range(SAMPLES)]
        answers = [answer for number in self.asked for answer in self.groups[number]["answers"]]
        texts = [[{"role": "assistant", "content": ""}] for _ in prompts]
        return (ids, answers, texts) if self.kind == "rloo" else (ids, answers, None, texts, None, {}, None, None)

    def _scores(self, completions: list[Any], **_others: Any) -> list[float]:
        scores = [score for number in self.asked for score in self.groups[number]["scores"]]
        assert len(scores) == len(completions)
        return scores


class Generation:
    """transformers' `generate`: prompts padded to the left, each batch until its longest answer is done."""

    def __init__(self, model: str, work: Path) -> None:
        self.asked = json.loads((work / "given.json").read_text())["drawing"]
        bare = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
        bare.generation_config = GenerationConfig()
        self.model = get_peft_model(bare, _lora(work / "policy")).eval()
        _load(self.model, work / "policy")

    def step(self, seed: int) -> dict[str, Any]:
        """Seconds, and tokens that belong to an answer."""
        torch.manual_seed(seed)
        started = time.perf_counter()
        for at in range(0, len(self.asked), BATCH):
            self._batch(self.asked[at : at + BATCH])
        seconds = time.perf_counter() - started
        return {"seconds": seconds, "tokens": sum(one["limit"] for one in self.asked)}

    @torch.no_grad()
    def _batch(self, part: list[dict[str, Any]]) -> None:
        longest, limits = max(len(one["ids"]) for one in part), torch.tensor([one["limit"] for one in part])
        ids = torch.tensor([[0] * (longest - len(one["ids"])) + one["ids"] for one in part])
        real = torch.tensor([[0] * (longest - len(one["ids"])) + [1] * len(one["ids"]) for one in part])
        settings = GenerationConfig(
            do_sample=True, temperature=1.0, top_k=0, top_p=1.0, max_new_tokens=int(limits.max()), pad_token_id=0
        )
        out = self.model.generate(
            input_ids=ids, attention_mask=real, generation_config=settings,
            stopping_criteria=StoppingCriteriaList([_Enough(longest, limits)]),
        )  # fmt: skip
        assert out.shape[1] == longest + int(limits.max()), "generate ended early"


class _Enough(StoppingCriteria):
    """A row is done at its own length; generate goes on until all are."""

    def __init__(self, prompt: int, limits: torch.Tensor) -> None:
        self.prompt, self.limits = prompt, limits

    def __call__(self, input_ids: torch.Tensor, _scores: Any, **_others: Any) -> torch.Tensor:
        return input_ids.shape[1] - self.prompt >= self.limits


class _Optimiser:
    """AdamW over what an adapter trains, its saved weights loaded."""

    def __init__(self, model: Any, saved: Path) -> None:
        model.train()
        _load(model, saved)
        self.parameters = {
            name.replace(".default.", "."): value for name, value in model.named_parameters() if value.requires_grad
        }
        self.adamw = torch.optim.AdamW(self.parameters.values(), lr=1e-5, weight_decay=0.0)

    def step(self) -> None:
        self.adamw.step()
        self.adamw.zero_grad(set_to_none=True)

    def gradients(self) -> dict[str, torch.Tensor]:
        found = {name: value.grad.clone() for name, value in self.parameters.items()}
        self.adamw.zero_grad(set_to_none=True)
        return found


def _lora(saved: Path, **changes: Any) -> LoraConfig:
    config = LoraConfig.from_pretrained(saved)
    config.inference_mode = False
    for key, value in changes.items():
        setattr(config, key, value)
    return config


def _load(model: Any, saved: Path) -> None:
    """Load a saved adapter, and its head where it has one."""
    weights = load_file(saved / "adapter_model.safetensors")
    if (saved / "head.safetensors").is_file():
        weights["base_model.model.score.weight"] = load_file(saved / "head.safetensors")["weight"][None]
    set_peft_model_state_dict(model, weights)


if __name__ == "__main__":
    kind, model, file, work, threads = sys.argv[1:]
    torch.set_num_threads(int(threads))
    it: Any
    if kind == "reward":
        it = Reward(model, file, Path(work))
    elif kind in ("rloo", "grpo"):
        it = Grouped(model, Path(work), kind)
    else:
        it = Generation(model, Path(work))
    serve({"ready": lambda: None, **{name: getattr(it, name) for name in ("check", "step") if hasattr(it, name)}})
