"""TRL's side: `compute_loss` of its own trainers, in float32, from the same adapter. Nothing of truing is imported.

`DPOTrainer` and `KTOTrainer` tokenise by themselves, and are held against truing's tokens. `CPOTrainer` and
`ORPOTrainer` append a second end of turn behind the template's newline; they are given what the others score.
"""

import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from peft import LoraConfig, set_peft_model_state_dict
from safetensors.torch import load_file, save_file
from short import short_pairs
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import DPOConfig, DPOTrainer, KTOConfig, KTOTrainer
from trl.experimental.cpo import CPOConfig, CPOTrainer
from trl.experimental.orpo import ORPOConfig, ORPOTrainer
from worker import serve

TRAINERS: dict[str, tuple[Any, Any]] = {
    "dpo": (DPOConfig, DPOTrainer),
    "kto": (KTOConfig, KTOTrainer),
    "cpo": (CPOConfig, CPOTrainer),
    "orpo": (ORPOConfig, ORPOTrainer),
}


class Worker:
    """One trainer at a time; a check of the kind that is there only changes its settings."""

    def __init__(self, model: str, file: str, count: int, adapter: str, threads: int) -> None:
        torch.set_num_threads(threads)
        self.path, self.adapter, self.pairs = model, adapter, short_pairs(Path(file), count)
        self.kind, self.trainer = "", None

    def tokens(self) -> list[list[list[int]]]:
        """Each pair's prompt, chosen and rejected ids, as the DPO trainer has them; the KTO trainer's must be equal."""
        judged = [[row["prompt_ids"], row["completion_ids"]] for row in self._of("kto").train_dataset]
        ids = [
            [row[key] for key in ("prompt_ids", "chosen_ids", "rejected_ids")] for row in self._of("dpo").train_dataset
        ]
        both = [[prompt, chosen] for prompt, chosen, _ in ids] + [[prompt, rejected] for prompt, _, rejected in ids]
        assert judged == both, "TRL's KTO and DPO trainers tokenise in two ways"
        return ids

    def check(
        self, kind: str, settings: dict[str, Any], ids: list[list[list[int]]], alone: bool, save_to: str,
        mismatched: list[list[int]] | None = None, without_nll: bool = False,
    ) -> None:  # fmt: skip
        """Write the loss over all pairs, and its gradient. `alone`: the mean over batches of one pair each."""
        trainer = self._of(kind)
        for key, value in settings.items():
            assert hasattr(trainer, key) or key == "simpo_gamma", key  # which is set for that loss alone
            setattr(trainer, key, value)
        trainer.model.train()
        trainer.model.zero_grad(set_to_none=True)
        set_peft_model_state_dict(trainer.model, load_file(Path(self.adapter) / "adapter_model.safetensors"))
        if kind == "kto":
            assert mismatched is not None
            answers = [(prompt, chosen, True) for prompt, chosen, _ in ids]
            answers += [(prompt, rejected, False) for prompt, _, rejected in ids]
            rows = [
                {"prompt_ids": prompt, "completion_ids": answer, "KL_completion_ids": other, "label": label}
                for (prompt, answer, label), other in zip(answers, mismatched, strict=True)
            ]
        elif kind == "dpo":
            rows = [dict(zip(("prompt_ids", "chosen_ids", "rejected_ids"), row, strict=True)) for row in ids]
        else:
            rows = [_features(row) for row in ids]
        total = 0.0
        parts = [[row] for row in rows] if alone else [rows]
        for part in parts:
            batch = trainer.data_collator(part)
            if without_nll:
                chosen, rejected = trainer.concatenated_forward(trainer.model, batch)[:2]
                loss = -trainer.odds_ratio_loss(chosen, rejected)[0].mean()
            else:
                loss = trainer.compute_loss(trainer.model, batch)
            (loss / len(parts)).backward()
            total += loss.item() / len(parts)
        gradients = {
            name.replace(".default.", "."): value.grad.clone()
            for name, value in trainer.model.named_parameters() if value.requires_grad
        }  # fmt: skip
        save_file({"loss": torch.tensor(total), **gradients}, save_to)

    def _of(self, kind: str) -> Any:
        if kind == self.kind:
            return self.trainer
        self.trainer = None  # its memory first
        config, trainer = TRAINERS[kind]
        rows = self.pairs
        if kind == "kto":
            rows = [
                {"prompt": row["prompt"], "completion": row[side], "label": side == "chosen"}
                for side in ("chosen", "rejected") for row in self.pairs
            ]  # fmt: skip
        lora = LoraConfig.from_pretrained(self.adapter)
        lora.inference_mode = False
        self.kind = kind
        self.trainer = trainer(
            model=AutoModelForCausalLM.from_pretrained(self.path, dtype=torch.float32),
            args=config(
                output_dir=tempfile.mkdtemp(), max_length=4096, gradient_checkpointing=False, bf16=False, use_cpu=True,
                report_to=[], per_device_train_batch_size=len(rows),
            ),
            processing_class=AutoTokenizer.from_pretrained(self.path),
            train_dataset=Dataset.from_list(rows),
            peft_config=lora,
        )  # fmt: skip
        return self.trainer


def _features(ids: list[list[int]]) -> dict[str, list[int]]:
    """A pair as the CPO and ORPO trainers hold it."""
    prompt, *answers = ids
    row = {"prompt_input_ids": prompt, "prompt_attention_mask": [1] * len(prompt)}
    for side, answer in zip(("chosen", "rejected"), answers, strict=True):
        row[f"{side}_input_ids"] = prompt + answer
        row[f"{side}_attention_mask"] = [1] * (len(prompt) + len(answer))
        row[f"{side}_labels"] = [-100] * len(prompt) + answer
    return row


if __name__ == "__main__":
    model, file, count, adapter, threads = sys.argv[1:]
    it = Worker(model, file, int(count), adapter, int(threads))
    serve({"ready": lambda: None, "tokens": it.tokens, "check": it.check})
