"""TRL's side: its own trainer's tokenisation, collator, loss and reference pass, in float32 without checkpointing.

The steps call `compute_loss` of a real `DPOTrainer`, then backward and AdamW; the trainer's logging and callbacks are
left out, in TRL's favour. Runs in an environment with TRL alone; nothing of truing is imported.
"""

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from peft import LoraConfig, set_peft_model_state_dict
from rows import pairs
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import DPOConfig, DPOTrainer
from worker import serve


class Worker:
    """One trainer. `rows` of a call are numbers of pairs: one micro-batch."""

    def __init__(self, model: str, file: str, count: int, adapter: str, threads: int) -> None:
        torch.set_num_threads(threads)
        config = LoraConfig.from_pretrained(adapter)
        config.inference_mode = False
        self.trainer = DPOTrainer(
            model=AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32),
            args=DPOConfig(
                output_dir=tempfile.mkdtemp(), beta=0.1, max_length=None, gradient_checkpointing=False, bf16=False,
                use_cpu=True, report_to=[], per_device_train_batch_size=8,
            ),
            processing_class=AutoTokenizer.from_pretrained(model),
            train_dataset=Dataset.from_list(pairs(Path(file), count)),
            peft_config=config,
        )  # fmt: skip
        self.model = self.trainer.model
        self.model.train()
        set_peft_model_state_dict(self.model, load_file(Path(adapter) / "adapter_model.safetensors"))
        self.parameters = {name: value for name, value in self.model.named_parameters() if value.requires_grad}
        self.adamw = torch.optim.AdamW(self.parameters.values(), lr=1e-5, weight_decay=0.0)

    def tokens(self, rows: list[int]) -> dict[str, Any]:
        """Each pair's token ids, and the padded tokens of the micro-batch."""
        data = [self.trainer.train_dataset[row] for row in rows]
        ids = [[row[key] for key in ("prompt_ids", "chosen_ids", "rejected_ids")] for row in data]
        return {"ids": ids, "padded": self._batch(rows)["input_ids"].numel()}

    def check(self, rows: list[int], save_to: str) -> None:
        """Write policy and reference log-probabilities of the rows, and the loss's gradient, to a file."""
        batch = self._batch(rows)
        reference = torch.cat(self.trainer.compute_ref_log_probs(self.model, batch))
        seen: list[torch.Tensor] = []
        forward = self.model.forward

        def watch(*args: Any, **kwargs: Any) -> Any:
            outputs = forward(*args, **kwargs)
            seen.append(outputs.log_probs.detach().sum(dim=1))
            return outputs

        self.model.forward = watch
        loss = self.trainer.compute_loss(self.model, batch)
        self.model.forward = forward
        loss.backward()
        gradients = {name.replace(".default.", "."): value.grad.clone() for name, value in self.parameters.items()}
        self.adamw.zero_grad(set_to_none=True)
        # The first call is the policy's; batches are [chosen, rejected].
        save_file({"policy": seen[0], "reference": reference, "loss": loss.detach(), **gradients}, save_to)

    def wake(self) -> None:
        """Read every weight once: while the other side ran, the system may have taken them out of memory."""
        for parameter in self.model.parameters():
            parameter.detach().sum()

    def step(self, rows: list[int]) -> float:
        """Seconds of one optimiser step whose loss computes the reference, too."""
        return self._step(self._batch(rows))

    def kept_step(self, rows: list[int]) -> float:
        """Seconds of one step with the reference's log-probabilities at hand (computed before, not counted)."""
        batch = self._batch(rows)
        batch["ref_chosen_logps"], batch["ref_rejected_logps"] = self.trainer.compute_ref_log_probs(self.model, batch)
        self.trainer.precompute_ref_logps = True
        seconds = self._step(batch)
        self.trainer.precompute_ref_logps = False
        return seconds

    def _batch(self, rows: list[int]) -> dict[str, torch.Tensor]:
        batch: dict[str, torch.Tensor] = self.trainer.data_collator([self.trainer.train_dataset[row] for row in rows])
        return batch

    def _step(self, batch: dict[str, torch.Tensor]) -> float:
        started = time.perf_counter()
        self.trainer.compute_loss(self.model, batch).backward()
        self.adamw.step()
        self.adamw.zero_grad(set_to_none=True)
        return time.perf_counter() - started


if __name__ == "__main__":
    model, file, count, adapter, threads = sys.argv[1:]
    it = Worker(model, file, int(count), adapter, int(threads))
    calls = (it.tokens, it.check, it.wake, it.step, it.kept_step)
    serve({"ready": lambda: None, **{call.__name__: call for call in calls}})
